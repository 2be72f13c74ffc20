"""How well the trained reader reads, on XQuAD and ClapNQ: answers, reranking, and knowing what it does not know.

    python -m eval.reader XQUAD_FOLDER [--clapnq FOLDER] [--out FILE.json]

All figures have 95 % intervals by the bootstrap over articles. XQuAD's paragraphs are indexed and read without a title,
as in the benchmark of retrieval. Nothing here was trained or fitted on.
"""

import argparse
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.curve import risk_coverage_svg
from eval.metrics import (
    Estimate,
    Floats,
    Statistic,
    Truths,
    area_under_risk,
    auroc,
    estimate,
    exact_match,
    mean_of,
    operating_points,
    token_f1,
)
from eval.squad import SquadSet, read_squad, write_records
from index.article_index import ArticleIndex
from index.build import add_articles
from index.language import detect
from index.types import Where
from rag.reader.calibration import logit
from rag.reader.multilingual_reader import MultilingualReader, widened
from rag.reader.pair_reader import OnnxPairReader, PairReader, TorchPairReader
from rag.retrieve import HybridRetriever
from rag.settings import Settings
from rag.types import Hit, Question, Reading

Figures = dict[str, Estimate]

_LANGUAGES = ("en", "de", "es", "zh")
_F1 = {"en": 0.80, "de": 0.70, "es": 0.72, "zh": 0.60}
_OPEN_LOSS = -0.03
_RERANK_ENGLISH, _RERANK_ACROSS = 0.975, 0.90
_SIBLINGS, _CLAPNQ = 0.93, 0.75
_THRESHOLDS = tuple(n / 10 for n in range(1, 10))
_PER_ARTICLE = 3  # passages of one article among those retrieved
_WITHHELD_SHARE = 0.5
_SEED = 7


class Memory:
    """A reader that reads nothing twice."""

    def __init__(self, reader: PairReader) -> None:
        """Read with ``reader`` what was not read before."""
        self._reader = reader
        self._known: dict[tuple[str, str, str], Reading] = {}

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        """Give a reading of each passage, a pair of title and text."""
        unread = [p for p in dict.fromkeys(passages) if (question, *p) not in self._known]
        for passage, reading in zip(unread, self._reader.read(question, unread), strict=True):
            self._known[question, *passage] = reading
        return [self._known[question, *passage] for passage in passages]

    def warm_up(self) -> None:
        """Load the model now."""
        self._reader.warm_up()

    def read_text(self, question: str, text: str) -> Reading:
        """Give the reading of one passage that has no title."""
        return self.read(question, [("", text)])[0]


@dataclass(frozen=True, slots=True)
class Searched:
    """One language of XQuAD: its paragraphs, indexed, and those of its questions that are asked of an index."""

    language: str
    data: SquadSet
    index: ArticleIndex
    questions: dict[int, Question]

    def retrieve(self, question: Question, depth: int) -> list[Hit]:
        """Give the passages that a question finds."""
        return HybridRetriever(self.index, _PER_ARTICLE, Where()).retrieve(question, depth)

    def article_of(self, number: int) -> int:
        """Give the article that answers a question."""
        return self.data.articles[self.data.gold[number]]


