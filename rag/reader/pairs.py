"""The pairs of question and passage that the reader learns from, made of public extractive question-answer sets.

The pool has one example a line: ``set, lang, split, id, title, context, question, answers[{text, answer_start}],
is_impossible`` (JSON Lines, zstandard). Most of its sets have only questions that their paragraph answers, so pairs
without an answer are made here, in every language alike: the language of a pair must not tell whether it has one.
"""

import hashlib
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import zstandard
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from index.embed import Embedder
from index.language import terms
from index.lexical import LexicalIndex

Kind = Literal["gold", "native", "sibling", "lexical", "dense", "random"]

NO_ANSWER_SHARE = 0.34  # of the pairs of every language, and of every two languages
_NATIVE_SHARE = 0.6  # at most, of the pairs without an answer: those that people wrote to look answerable
_CROSS_PER_PAIR = 1600  # answered questions for each two of the parallel languages
_HELD_BACK = 25  # one article in so many is never trained on
_TRANSLATED = 0.93  # in cosine: what a question and its translation reach
_LONGEST = 2400  # characters of a context; longer ones are cut around the answer
_OPENING = {"ja": 130, "zh": 110, "zht": 110, "ko": 160, "th": 200}  # characters that stand for a context; else 320
_DENSE_CONTEXTS = 1500  # of a language, that hard negatives are searched among by embedding

