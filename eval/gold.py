"""Gold questions, one JSON object a line: what is asked, what is right, and where that stands.

    python -m eval.gold FILE.jsonl ... [--articles FOLDER]

checks them against the articles. A line has ``id, question, language, answers, evidence, kind``, and may have
``as_of`` (the day that a temporal question is about) and ``history`` (the questions before a follow-up).
``evidence`` is a list of ``{article, quote}``: the article by its file's name (``wire.jsonl#L3`` for a line of one) or
by its URI (a line's own URL; ``file:///…``), the quote verbatim in its text, so that it stays valid however passages
are cut. A question that no article answers has no evidence.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from index.articles import Source, list_files, read_sources
from index.clean import clean
from index.errors import BadRequest, NotAnArticle
from index.types import Article

KINDS = (
    "fact",
    "list",
    "definition",
    "number",
    "date",
    "yes-no",
    "multi-article",
    "temporal",
    "follow-up",
    "unanswerable",
)
_IN_OTHER_WORDS = {"list", "definition", "yes-no", "multi-article"}  # the answers to these stand nowhere in one piece
SAMPLES = Path(__file__).parent / "data" / "articles"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where an answer stands: an article by its file's name or URI, and a verbatim quote of its title or text."""

    article: str
    quote: str


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question and what is right about it; ``answers`` are all forms that count as right."""

    id: str
    question: str
    language: str
    answers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    kind: str
    as_of: str | None = None
    history: tuple[str, ...] = ()


def read_gold(path: Path) -> list[GoldQuestion]:
    """Read a file of gold questions.

    Raises:
        BadRequest: the file cannot be read, or a line is not a question; says which line and why.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read the gold questions {path}: {error}") from error
    questions = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                questions.append(_question(json.loads(line)))
            except (ValueError, TypeError, KeyError) as error:
                raise BadRequest(f"{path}, line {number}: not a gold question ({error})") from error
    return questions


def _question(row: dict[str, Any]) -> GoldQuestion:
    known = {field.name for field in fields(GoldQuestion)}
    if not isinstance(row, dict) or (unknown := row.keys() - known):
        raise ValueError(f"unknown keys {sorted(unknown)}" if isinstance(row, dict) else "no JSON object")
    if not all(isinstance(row.get(name, []), list) for name in ("answers", "evidence", "history")):
        raise ValueError("answers, evidence and history are lists")
    evidence = tuple(Evidence(e["article"], e["quote"]) for e in row["evidence"])
    question = GoldQuestion(
        row["id"],
        row["question"],
        row["language"],
        tuple(row["answers"]),
        evidence,
        row["kind"],
        row.get("as_of"),
        tuple(row.get("history", ())),
    )
    if question.kind not in KINDS:
        raise ValueError(f"unknown kind {question.kind!r}, none of {', '.join(KINDS)}")
    if {bool(evidence), bool(question.answers)} != {question.kind != "unanswerable"}:
        raise ValueError("an unanswerable question has no answers and no evidence, every other has both")
    return question


def problems(questions: Sequence[GoldQuestion], articles: Mapping[str, Article]) -> Iterator[str]:
    """Tell what is wrong: questions asked twice, quotes that stand in no article, answers that no quote holds."""
    for what, count in Counter(q.id for q in questions).items():
        if count > 1:
            yield f"{what}: the id is there {count} times"
    for asked, count in Counter((q.question.casefold(), q.as_of, *q.history) for q in questions).items():
        if count > 1:
            yield f"asked {count} times: {asked[0]}"
    for question in questions:
        for evidence in question.evidence:
            article = articles.get(evidence.article)
            if article is None:
                yield f"{question.id}: no article {evidence.article}"
            elif evidence.quote not in article.text and evidence.quote not in article.title:
                yield f"{question.id}: not in {evidence.article}: {evidence.quote}"
        quotes = " ".join(e.quote for e in question.evidence).casefold()
        is_held = any(answer.casefold() in quotes for answer in question.answers)
        if question.evidence and question.kind not in _IN_OTHER_WORDS and not is_held:
            yield f"{question.id}: no quote holds any of its answers {list(question.answers)}"


def named_articles(folder: Path) -> dict[str, Article]:
    """Read and clean the articles of a folder; give each by both names that gold questions use, file and URI."""
    by_file: dict[str, Article] = {}
    by_uri: dict[str, Article] = {}
    for file in list_files([folder]):
        if isinstance(file, Path):
            for number, source in enumerate(read_sources(file), 1):
                if isinstance(source, Source) and (article := _cleaned(source)):
                    by_file[f"{file.name}#L{number}" if source.kind == "record" else file.name] = article
                    by_uri.setdefault(article.uri, article)  # an index takes the first of a URI, too
    return by_uri | by_file  # in this order: whoever turns it round gets the files' names


def _cleaned(source: Source) -> Article | None:
    try:
        return clean(source)
    except NotAnArticle:  # an index has no such article either
        return None


def main() -> None:
    """Check files of gold questions; the exit status is 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="gold questions")
    parser.add_argument("--articles", type=Path, default=SAMPLES, help="what they ask about (the sample articles)")
    options = parser.parse_args()
    try:
        questions = [question for path in options.files for question in read_gold(path)]
    except BadRequest as error:
        raise SystemExit(str(error)) from error
    found = list(problems(questions, named_articles(options.articles)))
    print("\n".join(found) or f"{len(questions)} questions, nothing wrong")
    print(", ".join(f"{kind} {count}" for kind, count in Counter(q.kind for q in questions).most_common()))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
