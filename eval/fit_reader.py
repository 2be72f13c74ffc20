"""Fit the constants of `rag.reader.calibration` on held-back question-answer pairs, and show how well they do.

    python -m eval.fit_reader POOL.jsonl.zst --work FOLDER

POOL and FOLDER are those that ``rag.reader.train`` had. Three logistic regressions, one after the other:

1. over held-back pairs, from relevance and margin to whether the passage has an answer: the logit of a reading;
2. over the eight passages found for a question, from that logit, the retrieval score and whether its language is
   another than the question's, to whether the passage is right (it is the one that answers, and the sentence that
   would be quoted holds an answer): what orders passages;
3. over questions, from the best passage's weight to whether it is right: the probability.

For 2 and 3 an index is made for every two languages that the pairs join, of the held-back paragraphs and others beside
them, and each question is asked, half of them with the paragraph that answers it taken out (a fifth of those with all
of its article). A third of the questions, drawn by their id, is used for the figures printed and not for fitting. No
set that the project reports on elsewhere is used.
"""

import argparse
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from index.article_index import ArticleIndex
from index.build import add_articles
from index.e5 import say_on_stderr
from index.embed import DEFAULT_EMBEDDER, open_embedder
from index.language import detect
from index.types import Where
from rag.reader.multilingual_reader import sentence_around, widened
from rag.reader.pair_reader import PairReader, open_pair_reader
from rag.reader.pairs import Pair, cached_pairs
from rag.retrieve import HybridRetriever
from rag.types import Question

_PARAGRAPHS = 160  # in each index
_READ = 8  # passages a question
_PAIRS = 1500  # held back, for the logit of a reading
_FEWEST = 10  # questions of a line in the table
_WITHOUT_GOLD, _WITHOUT_ARTICLE = 0.5, 0.1  # shares of the questions
_THRESHOLDS = (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and which of its passages are right.

    ``rows`` ``(n, 4)`` have relevance, margin and retrieval score of each passage, and whether its language is another.
    """

    languages: str
    rows: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    answerable: bool
    is_for_figures: bool


def main() -> None:
    """Ask, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path, help="examples, one JSON a line, compressed with zstandard")
    parser.add_argument("--work", type=Path, required=True, help="where training left its pairs")
    parser.add_argument("--questions", type=int, default=90, help="of each two languages (%(default)s)")
    options = parser.parse_args()
    embedder = open_embedder(DEFAULT_EMBEDDER, say_on_stderr)
    pairs = cached_pairs(options.pool, embedder, options.work)
    reader = open_pair_reader(say_on_stderr)
    asked = [
        a
        for languages, gold, others in tqdm(list(_by_languages(pairs)), desc="languages")
        for a in _ask(languages, gold, others, options.questions, reader)
    ]
    fitted = [a for a in asked if not a.is_for_figures]
    reading = _fit_reading([pair for pair in pairs if pair.is_held_back][:_PAIRS], reader)
    rows = np.concatenate([a.rows for a in fitted])
    passages = LogisticRegression(C=100.0, max_iter=5000).fit(
        np.column_stack([rows[:, :2] @ reading, rows[:, 2:]]), np.concatenate([a.right for a in fitted])
    )
    scale_of_reading, of_score, of_foreign = passages.coef_[0]
    weights = np.array([*(reading * scale_of_reading), of_score, of_foreign])
    best, right = _best(fitted, weights)
    scale = LogisticRegression(C=1e6).fit(best[:, None], right)
    slope, intercept = float(scale.coef_[0, 0]), float(scale.intercept_[0])
    print(f"_RELEVANCE, _MARGIN, _SCORE, _FOREIGN = {', '.join(f'{w:.3f}' for w in weights)}")
    print(f"_SLOPE, _INTERCEPT = {slope:.3f}, {intercept:.3f}")
    _report([a for a in asked if a.is_for_figures], weights, slope, intercept)


def _fit_reading(pairs: Sequence[Pair], reader: PairReader) -> npt.NDArray[np.float64]:
    readings = [reader.read(p.question, [(p.title, p.text)])[0] for p in tqdm(pairs, desc="pairs")]
    rows, answers = np.array([[r.relevance, r.margin] for r in readings]), [bool(p.answers) for p in pairs]
    fitted = LogisticRegression(C=100.0).fit(rows, answers)
    print(
        f"held-back pairs: {len(pairs)}, AUROC of having an answer {roc_auc_score(answers, rows @ fitted.coef_[0]):.3f}"
    )
    weights: npt.NDArray[np.float64] = fitted.coef_[0]
    return weights


