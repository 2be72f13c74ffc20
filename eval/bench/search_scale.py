"""Search latency as the index grows: fused, dense and lexical, against brute force in numpy in the same run.

Articles and vectors are synthetic (see `eval.bench.synthetic`) and go straight into the store; questions come with
their vectors, so that no time is spent on embedding. Also: opening time, size on disk, and the recall of the inverted
file that replaces exact search in large indexes.

    python -m eval.bench.search_scale [--passages 100000] [--million]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from eval.bench.measure import at_least, at_most, percentile, timed
from eval.bench.synthetic import Vectors, Words
from index import e5
from index.article_index import ArticleIndex
from index.dense import EXACT_LIMIT, DenseIndex
from index.store import Revision, Store, vector_key
from index.types import Article, Span, Where
from rag.retrieve import HybridRetriever
from rag.types import Question

Floats = npt.NDArray[np.float32]

_SIZES = (1_000, 10_000, 100_000)
_MILLION = 1_000_000
_DIM = 384
_PER_ARTICLE = 5  # passages
_WORDS = 80  # in a passage
_TRANSACTION = 20_000  # passages
_QUESTIONS = 200
_ASKED = 8  # words in a question
_CANDIDATES = 50  # of each retriever, as in `HybridRetriever`
_HITS, _HITS_PER_ARTICLE = 8, 3  # as in `Settings`
_INVERTED_ABOVE = 50_000  # passages, for the recall of the inverted file
_P50, _RECALL = 30, 0.98  # to reach; milliseconds at 100,000 passages


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=_SIZES[-1], help="the largest index (default: 100000)")
    parser.add_argument("--million", action="store_true", help="also 1,000,000 passages (takes long)")
    options = parser.parse_args()
    sizes = [size for size in _SIZES if size < options.passages] + [options.passages] + [_MILLION] * options.million
    print(f"Vectors and words are synthetic. {_QUESTIONS} questions of {_ASKED} words; milliseconds, p50 / p95.")
    print("open: an index in a process that has the libraries; first: its first search.\n")
    columns = "".join(f"{name:>16}" for name in ("fused", "dense", "lexical", "numpy"))
    print(f"{'passages':>9}{columns}{'open':>7}{'first':>7}{'disk MB':>9}{'build s':>9}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            _measure(size, Path(scratch) / "index")


def _measure(size: int, folder: Path) -> None:
    questions, build_seconds = timed(_build, size, folder)
    index, open_seconds = timed(ArticleIndex.open, folder)
    retriever = HybridRetriever(index, _HITS_PER_ARTICLE, Where())
    _, first_seconds = timed(retriever.retrieve, questions[0], _HITS)
    store = Store(folder / "index.sqlite")
    ids, matrix = _all_vectors(store)
    searches: dict[str, Callable[[Question], object]] = {
        "fused": lambda question: retriever.retrieve(question, _HITS),
        "dense": lambda question: index.search_dense(question.vector, _CANDIDATES),
        "lexical": lambda question: index.search_lexical(question.text, question.language, _CANDIDATES),
        "numpy": lambda question: _brute_force(matrix, question.vector, _CANDIDATES),
    }
    taken: dict[str, list[float]] = {name: [] for name in searches}
    for name, search in searches.items():  # one after the other: idle threads of one library keep a core from the next
        time.sleep(0.5)
        for question in tqdm(questions, desc=name, leave=False):
            taken[name].append(1000 * timed(search, question)[1])
    columns = "".join(f"{percentile(ms, 50):>8.2f} /{percentile(ms, 95):>6.2f}" for ms in taken.values())
    once = f"{1000 * open_seconds:>7.0f}{1000 * first_seconds:>7.0f}"
    print(f"{size:>9,}{columns}{once}{index.status().bytes / 1e6:>9.0f}{build_seconds:>9.0f}")
    if size == _SIZES[-1]:
        median = percentile(taken["fused"], 50)
        print(f"          fused p50 {median:.2f} ms  {at_most(median, _P50)}")
    if size >= _SIZES[-1] or size > EXACT_LIMIT:
        _measure_inverted(ids, matrix, questions, store)
    index.close()
    store.close()


def _measure_inverted(ids: npt.NDArray[np.int64], matrix: Floats, questions: Sequence[Question], store: Store) -> None:
    """Print how many of the ten nearest the inverted file finds, and how quickly."""
    inverted = DenseIndex(_DIM, store.vectors, exact_limit=min(_INVERTED_ABOVE, len(ids) - 1))
    _, seconds = timed(inverted.build, ids.tolist())
    right, taken = 0, list[float]()
    for question in tqdm(questions, desc="inverted file", leave=False):
        nearest = set(ids[_brute_force(matrix, question.vector, 10)].tolist())
        found, took = timed(inverted.search, question.vector, 10)
        taken.append(1000 * took)
        right += len(nearest & {i for i, _ in found})
    recall = right / (10 * len(questions))
    times = f"{percentile(taken, 50):.2f} / {percentile(taken, 95):.2f} ms"
    print(f"          inverted file: {times}, built in {seconds:.0f} s")
    print(f"          inverted file: recall@10 {recall:.4f}  {at_least(recall, _RECALL)}")


def _brute_force(matrix: Floats, vector: Floats, k: int) -> npt.NDArray[np.intp]:
    """Give the rows of ``matrix`` nearest to ``vector``, best first."""
    scores = matrix @ vector
    best = np.argpartition(-scores, min(k, len(scores) - 1))[:k]
    return best[np.argsort(-scores[best])]


def _all_vectors(store: Store) -> tuple[npt.NDArray[np.int64], Floats]:
    ids = store.passage_ids()
    matrix = np.empty((len(ids), _DIM), np.float32)
    for start in range(0, len(ids), _TRANSACTION):
        matrix[start : start + _TRANSACTION] = store.vectors(ids[start : start + _TRANSACTION])[1]
    return np.asarray(ids, np.int64), matrix


# Filling


def _build(size: int, folder: Path) -> list[Question]:
    """Make an index of ``size`` passages and its derived indexes; give questions whose words are from its passages."""
    folder.mkdir()
    Store.create(folder / "index.sqlite", e5.MODEL_ID, _DIM)
    store = Store(folder / "index.sqlite")
    words, vectors = Words(seed=1), Vectors(size, _DIM, seed=2)
    revisions = _revisions(size, words)
    with tqdm(total=size, desc=f"filling {size:,}", leave=False) as bar:
        while batch := list(islice(revisions, _TRANSACTION // _PER_ARTICLE)):
            keys = [key for revision in batch for key in revision.keys]
            store.write(batch, zip(keys, vectors.draw(len(keys)), strict=True))
            bar.update(len(keys))
    store.close()
    index = ArticleIndex.open(folder)
    with index.writing():  # on the way out, the derived indexes are built
        pass
    index.close()
    return [Question(" ".join(words.draw(_ASKED)), "en", vector) for vector in vectors.draw(_QUESTIONS)]


def _revisions(size: int, words: Words) -> Iterator[Revision]:
    for number, first in enumerate(range(0, size, _PER_ARTICLE)):
        texts = [words.text(_WORDS) for _ in range(min(_PER_ARTICLE, size - first))]
        spans, at = list[Span](), 0
        for text in texts:
            spans.append(Span(at, at + len(text), "en"))
            at += len(text) + 2
        name = f"synthetic:{number}"
        title = " ".join(words.draw(5))
        text = "\n\n".join(texts)
        article = Article(name, name, title, text, "en", "2026", None, "2026-01-01T00:00:00Z", "synthetic", name)
        yield Revision(article, spans, [vector_key(e5.MODEL_ID, f"{name}/{n}") for n in range(len(spans))], name)


if __name__ == "__main__":
    main()
