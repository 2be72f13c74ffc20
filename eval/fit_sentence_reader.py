"""Fit the weights of `rag.reader.sentence_reader` on public question-answer pairs, and show how well they do.

    python -m eval.fit_sentence_reader POOL.jsonl.zst

POOL has one example a line: ``set, lang, split, id, title, context, question, answers[{text, answer_start}],
is_impossible``.

Half of the questions are asked with their paragraph in the index, half with it taken out (a few with all paragraphs
of its article taken out too). A third of the pairs cross languages. A fifth of the questions, drawn by their id, is
held back: the figures printed are of those. No set that the project reports on elsewhere is used.
"""

import argparse
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import zstandard
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from index.article_index import ArticleIndex
from index.build import add_articles
from index.language import detect
from index.types import Where
from rag.reader.sentence_reader import FEATURES, choose_candidates, features
from rag.retrieve import HybridRetriever
from rag.types import Hit, Question

_SETS = (
    "squad2_en",
    "squad_es",
    "squad_sv",
    "squad_it",
    "squadshifts",
    "jsquad",
    "pquad",
    "idk_mrc",
    "drcd",
    "cmrc2018",
    "tydiqa_goldp",
)
_PARALLEL = ("squad_es", "squad_sv", "squad_it")
_PARAGRAPHS, _QUESTIONS = 110, 110  # of each pair of languages

Example = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: the features of its candidate sentences, which of them hold the answer, and whether any could."""

    pair: str
    rows: npt.NDArray[np.float64]
    holds: npt.NDArray[np.bool_]
    answerable: bool
    is_held_back: bool


def main() -> None:
    """Collect, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    pool = _read(parser.parse_args().pool)
    asked = [
        a
        for pair, paragraphs, questions in tqdm(list(_pairs(pool)), desc="pairs")
        for a in _ask(pair, paragraphs, questions)
    ]
    fitted = [a for a in asked if not a.is_held_back]
    model = LogisticRegression(C=10.0, max_iter=5000).fit(
        np.concatenate([a.rows for a in fitted]), np.concatenate([a.holds for a in fitted])
    )
    logits = [np.asarray(model.decision_function(a.rows)) for a in fitted]
    right = [bool(a.holds[x.argmax()]) for a, x in zip(fitted, logits, strict=True)]
    scale = LogisticRegression(C=1e6).fit(np.array([[x.max()] for x in logits]), right)
    slope, shift = float(scale.coef_[0, 0]), float(scale.intercept_[0])
    print("_WEIGHTS =", {n: round(float(w) * slope, 3) for n, w in zip(FEATURES, model.coef_[0], strict=True)})
    print("_INTERCEPT =", round(float(model.intercept_[0]) * slope + shift, 3))
    _report([a for a in asked if a.is_held_back], model, slope, shift)


def _report(asked: Sequence[Asked], model: LogisticRegression, slope: float, shift: float) -> None:
    logits = [np.asarray(model.decision_function(a.rows)) * slope + shift for a in asked]
    chances = np.array([1 / (1 + np.exp(-x.max())) for x in logits])
    right = np.array([bool(a.holds[x.argmax()]) for a, x in zip(asked, logits, strict=True)])
    answerable = np.array([a.answerable for a in asked])
    reachable = np.array([bool(a.holds.any()) for a in asked])
    print(f"held back: {len(asked)} questions, {answerable.mean():.2f} of them answerable")
    print(f"answer among the candidates, of the answerable: {reachable[answerable].mean():.3f}")
    print(f"best sentence holds the answer, of the answerable: {right[answerable].mean():.3f}")
    print(f"AUROC, answerable against not: {roc_auc_score(answerable, chances):.3f}")
    print(f"AUROC, right against wrong: {roc_auc_score(right, chances):.3f}")
    for pair in sorted({a.pair for a in asked}):
        own = np.array([a.pair == pair for a in asked])
        auroc, share = roc_auc_score(answerable[own], chances[own]), right[own & answerable].mean()
        print(f"  {pair:<24} AUROC {auroc:.3f}  best sentence right {share:.3f}")
    for threshold in (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7):
        given = chances >= threshold
        shares = given.mean(), right[given].mean(), given[answerable].mean()
        print(
            f"threshold {threshold}: answers {shares[0]:.3f}, right {shares[1]:.3f}, of the answerable {shares[2]:.3f}"
        )


