"""The same articles and gold questions through other tools, each in an environment of its own: what is found, how fast.

    python -m eval.peers [GOLD.jsonl ...] [--articles FOLDER] [--peers NAME ...] [--venvs DIR] [--rounds N]
                         [--json FILE]

The tools are LangChain as its tutorials put it together, txtai (dense and lexical search fused, and dense alone),
haiku.rag, and this project (as it was found, and after reading). All have the same cleaned articles, and all embed by
the same weights of multilingual-e5-small with its prefixes. A driver, ``PYTHON DRIVER ARTICLES QUESTIONS MODEL OUT
[VARIANT]``, indexes the articles (``url, title, text`` a line), indexes them again unchanged, asks the questions
(``id, question`` a line), and writes one JSON object: ``indexing_seconds``, ``again_seconds``, ``found`` (by question,
the ten best passages, ``article, text``), ``seconds`` of each question, ``peak_mb``, ``versions``. Models are loaded
before the clock starts.

Follow-ups and unanswerable questions are left out. Recall@k is the share of a question's needs (`eval.peers.relevance`)
that the first k passages meet, mean over questions; by pair of languages, asked and written, it is the mean over needs.
Intervals draw all questions of an article at a time. Beside each figure stands its ratio to the tutorial's of this run.
Longer passages hold more, so mind their length. Times are medians of the rounds, in which the tools take turns.

Answers are not measured: those of the other tools need an LLM. Three tools one would also compare cannot be installed
from PyPI: kotaemon and Onyx are not there, and of RAGFlow there is only a client of its server (``ragflow`` is another
project).
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from eval.gold import SAMPLES, GoldQuestion, described, named_articles, problems, read_gold
from eval.metrics import Estimate, estimate, mean_of
from eval.peers.relevance import FoundPassage, Need, first_rank, needs_of, recall, reciprocal_rank
from eval.peers.running import PEERS, VENVS, Peer, run_all
from index.errors import BadRequest, RagError
from index.types import Article

_GOLD = [SAMPLES.parent / "gold.jsonl"]
_BASELINE = "tutorial"
_FEWEST_NEEDS = 5  # that a pair of languages has to have for a row of its own
_DEPTH = 10
_LABEL, _COLUMN, _RATIO = 32, 17, 8  # characters of the table


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its needs; questions of the same ``cluster`` are about the same article."""

    question: GoldQuestion
    needs: tuple[Need, ...]
    cluster: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one tool: its figures by name, the interval of recall@1, and the versions of its packages."""

    figures: dict[str, float]
    interval: Estimate
    versions: dict[str, str]


def main(arguments: Sequence[str] | None = None, peers: Sequence[Peer] = PEERS) -> None:
    """Install and run the tools, and print the table; exits with status 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gold", nargs="*", type=Path, help="gold questions (default: the set for reporting)")
    parser.add_argument("--articles", type=Path, default=SAMPLES, help="what they ask about (the sample articles)")
    names = [peer.name for peer in peers]
    parser.add_argument("--peers", nargs="+", choices=names, default=names, help="which tools (default: all)")
    parser.add_argument("--venvs", type=Path, default=VENVS, help="where they are installed")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each tool, in turns (default: 1)")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    options = parser.parse_args(arguments)
    articles = named_articles(options.articles)
    try:
        questions = [question for path in options.gold or _GOLD for question in read_gold(path)]
        if found := list(problems(questions, articles)):
            raise BadRequest(described(found))
        cases = _cases(questions, articles)
        if not cases:
            raise BadRequest("none of the questions is answerable and stands alone")
        chosen = [peer for peer in peers if peer.name in options.peers]
        asked = [case.question for case in cases]
        distinct = list({article.uri: article for article in articles.values()}.values())
        runs = run_all(chosen, distinct, asked, options.venvs, options.rounds)
    except RagError as error:
        raise SystemExit(str(error)) from error
    table = {name: measure(runs_of_one, cases, articles) for name, runs_of_one in runs.items()}
    print("\n".join(_table(table, cases)))
    if options.json:
        options.json.write_text(json.dumps(_record(table), indent=1, ensure_ascii=False) + "\n", "utf-8")
    raise SystemExit(len(table) < len(chosen))