def _best(asked: Sequence[Asked], weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], list[bool]]:
    evidence = [a.rows @ weights for a in asked]
    return np.array([e.max() for e in evidence]), [
        bool(a.right[e.argmax()]) for a, e in zip(asked, evidence, strict=True)
    ]


def _report(asked: Sequence[Asked], weights: npt.NDArray[np.float64], slope: float, intercept: float) -> None:
    best, rights = _best(asked, weights)
    right, chances = np.array(rights), 1 / (1 + np.exp(-(slope * best + intercept)))
    answerable = np.array([a.answerable for a in asked])
    print(f"for figures: {len(asked)} questions, {answerable.mean():.2f} of them answerable")
    print(f"best passage right, of the answerable: {right[answerable].mean():.3f}")
    print(f"AUROC, answerable against not: {roc_auc_score(answerable, chances):.3f}")
    print(f"AUROC, right against wrong: {roc_auc_score(right, chances):.3f}")
    for languages in sorted({a.languages for a in asked}):
        own = np.array([a.languages == languages for a in asked])
        if own.sum() < _FEWEST or answerable[own].all() or not answerable[own].any():
            continue
        shares = roc_auc_score(answerable[own], chances[own]), right[own & answerable].mean()
        print(f"  {languages:<8} {own.sum():>4} questions, AUROC {shares[0]:.3f}, right {shares[1]:.3f}")
    for threshold in _THRESHOLDS:
        given = chances >= threshold
        shown = given.mean(), right[given].mean(), given[answerable].mean(), given[~answerable].mean()
        print(
            "threshold {:.2f}: answers {:.3f}, right {:.3f}; of answerable {:.3f}, of not {:.3f}".format(
                threshold, *shown
            )
        )


def _by_languages(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[Pair], list[Pair]]]:
    """Give two languages, the held-back questions that have an answer, and pairs whose passages stand beside them."""
    seen = {p.text for p in pairs if not p.is_held_back}
    by_language: dict[str, dict[str, Pair]] = defaultdict(dict)
    for pair in pairs:
        by_language[pair.languages.split(">")[1]].setdefault(pair.text, pair)
    gold: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.is_held_back and pair.kind == "gold" and pair.text not in seen:
            gold[pair.languages].append(pair)
    for languages in sorted(gold):
        others = list(by_language[languages.split(">")[1]].values())
        siblings = {p.group for p in gold[languages]}
        others.sort(key=lambda p: (p.group not in siblings, crc32(p.text.encode())))
        yield languages, gold[languages], others


def _ask(languages: str, gold: list[Pair], others: list[Pair], most: int, reader: PairReader) -> Iterator[Asked]:
    chance = random.Random(languages)
    asked = chance.sample(gold, min(most, len(gold)))
    about = {p.text: p for p in [*asked, *others[:_PARAGRAPHS]]}
    numbers = {text: number for number, text in enumerate(about)}
    with tempfile.TemporaryDirectory() as scratch:
        records = Path(scratch) / "articles.jsonl"
        lines = [
            json.dumps({"title": p.title, "text": text, "url": f"paragraph:{numbers[text]}"})
            for text, p in about.items()
        ]
        records.write_text("\n".join(lines))
        index = ArticleIndex.open(Path(scratch) / "index", create=True)
        add_articles(index, [records])
        for pair in asked:
            question = Question(pair.question, detect(pair.question), index.embedder.embed_query(pair.question))
            home, fate = f"paragraph:{numbers[pair.text]}", chance.random()
            hidden = {home} if fate < _WITHOUT_GOLD else set()
            if fate < _WITHOUT_ARTICLE:
                hidden = {f"paragraph:{n}" for text, n in numbers.items() if about[text].group == pair.group} | {home}
            found = [
                h for h in HybridRetriever(index, 3, Where()).retrieve(question, 24) if h.article.uri not in hidden
            ]
            hits = [replace(hit, rank=rank) for rank, hit in enumerate(found[:_READ], 1)]
            readings = reader.read(pair.question, [(h.article.title, h.text) for h in hits])
            if not hits:
                continue
            right = []
            for hit, reading in zip(hits, readings, strict=True):
                low, high = sentence_around(hit, widened(hit.text, reading))
                quote = hit.text[low:high].casefold()
                holds = any(pair.text[start:end].casefold() in quote for start, end in pair.answers)
                right.append(hit.article.uri == home and holds)
            rows = [
                [r.relevance, r.margin, h.score, h.passage.language != question.language]
                for r, h in zip(readings, hits, strict=True)
            ]
            is_for_figures = crc32(f"{pair.question_id} figures".encode()) % 3 == 0
            yield Asked(languages, np.array(rows), np.array(right), not hidden, is_for_figures)


if __name__ == "__main__":
    main()