# The largest and least article-like sets are not used whole, so that no language and no genre drowns the others.
_MOST = {
    ("squadshifts", "amazon"): 7000,
    ("squadshifts", "reddit"): 7000,
    ("policyqa", "dev"): 600,
    ("policyqa", "test"): 600,
    ("covidqa", "all"): 600,
    ("jaquad", "train"): 5000,
    ("jaquad", "dev"): 0,  # kept out of training, for a look at the Japanese
    ("jsquad", "valid"): 1500,
    ("jsquad", "test"): 1500,
    ("pquad", "valid"): 2500,
    ("pquad", "test"): 2500,
    ("iapp_thai", "train"): 2200,
}
_UNTITLED = {"amazon", "reddit", "policyqa", "covidqa"}  # their titles name no subject
_PARALLEL = ("squad2_en", "squad_es", "squad_sv", "squad_it")  # translations of one another, under the same ids


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a passage; ``answers`` are ``(start, end)`` in characters of ``text``, none if it holds none."""

    question: str
    title: str
    text: str
    answers: tuple[tuple[int, int], ...]
    languages: str  # of the question and of the passage: "en>es"
    kind: Kind
    group: str  # the article, as far as it is known: what is held back is held back by it
    question_id: str

    @property
    def is_held_back(self) -> bool:
        """Whether the pair is for calibration, not for training; so is every other of its article."""
        return _is_held_back(self.group)


@dataclass(frozen=True, slots=True)
class _Example:
    set: str
    language: str
    id: str
    group: str
    title: str
    context: str
    question: str
    answers: tuple[tuple[int, int], ...]

    @property
    def texts(self) -> list[str]:
        return [self.context[start:end].casefold() for start, end in self.answers]


def _is_held_back(group: str) -> bool:
    return crc32(group.encode()) % _HELD_BACK == 0


def make_pairs(pool: Path, embedder: Embedder, seed: int = 7) -> list[Pair]:
    """Make all pairs, in an order drawn from ``seed``; takes some minutes, most of them for embedding.

    Args:
        pool: the examples.
        embedder: finds the passages that look most like an answer and are none.
        seed: of every choice made.
    """
    chance = random.Random(seed)
    examples = _joined(_aligned(_read(pool, chance), embedder))
    pairs = [_gold(e) for e in examples if e.answers]
    # What is held back meets nothing that is trained on: not even as a passage without the answer.
    apart: dict[tuple[str, bool], list[_Example]] = defaultdict(list)
    for example in examples:
        apart[example.language, _is_held_back(example.group)].append(example)
    for language, is_held_back in tqdm(sorted(apart), desc="pairs without an answer"):
        pairs += _unanswered(language, apart[language, is_held_back], embedder, chance)
    pairs += _across(examples, chance)
    chance.shuffle(pairs)
    return pairs


def cached_pairs(pool: Path, embedder: Embedder, cache: Path, seed: int = 7) -> list[Pair]:
    """Make the pairs, or read them from ``cache`` if they were made before from the same pool by the same code."""
    with pool.open("rb") as file:
        made_of = hashlib.file_digest(file, "sha256").hexdigest()
    made_by = hashlib.sha256(Path(__file__).read_bytes() + str((made_of, seed, embedder.name)).encode())
    path = cache / f"pairs-{made_by.hexdigest()[:12]}.jsonl.zst"
    names = Pair.__dataclass_fields__
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        rows = [{name: getattr(pair, name) for name in names} for pair in make_pairs(pool, embedder, seed)]
        unfinished = path.with_suffix(".part")
        with zstandard.open(unfinished, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        unfinished.replace(path)
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        return [Pair(**{**row, "answers": tuple(map(tuple, row["answers"]))}) for row in map(json.loads, lines)]


def _read(pool: Path, chance: random.Random) -> list[_Example]:
    split: dict[tuple[str, str], list[_Example]] = defaultdict(list)
    with zstandard.open(pool, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            untitled = row["set"] in _UNTITLED or row["split"] in _UNTITLED
            title = "" if untitled else row["title"].replace("_", " ").strip()
            group = f"{row['set']}/{title or row['context'][:80]}"
            spans = dict.fromkeys((a["answer_start"], a["answer_start"] + len(a["text"])) for a in row["answers"])
            whole = [s for s in spans if 0 <= s[0] < s[1] <= len(row["context"])]
            if row["is_impossible"] or whole:
                answers = () if row["is_impossible"] else tuple(whole)
                text = (row["set"], row["lang"], row["id"], group, title, row["context"], row["question"].strip())
                split[row["set"], row["split"]].append(_shortened(_Example(*text, answers)))
    chosen = []
    for key, examples in split.items():
        chance.shuffle(examples)
        chosen += examples[: _MOST.get(key, len(examples))]
    return chosen


def _joined(examples: list[_Example]) -> list[_Example]:
    """Give the articles of the parallel sets that share a question one group: they are translations of one another."""
    parallel = [e for e in examples if e.set in _PARALLEL]
    nodes = {name: n for n, name in enumerate(dict.fromkeys(name for e in parallel for name in (e.group, e.id)))}
    edges = [nodes[e.group] for e in parallel], [nodes[e.id] for e in parallel]
    graph = coo_array((np.ones(len(parallel)), edges), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for example in sorted(parallel, key=lambda e: e.group):
        first.setdefault(labels[nodes[example.group]], example.group)
    groups = {e.group: first[labels[nodes[e.group]]] for e in parallel}
    return [replace(e, group=groups.get(e.group, e.group)) for e in examples]


def _shortened(example: _Example) -> _Example:
    if len(example.context) <= _LONGEST:
        return example
    start, end = example.answers[0] if example.answers else (0, 0)
    low = max(0, start - crc32(example.question.encode()) % (_LONGEST // 2))
    low = low and (example.context.find(" ", low, start) + 1 or low)
    high = max(end, low + _LONGEST)
    answers = tuple((s - low, e - low) for s, e in example.answers if s >= low and e <= high)
    return replace(example, context=example.context[low:high], answers=answers)


def _aligned(examples: list[_Example], embedder: Embedder) -> list[_Example]:
    """Give the English questions the ids of their translations: their own set names them otherwise.

    Two questions are translations of one another if each is the other's nearest, and near, and if their articles are
    those that most of such questions join.
    """
    english = [e for e in examples if e.set == _PARALLEL[0]]
    others = list({e.id: e for e in examples if e.set in _PARALLEL[1:]}.values())
    own = embedder.embed_passages([e.question for e in english])
    same: dict[str, str] = {}
    for name in _PARALLEL[1:]:
        some = [e for e in others if e.set == name]
        if not some or not english:
            continue
        cosines = own @ embedder.embed_passages([e.question for e in some]).T
        nearest = [(i, j) for i, j in enumerate(cosines.argmax(axis=1)) if cosines[:, j].argmax() == i]
        met = [(english[i], some[j]) for i, j in nearest if cosines[i, j] >= _TRANSLATED]
        articles: dict[str, Counter[str]] = defaultdict(Counter)
        for one, other in met:
            articles[one.group][other.group] += 1
        for one, other in met:
            if articles[one.group].most_common(1)[0][0] == other.group:
                same.setdefault(one.id, other.id)
    return [replace(e, id=same.get(e.id, e.id)) if e.set == _PARALLEL[0] else e for e in examples]


def _gold(example: _Example) -> Pair:
    both = f"{example.language}>{example.language}"
    fields = (example.question, example.title, example.context, example.answers, both)
    return Pair(*fields, "gold" if example.answers else "native", example.group, example.id)


def _wanted(answered: int) -> int:
    return round(answered * NO_ANSWER_SHARE / (1 - NO_ANSWER_SHARE))


def _unanswered(language: str, examples: list[_Example], embedder: Embedder, chance: random.Random) -> list[Pair]:
    """Give as many pairs without an answer as belong beside the answered ones of a language."""
    answered = [e for e in examples if e.answers]
    wanted = _wanted(len(answered))
    native = [_gold(e) for e in examples if not e.answers]
    chance.shuffle(native)
    pairs = native[: round(wanted * _NATIVE_SHARE)]
    asked = chance.choices(answered, k=wanted - len(pairs)) if answered else []
    contexts = list({e.context: e for e in examples}.values())
    third = len(asked) // 3
    siblings = _siblings(contexts)
    finders: list[tuple[Kind, list[_Example], Callable[[list[_Example]], Iterable[Sequence[_Example]]]]] = [
        ("sibling", asked[:third], lambda some: (siblings[e.group] for e in some)),
        ("lexical", asked[third : 2 * third], lambda some: _found_by_words(language, some, contexts)),
        ("dense", asked[2 * third :], lambda some: _found_by_meaning(some, contexts, embedder, chance)),
    ]
    for kind, some, find in finders:
        for example, found in zip(some, find(some), strict=True):
            fitting = [c for c in found if _holds_none(c, example)]
            is_found = bool(fitting) and chance.random() > 0.05  # and a few easy ones
            other = chance.choice(fitting[:5] if kind != "sibling" else fitting) if is_found else None
            other = other or next(
                (c for c in chance.sample(contexts, k=min(20, len(contexts))) if _holds_none(c, example)), None
            )
            if other:
                pairs.append(_swapped(example, other, kind if is_found else "random"))
    return pairs


def _siblings(contexts: Iterable[_Example]) -> dict[str, list[_Example]]:
    siblings: dict[str, list[_Example]] = defaultdict(list)
    for example in contexts:
        siblings[example.group].append(example)
    return siblings


def _holds_none(other: _Example, asked: _Example) -> bool:
    text = other.context.casefold()
    return other.context != asked.context and not any(answer in text for answer in asked.texts)


def _swapped(asked: _Example, other: _Example, kind: Kind) -> Pair:
    both = f"{asked.language}>{other.language}"
    return Pair(asked.question, other.title, other.context, (), both, kind, asked.group, asked.id)


def _found_by_words(
    language: str, asked: Sequence[_Example], contexts: Sequence[_Example]
) -> Iterable[Sequence[_Example]]:
    code = "zh" if language == "zht" else language
    with tempfile.TemporaryDirectory() as folder:
        lexical = LexicalIndex(Path(folder), "pairs")
        lexical.update([], ((n, n, terms(e.context, code)) for n, e in enumerate(contexts, 1)), 1)
        return [[contexts[i - 1] for i, _, _ in lexical.search(e.question, code, 8)] for e in asked]


def _found_by_meaning(
    asked: Sequence[_Example], contexts: Sequence[_Example], embedder: Embedder, chance: random.Random
) -> Iterable[Sequence[_Example]]:
    if not asked:
        return []
    some = chance.sample(contexts, k=min(len(contexts), _DENSE_CONTEXTS))
    openings = [f"{e.title}\n{e.context[: _OPENING.get(e.language, 320)]}" for e in some]
    passages = embedder.embed_passages(openings)
    questions = np.stack([embedder.embed_query(e.question) for e in asked])
    return [[some[i] for i in np.argsort(-row)[:8]] for row in questions @ passages.T]


def _across(examples: list[_Example], chance: random.Random) -> list[Pair]:
    """Pair the questions of one parallel set with the paragraphs of another."""
    sets: dict[str, dict[str, _Example]] = {name: {} for name in _PARALLEL}
    for example in examples:
        if example.set in sets:
            sets[example.set].setdefault(example.id, example)
    pairs: list[Pair] = []
    for asking in _PARALLEL:
        for telling in _PARALLEL:
            if asking != telling:
                pairs += _between(sets[asking], sets[telling], chance)
    return pairs


def _between(asking: dict[str, _Example], telling: dict[str, _Example], chance: random.Random) -> list[Pair]:
    shared = sorted(asking.keys() & telling.keys())
    chance.shuffle(shared)
    answered = [i for i in shared if telling[i].answers and asking[i].answers][:_CROSS_PER_PAIR]
    pairs = [_met(asking[i], telling[i], "gold") for i in answered]
    wanted = _wanted(len(answered))
    native = [i for i in shared if not telling[i].answers and not asking[i].answers]
    pairs += [_met(asking[i], telling[i], "native") for i in native[: round(wanted * _NATIVE_SHARE)]]
    siblings = _siblings({e.context: e for e in telling.values()}.values())
    for i in chance.choices(answered, k=wanted - min(len(native), round(wanted * _NATIVE_SHARE))) if answered else []:
        fitting = [c for c in siblings[telling[i].group] if _holds_none(c, telling[i])]
        if fitting:
            pairs.append(replace(_met(asking[i], chance.choice(fitting), "sibling"), answers=()))
    return pairs


def _met(asked: _Example, told: _Example, kind: Kind) -> Pair:
    both = f"{asked.language}>{told.language}"
    return Pair(asked.question, told.title, told.context, told.answers, both, kind, asked.group, asked.id)
