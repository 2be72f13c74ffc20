"""What users say about answers: a file in the index folder, one JSON object a line. It goes nowhere by itself.

    feedback.jsonl          every verdict, in the order given
    feedback.lock           held while one is appended

A line is written whole, to the disk, under the lock. What a crash leaves of a last line is passed over, and the next
feedback starts on a line of its own. `as_gold` makes questions for ``python -m eval.gold`` out of them.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import uuid4

import filelock
from pydantic import TypeAdapter, ValidationError

from index.errors import BadRequest, IndexLocked, IndexProblem
from index.types import Article
from rag.types import Answer, AnswerStatus

LONGEST_COMMENT = 4000  # characters
_PATIENCE = 5  # seconds


@dataclass(frozen=True, slots=True)
class Quoted:
    """What an answer cited: ``quote == article.text[start:end]``; ``answer`` is the short answer in it, if any."""

    article_id: str
    uri: str
    title: str
    start: int
    end: int
    quote: str
    answer: str = ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a user said about one answer, with all of the answer that is needed to judge it later."""

    id: str = field(default_factory=lambda: uuid4().hex)
    at: str = field(default_factory=_now)  # ISO 8601 time (UTC)
    answer_id: str  # later feedback on the same answer replaces this one
    verdict: Literal["up", "down"]
    comment: str = ""
    question: str
    standalone: str
    answer: str  # as shown, with markers
    status: AnswerStatus
    language: str
    answerer: str
    citations: tuple[Quoted, ...]

    @classmethod
    def on(cls, answer: Answer, answer_id: str, verdict: Literal["up", "down"], comment: str = "") -> "Feedback":
        """Note, now, what a user says about an answer."""
        return cls(
            answer_id=answer_id,
            verdict=verdict,
            comment=comment,
            question=answer.question,
            standalone=answer.standalone,
            answer=answer.text,
            status=answer.status,
            language=answer.language,
            answerer=answer.answerer,
            citations=tuple(
                Quoted(c.article_id, c.uri, c.title, c.start, c.end, c.quote, c.answer) for c in answer.citations
            ),
        )


_FEEDBACK = TypeAdapter(Feedback)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the file holds: for each answer the latest feedback, oldest first, and how many lines are no feedback."""

    records: tuple[Feedback, ...]
    bad_lines: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How many answers were voted up and down, how many votes have a comment, and how many lines are no feedback."""

    up: int
    down: int
    commented: int
    bad_lines: int


