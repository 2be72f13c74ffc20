"""What is each part worth? The same questions with parts left out or replaced, in one table.

Candidates are the same for all rows: what the search by meaning and the search by words find. They are put in order by
meaning alone, by words alone, by the ranks in both, or as the assistant does it. In half of the rows the model that
reads then puts them in order anew and answers; in the others nothing reads, and the first passage, whole, stands for
the answer: never refused, and long enough to hold an answer often.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.command import Asked, index_of, prepare
from eval.formats import read_gold_set
from eval.metrics import resample_weights
from eval.records import Record, write_json
from eval.run import Asker, check_folder, described
from eval.summary import RATIOS, cluster, ratio
from index.article_index import ArticleIndex
from index.e5 import say_on_stderr
from rag import Assistant, Hit, Sentence, Settings
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import open_pair_reader
from rag.retrieve import Candidate, Fusion, weighted
from rag.types import Draft, Question

_RRF = 60  # the constant of reciprocal rank fusion
_LEGEND = (
    "meaning, words, ranks, ours: how what both searches find is put in order (cosine, BM25, RRF, the default).\n"
    "read: the model that reads puts it in order anew, answers or refuses. Otherwise the first passage is the answer,\n"
    "whole: it is never refused, and being long it holds a right answer often."
)
FIGURES = ("recall@1", "recall@5", "mrr@10", "containment", "citation_precision", "refusal_f1")


class FirstPassage:
    """Stands in for the model that reads: keeps the order, and quotes the first passage whole."""

    def rerank(self, question: Question, hits: list[Hit]) -> list[Hit]:
        """Give the hits as they are."""
        return hits

    def read(self, question: Question, hits: list[Hit]) -> Draft:
        """Quote the first hit; its cosine stands for the confidence."""
        if not hits:
            return Draft((), 0.0)
        whole = (0, len(hits[0].text))
        return Draft((Sentence(hits[0].text, (hits[0].cite(whole, whole),), "supported"),), max(0.0, hits[0].dense))


class Rescored:
    """The model that reads, given the score that its calibration knows, whatever put the passages in order."""

    def __init__(self, reader: MultilingualReader) -> None:
        """Read with ``reader``."""
        self._reader = reader

    def rerank(self, question: Question, hits: list[Hit]) -> list[Hit]:
        """Read the hits in the order in which they come."""
        scores = weighted(question, [Candidate(hit.passage, hit.dense, hit.coverage) for hit in hits])
        known = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
        return self._reader.rerank(question, known)

    def read(self, question: Question, hits: list[Hit]) -> Draft:
        """Answer as ever."""
        return self._reader.read(question, hits)


def by_meaning(question: Question, candidates: Sequence[Candidate]) -> list[float]:
    """Score by the cosine alone."""
    return [c.dense for c in candidates]


def by_words(question: Question, candidates: Sequence[Candidate]) -> list[float]:
    """Score by BM25 alone."""
    return [c.coverage for c in candidates]


def by_ranks(question: Question, candidates: Sequence[Candidate]) -> list[float]:
    """Score by reciprocal rank fusion (Cormack et al. 2009, https://doi.org/10.1145/1571941.1572114)."""
    dense = _ranks([c.dense for c in candidates])
    lexical = _ranks([c.coverage for c in candidates])
    return [
        1 / (_RRF + d) + (1 / (_RRF + w) if c.coverage else 0.0)
        for c, d, w in zip(candidates, dense, lexical, strict=True)
    ]


def _ranks(scores: Sequence[float]) -> list[int]:
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranks = np.empty(len(scores), int)
    ranks[order] = np.arange(1, len(scores) + 1)
    return [int(rank) for rank in ranks]


FUSIONS: dict[str, Fusion] = {"meaning": by_meaning, "words": by_words, "ranks (RRF)": by_ranks, "ours": weighted}


def ablate(asked: Asked, out: Path, settings: Settings) -> int:
    """Ask all questions of every variant, print the table, and write it to ``ablation.json`` in ``out``.

    Raises:
        BadRequest: the questions or the folder cannot be used.
    """
    gold = read_gold_set(asked.gold)
    check_folder(out)
    index = ArticleIndex.open(index_of(asked, gold, out, settings), settings.embedder or None)
    prepared = prepare(asked, gold, index)
    reader = MultilingualReader(open_pair_reader(say_on_stderr), settings.min_confidence)
    rows = {}
    for (name, fusion), is_read in product(FUSIONS.items(), (False, True)):
        part = Rescored(reader) if is_read else FirstPassage()
        asker = Asker(Assistant(index, part, part, settings, fusion=fusion), prepared.articles)
        title = f"{name}, read" if is_read else name
        rows[title] = [asker.ask(q) for q in tqdm(prepared.questions, desc=title, leave=False, disable=None)]
    print(f"questions: {len(prepared.questions)}, of {asked.gold}\n\n{_table(rows)}")
    run = described(asked.gold, prepared.questions, index, settings)
    out.mkdir(parents=True, exist_ok=True)
    print(f"written to {out / 'ablation.json'}")
    write_json(out / "ablation.json", {"run": run, "rows": {name: _values(records) for name, records in rows.items()}})
    return 0


def _values(records: Sequence[Record]) -> dict[str, float]:
    found = {name: ratio(RATIOS[name], records) for name in FIGURES}
    values = {name: each.value for name, each in found.items() if each.count}  # without cases there is none
    return {**values, "p50_ms": float(np.median([record.timings["total_ms"] for record in records]))}


def _table(rows: dict[str, list[Record]]) -> str:
    """Write a row a variant, and under the last one how wide the intervals are."""
    lines = ["".join([f"{'':<20}", *(f"{name:>20}" for name in FIGURES), f"{'p50 ms':>8}"])]
    for title, records in rows.items():
        values = _values(records)
        cells = [f"{values[name]:>20.3f}" if name in values else f"{'':>20}" for name in FIGURES]
        lines.append("".join([f"{title:<20}", *cells, f"{values['p50_ms']:>8.0f}"]))
    last = next(reversed(rows.values()))
    weights = resample_weights([cluster(record) for record in last])
    found = [ratio(RATIOS[name], last).estimate(weights) for name in FIGURES]
    cells = [f"[{each.low:.3f}, {each.high:.3f}]" if each.count else "" for each in found]
    lines.append("".join([f"{'  95 % interval':<20}", *(f"{cell:>20}" for cell in cells)]))
    return "\n".join([*lines, "", _LEGEND])
