"""The sample questions, asked of an index of the sample articles: found, quoted, refused.

A quote is right if it overlaps the gold quote in the same article, or holds one of the gold answers; a short answer, if
it shares at least half of its words (F1) with a gold answer, or one of the two holds the other.

    python -m eval.bench.sample_questions [--failures]
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from eval.metrics import token_f1
from index.article_index import ArticleIndex
from index.articles import readable
from index.build import add_articles
from rag import Answer, Assistant, Settings

_HALF = 0.5
_DATA = Path(__file__).parents[1] / "data"


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failures", action="store_true", help="print every question that went wrong")
    options = parser.parse_args()
    questions = [json.loads(line) for line in (_DATA / "questions.jsonl").read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        add_articles(ArticleIndex.open(folder, create=True), [_DATA / "articles"])
        assistant = Assistant.open(folder, Settings())
        counts: Counter[str] = Counter()
        for gold in questions:
            outcome = _outcome(gold, assistant.ask(gold["question"]))
            counts.update(outcome)
            if options.failures and not outcome["right"]:
                _print_failure(gold, assistant.ask(gold["question"]))
    answerable, refusable = counts["answerable"], counts["refusable"]
    print(f"questions                        {len(questions)}, of which {refusable} have no answer in the articles")
    for name, part, whole in (
        ("gold article found first", "first", answerable),
        ("gold article among five", "five", answerable),
        ("answered, of the answerable", "answered", answerable),
        ("first quote right, if answered", "led", counts["answered"]),
        ("some quote right, if answered", "quoted", counts["answered"]),
        ("first short answer right", "short", counts["answered"]),
        ("refused, of the unanswerable", "refused", refusable),
        ("right in all", "right", len(questions)),
    ):
        print(f"{name:<32} {counts[part]}/{whole} = {counts[part] / max(1, whole):.3f}")


def _outcome(gold: dict[str, Any], answer: Answer) -> dict[str, int]:
    if not gold["evidence"]:
        refused = answer.status == "abstained"
        return {"refusable": 1, "refused": refused, "right": refused}
    wanted = {evidence["article"] for evidence in gold["evidence"]}
    found = [_file(hit.article.uri, hit.article.title) for hit in answer.hits]
    right = [_is_right(gold, citation.quote) for citation in answer.citations]
    quoted = any(right)
    return {
        "answerable": 1,
        "first": _any_in(found[:1], wanted),
        "five": _any_in(found[:5], wanted),
        "answered": answer.status == "answered",
        "led": any(right[:1]),
        "quoted": quoted,
        "short": bool(answer.citations) and _is_short_answer(gold, answer.citations[0].answer),
        "right": quoted,
    }


def _is_right(gold: dict[str, Any], quote: str) -> bool:
    overlaps = any(quote in e["quote"] or e["quote"] in quote for e in gold["evidence"])
    return overlaps or any(a.casefold() in quote.casefold() for a in gold["answers"] if len(a) > 2)


def _is_short_answer(gold: dict[str, Any], given: str) -> bool:
    short = given.casefold()
    holds = any(a.casefold() in short or short in a.casefold() for a in gold["answers"])
    return holds or token_f1(given, gold["answers"], gold["language"]) >= _HALF


def _any_in(found: list[str], wanted: set[str]) -> bool:
    return any(name in wanted for name in found)


def _file(uri: str, title: str) -> str:
    """Name an article as the gold set does; those of the wire, whose URIs are web addresses, by their line."""
    if uri.startswith("file:"):
        return Path(readable(uri)).name
    lines = (_DATA / "articles" / "wire.jsonl").read_text("utf-8").splitlines()
    return next(f"wire.jsonl#L{n}" for n, line in enumerate(lines, 1) if json.loads(line)["title"] == title)


def _print_failure(gold: dict[str, Any], answer: Answer) -> None:
    print(f"{gold['id']} {gold['kind']}: {gold['question']}")
    print(f"   wanted: {[e['quote'] for e in gold['evidence']] or 'no answer'}")
    print(f"   got ({answer.status}, {answer.confidence:.2f}): {[(c.answer, c.quote) for c in answer.citations]}")
    print(f"   found: {[hit.article.title[:40] for hit in answer.hits[:3]]}\n")


if __name__ == "__main__":
    main()