def _read(path: Path) -> dict[str, list[Example]]:
    sets: dict[str, list[Example]] = defaultdict(list)
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            example = json.loads(line)
            if example["set"] in _SETS and example["split"] not in ("amazon", "reddit"):
                sets[f"{example['set']}-{example['lang']}"].append(example)
    return sets


def _pairs(pool: dict[str, list[Example]]) -> Iterable[tuple[str, list[Example], list[tuple[str, Example]]]]:
    """Give name, examples whose paragraphs are indexed, and questions with the example that answers each."""
    for name, examples in sorted(pool.items()):
        chosen = _some_paragraphs(examples, name)
        yield name, chosen, [(e["question"], e) for e in chosen]
    by_id = {
        s: {e["id"]: e for e in pool[name] if not e["is_impossible"]}
        for s in _PARALLEL
        for name in pool
        if name.startswith(s)
    }
    for a in _PARALLEL:
        for b in _PARALLEL:
            if a != b:
                common = [by_id[b][i] for i in sorted(set(by_id[a]) & set(by_id[b]))]
                chosen = _some_paragraphs(common, a + b)
                yield f"{a[6:]}→{b[6:]}", chosen, [(by_id[a][e["id"]]["question"], e) for e in chosen]


def _some_paragraphs(examples: list[Example], seed: str) -> list[Example]:
    """Take whole articles until there are enough paragraphs: siblings make the hard negatives."""
    by_title: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_title[example["title"] or example["context"]].append(example)
    titles = sorted(by_title)
    random.Random(seed).shuffle(titles)
    chosen: list[Example] = []
    for title in titles:
        if len({e["context"] for e in chosen}) < _PARAGRAPHS:
            chosen += by_title[title]
    return chosen


def _ask(pair: str, paragraphs: list[Example], questions: list[tuple[str, Example]]) -> Iterable[Asked]:
    chance = random.Random(pair)
    numbers = {text: n for n, text in enumerate(dict.fromkeys(e["context"] for e in paragraphs))}
    titles = {e["context"]: e["title"].replace("_", " ") for e in paragraphs}
    with tempfile.TemporaryDirectory() as scratch:
        records = Path(scratch) / "articles.jsonl"
        lines = [
            json.dumps({"title": titles[text], "text": text, "url": f"paragraph:{n}"}) for text, n in numbers.items()
        ]
        records.write_text("\n".join(lines))
        index = ArticleIndex.open(Path(scratch) / "index", create=True)
        add_articles(index, [records])
        siblings = defaultdict(set)
        for text, n in numbers.items():
            siblings[titles[text] or text].add(f"paragraph:{n}")
        for text, example in chance.sample(questions, min(_QUESTIONS, len(questions))):
            question = Question(text, detect(text), index.embedder.embed_query(text))
            gold = f"paragraph:{numbers[example['context']]}"
            fate = chance.random()
            hidden = (
                set()
                if fate < 0.5
                else {gold}
                if fate < 0.9
                else siblings[titles[example["context"]] or example["context"]]
            )
            hits = [
                h for h in HybridRetriever(index, 3, Where()).retrieve(question, 16) if h.article.uri not in hidden
            ][:8]
            hits = [Hit(h.passage, h.article, h.score, n, h.dense, h.coverage) for n, h in enumerate(hits, 1)]
            candidates = choose_candidates(question, hits)
            if candidates:
                spans = [(a["answer_start"], a["answer_start"] + len(a["text"])) for a in example["answers"]]
                answer_texts = [example["context"][a:b] for a, b in spans]
                holds = [
                    c.hit.article.uri == gold
                    and not example["is_impossible"]
                    and any(t in c.text for t in answer_texts)
                    for c in candidates
                ]
                rows = np.array(features(question, hits, candidates, index.embedder))
                held_back = crc32(str(example["id"]).encode()) % 5 == 0
                yield Asked(pair, rows, np.array(holds), not hidden and not example["is_impossible"], held_back)


if __name__ == "__main__":
    main()