def _cases(questions: Sequence[GoldQuestion], articles: Mapping[str, Article]) -> list[Case]:
    """Give the answerable questions that stand alone, with what each needs."""
    numbers: dict[str, int] = {}
    cases = []
    for question in questions:
        if question.evidence and not question.history:
            about = articles[question.evidence[0].article].uri
            cluster = numbers.setdefault(about, len(numbers))
            cases.append(Case(question, tuple(needs_of(question, articles)), cluster))
    return cases


# Measuring


def measure(runs: Sequence[Mapping[str, Any]], cases: Sequence[Case], articles: Mapping[str, Article]) -> Measured:
    """Give the figures of one tool: of what its first run found, and of the times of all its runs."""
    found = {
        asked: [FoundPassage(row["article"], row["text"]) for row in rows[:_DEPTH]]
        for asked, rows in runs[0]["found"].items()
    }
    ranks = [[first_rank(need, found.get(case.question.id, []), articles) for need in case.needs] for case in cases]
    recalls = [recall(of_one, 1) for of_one in ranks]
    pairs_met = [
        (need.pair, rank <= 1)
        for case, of_one in zip(cases, ranks, strict=True)
        for need, rank in zip(case.needs, of_one, strict=True)
    ]
    figures = {
        "recall@1": mean(recalls),
        "recall@5": mean(recall(of_one, 5) for of_one in ranks),
        f"MRR@{_DEPTH}": mean(reciprocal_rank(of_one, _DEPTH) for of_one in ranks),
    }
    for name, pairs in _language_rows(cases).items():
        figures[f"recall@1 {name}"] = mean(met for pair, met in pairs_met if pair in pairs)
    figures |= {
        "indexing, s": median(run["indexing_seconds"] for run in runs),
        "indexing again, s": median(run["again_seconds"] for run in runs),
        "a question, p50, ms": 1000 * median(seconds for run in runs for seconds in run["seconds"]),
        "memory at its peak, MB": max(run["peak_mb"] for run in runs),
        "characters of a passage": mean(len(passage.text) for passages in found.values() for passage in passages),
    }
    return Measured(figures, estimate(mean_of(recalls), [case.cluster for case in cases]), runs[0]["versions"])


def _language_rows(cases: Sequence[Case]) -> dict[str, set[str]]:
    """Give the pairs of languages that make up a row of the table, by its name, which counts their needs."""
    counts = Counter(need.pair for case in cases for need in case.needs)
    within = {pair for pair in counts if len(set(pair.split("→"))) == 1}
    rows = {"within a language": within, "across languages": counts.keys() - within}
    rows |= {pair: {pair} for pair, count in counts.most_common() if count >= _FEWEST_NEEDS}
    return {f"{name} ({sum(counts[pair] for pair in pairs)})": pairs for name, pairs in rows.items() if pairs}


# Showing


def _table(table: Mapping[str, Measured], cases: Sequence[Case]) -> Iterator[str]:
    """Give the lines of the table: a row for each figure, a column for each tool, then the versions."""
    yield f"{len(cases)} questions; beside each figure its ratio to that of {_BASELINE}"
    yield "".join([" " * _LABEL, *(f"{name:>{_COLUMN}}" for name in table)])
    for figure in next(iter(table.values())).figures if table else ():
        cells = (_cell(of_one, table.get(_BASELINE), figure) for of_one in table.values())
        yield "".join([f"{figure:<{_LABEL}}", *cells])
        if figure == "recall@1":
            intervals = (f"[{of_one.interval.low:.3f}, {of_one.interval.high:.3f}]" for of_one in table.values())
            yield "".join([f"{'  95 % interval':<{_LABEL}}", *(f"{interval:>{_COLUMN}}" for interval in intervals)])
    for name, of_one in table.items():
        yield f"{name}: {', '.join(f'{package} {version}' for package, version in of_one.versions.items())}"


def _cell(of_one: Measured, baseline: Measured | None, figure: str) -> str:
    value = of_one.figures[figure]
    ratio = value / baseline.figures[figure] if baseline and baseline.figures[figure] else math.nan
    shown = f"{value:.3f}" if value < 10 else f"{value:,.1f}"
    return f"{shown:>{_COLUMN - _RATIO}}{'' if math.isnan(ratio) else f'{ratio:.2f}x':>{_RATIO}}"


def _record(table: Mapping[str, Measured]) -> dict[str, Any]:
    return {
        name: {"figures": m.figures, "recall@1, 95 %": [m.interval.low, m.interval.high], "versions": m.versions}
        for name, m in table.items()
    }


if __name__ == "__main__":
    main()