def main() -> None:
    """Measure, print, and write what was measured."""
    options = _options()
    sets = {language: read_squad(options.folder / f"{language}.json") for language in _LANGUAGES}
    order = in_turns(sets["en"])
    few, many = order[: options.per_pair], order[: options.questions]
    memory = Memory(TorchPairReader(print, options.device) if options.device else OnnxPairReader(print))
    with tempfile.TemporaryDirectory() as scratch:
        searched = [_searched(language, data, few, Path(scratch)) for language, data in sets.items()]
        figures = (
            _read_gold(sets, many, memory)
            | _answer_open(searched, options.depth, memory)
            | _rerank(searched, options.depth, memory)
            | _tell_siblings(sets, many, memory)
            | (_tell_clapnq(options.clapnq, memory) if options.clapnq else {})
            | _weigh_risk(searched, options.depth, memory, options.picture)
        )
    _compare(figures)
    if options.out:
        settings = {
            name: str(value) for name, value in vars(options).items() if name in ("per_pair", "depth", "device")
        }
        written = {name: _in_json(figure) for name, figure in figures.items()}
        options.out.write_text(json.dumps({"settings": settings, "figures": written}, indent=1) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds en.json, de.json, es.json and zh.json of XQuAD")
    parser.add_argument("--clapnq", type=Path, help="holds clapnq_answerable.jsonl and clapnq_unanswerable.jsonl")
    parser.add_argument("--questions", type=int, help="with their own paragraph, a language (default: all)")
    parser.add_argument("--per-pair", type=int, default=240, help="over an index, a pair of languages (%(default)s)")
    parser.add_argument(
        "--depth", type=int, default=16, help="passages found, of which eight are read at a time (%(default)s)"
    )
    parser.add_argument("--device", help="read with torch on this device (default: onnxruntime in int8 on the CPU)")
    parser.add_argument("--picture", type=Path, help="draw the risk-coverage curves as an SVG")
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    return parser.parse_args()


def in_turns(data: SquadSet, seed: int = _SEED) -> list[int]:
    """Order questions by chance so that each paragraph has had one before any has another."""
    chance = random.Random(seed)
    numbers = list(range(len(data.questions)))
    chance.shuffle(numbers)
    turns = Counter[int]()
    turn: dict[int, int] = {}
    for number in numbers:
        turns[data.gold[number]] += 1
        turn[number] = turns[data.gold[number]]
    return sorted(numbers, key=lambda number: turn[number])


def _searched(language: str, data: SquadSet, numbers: Sequence[int], scratch: Path) -> Searched:
    records = scratch / f"{language}.jsonl"
    write_records(data, records)
    index = ArticleIndex.open(scratch / language, create=True, say=print)
    add_articles(index, [records])
    questions = {}
    for number in tqdm(numbers, desc=f"questions {language}", leave=False):
        text = data.questions[number]
        questions[number] = Question(text, detect(text), index.embedder.embed_query(text))
    return Searched(language, data, index, questions)


def _paragraph(hit: Hit) -> int:
    return int(hit.article.uri.removeprefix("paragraph:"))


def _first(question: Question, hits: Sequence[Hit], memory: Memory) -> Hit:
    """Give the passage that the assistant's own reranker puts first."""
    return MultilingualReader(memory, 0.0).rerank(question, list(hits))[0]


def _answer_in(hit: Hit) -> str:
    return _words(hit.text, hit.reading) if hit.reading else ""


# The tables


def _read_gold(sets: dict[str, SquadSet], numbers: Sequence[int], memory: Memory) -> Figures:
    print(f"\nThe right paragraph given: {len(numbers)} questions a language\n{'':<5}{'exact match':<22}F1")
    figures: Figures = {}
    for language, data in sets.items():
        answers = [_answer(data, n, memory) for n in tqdm(numbers, desc=f"gold {language}", leave=False)]
        clusters = [data.articles[data.gold[n]] for n in numbers]
        measures: dict[str, Callable[[str, Sequence[str], str], float]] = {"exact": exact_match, "f1": token_f1}
        for name, measure in measures.items():
            values = [measure(answer, data.answers[n], language) for n, answer in zip(numbers, answers, strict=True)]
            figures[f"gold/{name}/{language}"] = estimate(mean_of(values), clusters)
        print(f"{language:<5}{figures[f'gold/exact/{language}']}  {figures[f'gold/f1/{language}']}")
    return figures


def _answer(data: SquadSet, number: int, memory: Memory) -> str:
    text = data.paragraphs[data.gold[number]]
    return _words(text, memory.read_text(data.questions[number], text))


def _words(text: str, reading: Reading) -> str:
    start, end = widened(text, reading)
    return text[start:end]


def _answer_open(searched: Sequence[Searched], depth: int, memory: Memory) -> Figures:
    print(f"\nThe answer of the passage that comes first of {depth} retrieved, F1\n{'':<5}{'F1':<22}less gold's")
    figures: Figures = {}
    for one in searched:
        f1s, losses, clusters = list[float](), list[float](), list[int]()
        for number, question in tqdm(one.questions.items(), desc=f"open {one.language}", leave=False):
            answer = _answer_in(_first(question, one.retrieve(question, depth), memory))
            right = one.data.answers[number]
            f1s.append(token_f1(answer, right, one.language))
            losses.append(f1s[-1] - token_f1(_answer(one.data, number, memory), right, one.language))
            clusters.append(one.article_of(number))
        found = estimate(mean_of(f1s), clusters)
        loss = estimate(mean_of(losses), clusters)
        figures |= {f"open/f1/{one.language}": found, f"open/f1-less-gold/{one.language}": loss}
        print(f"{one.language:<5}{found}  {loss}")
    return figures


def _rerank(searched: Sequence[Searched], depth: int, memory: Memory) -> Figures:
    print(
        f"\nThe right paragraph first, and among {depth}\n{'asked → found':<15}{'retrieved':<22}{'reranked':<22}among"
    )
    figures: Figures = {}
    for asking, telling in product(searched, searched):
        both = f"{asking.language}>{telling.language}"
        before, after, among = list[float](), list[float](), list[float]()
        for number, question in tqdm(asking.questions.items(), desc=f"rerank {both}", leave=False):
            gold = asking.data.gold[number]
            hits = telling.retrieve(question, depth)
            before.append(_paragraph(hits[0]) == gold)
            after.append(_paragraph(_first(question, hits, memory)) == gold)
            among.append(any(_paragraph(hit) == gold for hit in hits))
        clusters = [asking.article_of(number) for number in asking.questions]
        columns = {"retrieved": before, "reranked": after, "among": among}
        row = {f"rerank/{name}/{both}": estimate(mean_of(values), clusters) for name, values in columns.items()}
        print(f"{both.replace('>', ' → '):<15}" + "  ".join(map(str, row.values())))
        figures |= row
    return figures


def _tell_siblings(sets: dict[str, SquadSet], numbers: Sequence[int], memory: Memory) -> Figures:
    print("\nIts own paragraph against another of the same article, without the answer\n     AUROC")
    figures: Figures = {}
    for language, data in sets.items():
        logits, own, clusters = list[float](), list[bool](), list[int]()
        for number in tqdm(numbers, desc=f"siblings {language}", leave=False):
            other = _sibling(data, number)
            if other is None:
                continue
            for paragraph in (data.gold[number], other):
                logits.append(logit(memory.read_text(data.questions[number], data.paragraphs[paragraph])))
                own.append(paragraph != other)
                clusters.append(data.articles[other])
        figures[f"siblings/auroc/{language}"] = _auroc(logits, own, clusters)
        print(f"{language:<5}{figures[f'siblings/auroc/{language}']}  {len(own) // 2} questions")
    return figures


def _sibling(data: SquadSet, number: int) -> int | None:
    """Choose another paragraph of the article, one that holds none of the answers."""
    gold, answers = data.gold[number], [answer.casefold() for answer in data.answers[number]]
    fitting = [
        paragraph
        for paragraph, article in enumerate(data.articles)
        if article == data.articles[gold] and paragraph != gold
        if not any(answer in data.paragraphs[paragraph].casefold() for answer in answers)
    ]
    return random.Random(f"{_SEED} {number}").choice(fitting) if fitting else None


def _auroc(logits: Sequence[float], positive: Sequence[bool], clusters: Sequence[int]) -> Estimate:
    scores, truths = np.array(logits), np.array(positive)
    return estimate(lambda rows: auroc(scores[rows], truths[rows]), clusters)


def _tell_clapnq(folder: Path, memory: Memory) -> Figures:
    logits, answerable, titles = list[float](), list[bool](), dict[str, int]()
    clusters = list[int]()
    for name in ("answerable", "unanswerable"):
        lines = (folder / f"clapnq_{name}.jsonl").read_text("utf-8").splitlines()
        for line in tqdm(lines, desc=f"ClapNQ {name}", leave=False):
            row = json.loads(line)
            passages = [(passage["title"], passage["text"]) for passage in row["passages"]]
            logits.append(max(map(logit, memory.read(row["input"], passages))))
            answerable.append(name == "answerable")
            clusters.append(titles.setdefault(passages[0][0], len(titles)))
    found = _auroc(logits, answerable, clusters)
    print(f"\nClapNQ, answerable against not: AUROC {found}  {found.count} questions")
    return {"clapnq/auroc": found}


# Risk and coverage


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a question whose article may have been withheld."""

    confidence: float
    right: bool
    answerable: bool
    article: int


def _weigh_risk(searched: Sequence[Searched], depth: int, memory: Memory, picture: Path | None) -> Figures:
    asked = {one.language: list(_ask_withheld(one, depth, memory)) for one in searched}
    figures: Figures = {}
    if picture:
        _draw(asked, picture)
    print("\nHalf of the questions with their article taken out: area under the risk-coverage curve (0 at best)")
    for name, answered in [*asked.items(), ("all", [a for some in asked.values() for a in some])]:
        area, least = _area(answered), _least_area(answered)
        figures[f"risk/area/{name}"] = area
        print(f"{name:<5}{area}  with the right ones first it were {least:.3f}")
        figures |= _at_thresholds(name, answered)
    print(
        f"\nall, answering from a probability on\n{'':<5}{'answered':<22}{'of the answerable':<22}right of the answered"
    )
    for threshold in _THRESHOLDS:
        columns = [figures[f"risk/{what}@{threshold}/all"] for what in ("coverage", "answerable", "precision")]
        print(f"{threshold:<5}" + "  ".join(map(str, columns)))
    return figures


def _ask_withheld(one: Searched, depth: int, memory: Memory) -> Iterator[Answered]:
    """Ask every question; of half of them drop what is found in their article, and read on as deep."""
    numbers = list(one.questions)
    withheld = set(random.Random(f"{_SEED} {one.language}").sample(numbers, round(_WITHHELD_SHARE * len(numbers))))
    paragraphs = max(map(one.data.articles.count, set(one.data.articles)))
    for number in tqdm(numbers, desc=f"withheld {one.language}", leave=False):
        question, article = one.questions[number], one.article_of(number)
        if number in withheld:
            found = one.retrieve(question, depth + _PER_ARTICLE * paragraphs)
            hits = [hit for hit in found if one.data.articles[_paragraph(hit)] != article][:depth]
        else:
            hits = one.retrieve(question, depth)
        first = _first(question, hits, memory)
        right = number not in withheld and token_f1(_answer_in(first), one.data.answers[number], one.language) > 0
        yield Answered(first.relevance or 0.0, right, number not in withheld, article)


def _draw(asked: dict[str, list[Answered]], path: Path) -> None:
    together = [answered for some in asked.values() for answered in some]
    curves = {"all": together, **asked}
    least = Settings().sure_confidence
    (default,) = operating_points(*_columns(together), (least,))
    mark = (default.coverage, 1 - default.precision, f"from {least} on")
    path.write_text(risk_coverage_svg({name: _columns(some) for name, some in curves.items()}, [mark]), "utf-8")


def _columns(answered: Sequence[Answered]) -> tuple[Floats, Truths]:
    return np.array([a.confidence for a in answered]), np.array([a.right for a in answered])


def _area(answered: Sequence[Answered]) -> Estimate:
    confidence, right = _columns(answered)
    return estimate(lambda rows: area_under_risk(confidence[rows], right[rows]), [a.article for a in answered])


def _least_area(answered: Sequence[Answered]) -> float:
    _, right = _columns(answered)
    return area_under_risk(right.astype(np.float64), right)


def _at_thresholds(name: str, answered: Sequence[Answered]) -> Figures:
    clusters = [a.article for a in answered]
    answerable = [a for a in answered if a.answerable]
    figures: Figures = {}
    for threshold in _THRESHOLDS:
        at = f"@{threshold}/{name}"
        figures[f"risk/coverage{at}"] = estimate(mean_of([a.confidence >= threshold for a in answered]), clusters)
        figures[f"risk/answerable{at}"] = estimate(
            mean_of([a.confidence >= threshold for a in answerable]), [a.article for a in answerable]
        )
        figures[f"risk/precision{at}"] = estimate(_precision(answered, threshold), clusters)
    return figures


def _precision(answered: Sequence[Answered], threshold: float) -> Statistic:
    confidence, right = _columns(answered)
    return lambda rows: operating_points(confidence[rows], right[rows], (threshold,))[0].precision


# Against the floors


def _compare(figures: Figures) -> None:
    floors = {f"gold/f1/{language}": floor for language, floor in _F1.items()}
    floors |= {f"open/f1-less-gold/{language}": _OPEN_LOSS for language in _LANGUAGES}
    floors["rerank/reranked/en>en"] = _RERANK_ENGLISH
    floors |= {f"rerank/reranked/{a}>{b}": _RERANK_ACROSS for a, b in product(_LANGUAGES, _LANGUAGES) if a != b}
    floors |= {f"siblings/auroc/{language}": _SIBLINGS for language in _LANGUAGES}
    floors["clapnq/auroc"] = _CLAPNQ
    print(f"\n{'figure':<28}{'floor':>7}  reached")
    for name, floor in floors.items():
        if name in figures:
            verdict = "" if figures[name].value >= floor else "  BELOW"
            print(f"{name:<28}{floor:>7.3f}  {figures[name]}{verdict}")


def _in_json(figure: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in asdict(figure).items()}


if __name__ == "__main__":
    main()