class FeedbackBook:
    """The feedback on the answers of one index. Safe to share between threads, and between processes."""

    def __init__(self, folder: Path) -> None:
        """Use the file in an index folder; it is made when first written to."""
        self.path = folder / "feedback.jsonl"
        self._lock = filelock.FileLock(folder / "feedback.lock", timeout=_PATIENCE)

    def add(self, feedback: Feedback) -> None:
        """Append, on disk when this returns. Half a surrogate pair becomes a question mark.

        Raises:
            BadRequest: the comment is too long.
            IndexProblem: the folder cannot be written to, or others have been writing for seconds.
        """
        if len(feedback.comment) > LONGEST_COMMENT:
            raise BadRequest(
                f"the comment has {len(feedback.comment):,} characters; {LONGEST_COMMENT:,} are kept at most"
            )
        line = json.dumps(asdict(feedback), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self._lock, self.path.open("a+b") as file:
                file.write(b"\n" + line if _is_torn(file) else line)
                file.flush()
                os.fsync(file.fileno())
        except filelock.Timeout as error:
            raise IndexLocked(f"another process is writing to {self.path}: try again") from error
        except OSError as error:
            raise IndexProblem(f"cannot write to {self.path}: {error.strerror or error}") from error

    def read(self) -> Contents:
        """Read all of it.

        Raises:
            IndexProblem: the file is there but cannot be read.
        """
        latest: dict[str, Feedback] = {}
        bad_lines = 0
        try:
            with self.path.open("rb") as file:
                for line in filter(bytes.strip, file):
                    try:
                        feedback = _FEEDBACK.validate_json(line)
                    except ValidationError:
                        bad_lines += 1
                    else:
                        latest.pop(feedback.answer_id, None)  # so that the dict stays in the order of time
                        latest[feedback.answer_id] = feedback
        except FileNotFoundError:
            pass  # nobody has said anything yet
        except OSError as error:
            raise IndexProblem(f"cannot read {self.path}: {error.strerror or error}") from error
        return Contents(tuple(latest.values()), bad_lines)

    def __iter__(self) -> Iterator[Feedback]:
        """Give the latest feedback on each answer, oldest first."""
        return iter(self.read().records)

    def summary(self) -> Summary:
        """Count."""
        contents = self.read()
        up = sum(feedback.verdict == "up" for feedback in contents.records)
        commented = sum(bool(feedback.comment.strip()) for feedback in contents.records)
        return Summary(up, len(contents.records) - up, commented, contents.bad_lines)


def _is_torn(file: BinaryIO) -> bool:
    """Tell whether the last line of a file lacks its end."""
    if not file.seek(0, SEEK_END):
        return False
    file.seek(-1, SEEK_END)
    return file.read(1) != b"\n"


@dataclass(frozen=True, slots=True)
class Gold:
    """Rows for two files: questions as ``eval.gold`` reads them, and drafts that a person has to complete first.

    A draft has no answers and no evidence, and keys of its own that tell what was ``shown`` and what the user said;
    ``eval.gold`` refuses it until the lists are filled and these keys are gone.
    """

    questions: list[dict[str, Any]]
    drafts: list[dict[str, Any]]


def as_gold(records: Iterable[Feedback], find_article: Callable[[str], Article | None]) -> Gold:
    """Make gold questions of what users approved, and drafts of the rest.

    A follow-up becomes the question that it was completed to. An approved abstention is ``unanswerable``, every other
    question a ``fact``, which says least. What was approved becomes a draft too if the articles cited are gone or
    changed since, or if it has several lines: these differ, and nobody said which of them is right. Of questions asked
    twice the newest counts.

    Args:
        records: oldest first, as a `FeedbackBook` gives them.
        find_article: gives an article by its id (`ArticleIndex.article`).
    """
    questions: dict[str, dict[str, Any]] = {}
    drafts = []
    for feedback in records:
        row = _question(feedback, find_article)
        if row is None:
            drafts.append(_draft(feedback))
        else:
            questions[feedback.standalone.casefold()] = row
    return Gold(list(questions.values()), drafts)


def export(gold: Gold, folder: Path) -> tuple[Path, Path]:
    """Write ``feedback-gold.jsonl`` and ``feedback-drafts.jsonl`` into a folder, over what is there; give their paths.

    Raises:
        BadRequest: they cannot be written.
    """
    paths = folder / "feedback-gold.jsonl", folder / "feedback-drafts.jsonl"
    for path, rows in zip(paths, (gold.questions, gold.drafts), strict=True):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            path.write_text(lines, "utf-8", "replace")
        except OSError as error:
            raise BadRequest(f"cannot write {path}: {error.strerror or error}") from error
    return paths


def _question(feedback: Feedback, find_article: Callable[[str], Article | None]) -> dict[str, Any] | None:
    if feedback.verdict == "down" or "\n" in feedback.answer.strip():
        return None
    if feedback.status == "abstained":
        return _row(feedback, "unanswerable")
    standing = [
        (article.uri, quoted)
        for quoted in feedback.citations
        if quoted.quote and (article := find_article(quoted.article_id)) and quoted.quote in article.text
    ]
    if not standing:
        return None
    answers = dict.fromkeys(quoted.answer or quoted.quote for _, quoted in standing)
    evidence = dict.fromkeys((uri, quoted.quote) for uri, quoted in standing)
    row = _row(feedback, "fact")
    return row | {"answers": list(answers), "evidence": [{"article": uri, "quote": quote} for uri, quote in evidence]}


def _draft(feedback: Feedback) -> dict[str, Any]:
    said = {"verdict": feedback.verdict, "comment": feedback.comment, "shown": feedback.answer}
    return _row(feedback, "fact") | said


def _row(feedback: Feedback, kind: str) -> dict[str, Any]:
    return {
        "id": f"feedback-{feedback.id}",
        "question": feedback.standalone,
        "language": feedback.language,
        "answers": [],
        "evidence": [],
        "kind": kind,
    }
