"""Gold questions, one JSON object a line: what is asked, what is right, and where that stands.

    python -m eval.gold FILE.jsonl ... [--articles FOLDER]

checks them against the articles. A line has ``id, question, language, answers, evidence, kind``, and may have
``as_of`` (the day that a temporal question is about) and ``history`` (the questions before a follow-up).
``evidence`` is a list of ``{article, quote}``: the article by its file's name or by its URI (a line's own URL;
``file:///…``), the quote verbatim in its text, so that it stays valid however passages are cut. Of a ``multi-article``
question every piece of evidence is needed; of any other one is enough, so that all places that answer can be listed. A
question that no article answers has no evidence.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from index.article_index import ArticleIndex
from index.articles import Source, list_files, read_sources
from index.clean import clean
from index.errors import BadRequest, NotAnArticle
from index.types import Article

Kind = Literal[
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
]
_IN_OTHER_WORDS = {"list", "definition", "yes-no", "multi-article"}  # the answers to these stand nowhere in one piece
SAMPLES = Path(__file__).parent / "data" / "articles"
_ALL = 10**9
_LANGUAGE = re.compile("[a-z]{2,3}")
_DAY = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_FEWEST_PIECES = 2
_STRICT = ConfigDict(extra="forbid")


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class Evidence:
    """Where an answer stands: an article by its file's name or URI, and a verbatim quote of its text."""

    article: str
    quote: str


@with_config(_STRICT)
@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question and what is right about it; ``answers`` are all forms that count as right.

    ``place`` says where it was read, as ``gold.jsonl, line 3``.
    """

    id: str
    question: str
    language: str
    answers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    kind: Kind
    as_of: str | None = None
    history: tuple[str, ...] = ()
    place: str = field(default="", compare=False)


_QUESTION = TypeAdapter(GoldQuestion)


def read_gold(path: Path) -> list[GoldQuestion]:
    """Read a file of gold questions.

    Raises:
        BadRequest: the file cannot be read, or a line is not a question; says which line and why.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadRequest(f"cannot read the gold questions {path}: it is not in UTF-8; save it so") from error
    except OSError as error:
        raise BadRequest(f"cannot read the gold questions {path}: {(error.strerror or str(error)).lower()}") from error
    questions = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                questions.append(replace(_checked(line), place=f"{path.name}, line {number}"))
            except ValueError as error:
                raise BadRequest(f"{path}, line {number}: {error}") from error
    if not questions:
        raise BadRequest(f"{path} holds no questions")
    return questions


def _checked(line: str) -> GoldQuestion:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON object ({getattr(error, 'msg', error)})") from error
    if not isinstance(row, dict):
        raise ValueError("no JSON object")
    try:
        question = _QUESTION.validate_python({"answers": [], "evidence": [], **row})
    except ValidationError as error:
        raise ValueError("; ".join(map(_in_words, error.errors()))) from error
    if not any(map(str.isalnum, question.question)):
        raise ValueError("question: it has no words")
    if not _LANGUAGE.fullmatch(question.language):
        raise ValueError(f"language: {question.language!r} is no code such as ru or en")
    if wordless := [answer for answer in question.answers if not any(map(str.isalnum, answer))]:
        raise ValueError(f"answers: {wordless[0]!r} has no words")
    if question.as_of is not None and not (_DAY.fullmatch(question.as_of) and date.fromisoformat(question.as_of)):
        raise ValueError(f"as_of: {question.as_of!r} is no day such as 2024-03-15")
    if question.kind == "follow-up" and not question.history:
        raise ValueError("a follow-up has history: the questions before it")
    if question.kind == "multi-article" and len(question.evidence) < _FEWEST_PIECES:
        raise ValueError("a multi-article question has two pieces of evidence or more; all are needed")
    if {bool(question.evidence), bool(question.answers)} != {question.kind != "unanswerable"}:
        raise ValueError("an unanswerable question has no answers and no evidence, every other has both")
    return question


def _in_words(error: ErrorDetails) -> str:
    where = ".".join(map(str, error["loc"]))
    known = ", ".join(field.name for field in fields(GoldQuestion) if field.name != "place")
    said = {
        "missing": "is missing",
        "unexpected_keyword_argument": f"is no field; there are {known}",
        "tuple_type": 'has to be a list, as in ["…"]',
        "string_type": "has to be a text in quotation marks",
        "dataclass_type": 'has to be an object, as in {"article": "…", "quote": "…"}',
    }
    if error["type"] == "literal_error":
        return f"{where} has to be {error['ctx']['expected']}"
    return f"{where} {said.get(error['type'], error['msg'].lower())}"


def problems(questions: Sequence[GoldQuestion], articles: Mapping[str, Article]) -> Iterator[tuple[GoldQuestion, str]]:
    """Tell what is wrong with which question: asked twice, quotes that stand in no article, answers in no quote."""
    seen: dict[object, str] = {}
    for question in questions:
        asked = (question.question.casefold(), question.as_of, *question.history)
        for key, what in ((question.id, "the id"), (asked, "the question")):
            if key in seen:
                yield question, f"{what} is there already ({seen[key]})"
            seen.setdefault(key, question.place)
        for evidence in question.evidence:
            if complaint := _complaint(evidence, articles.get(evidence.article)):
                yield question, complaint
        quotes = " ".join(e.quote for e in question.evidence).casefold()
        is_held = any(answer.casefold() in quotes for answer in question.answers)
        if question.evidence and question.kind not in _IN_OTHER_WORDS and not is_held:
            yield question, f"no quote holds any of its answers {list(question.answers)}"


def described(found: Iterable[tuple[GoldQuestion, str]]) -> str:
    """Give problems as lines that say where each is."""
    return "\n".join(f"{question.place}: {question.id}: {complaint}" for question, complaint in found)


def _complaint(evidence: Evidence, article: Article | None) -> str:
    if complaint := missing(evidence, article):
        return complaint
    times = article.text.count(evidence.quote) if article else 0
    if times > 1:
        return f"the quote stands {times} times in {evidence.article}; quote more of it: {evidence.quote!r}"
    return ""


def missing(evidence: Evidence, article: Article | None) -> str:
    """Tell why evidence cannot be found, if it cannot."""
    if article is None:
        return f"there is no article, or more than one, called {evidence.article}"
    if not evidence.quote.strip() or evidence.quote not in article.text:
        return f"the quote is not in {evidence.article}: {evidence.quote!r}"
    return ""


def indexed_articles(index: ArticleIndex, names: Collection[str]) -> dict[str, Article]:
    """Find articles of an index by the names that gold questions use, URI or file name; unclear ones are left out."""
    files: dict[str, list[str]] = defaultdict(list)
    _, listed = index.listing(limit=_ALL)
    for each in listed:
        files[_file_name(each.uri)].append(each.id)
    found = {name: index.find_articles(name) or files.get(name, []) for name in names}
    articles = {name: index.article(ids[0]) for name, ids in found.items() if len(ids) == 1}
    return {name: article for name, article in articles.items() if article is not None}


def _file_name(uri: str) -> str:
    parts = urlsplit(uri)
    return unquote(parts.path).rsplit("/", 1)[-1] + (f"#{parts.fragment}" if parts.fragment else "")


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
    print(described(found) or f"{len(questions)} questions, nothing wrong")
    print(", ".join(f"{kind} {count}" for kind, count in Counter(q.kind for q in questions).most_common()))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
