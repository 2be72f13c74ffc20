"""What is kept of every question of a run: what was asked, found, said and cited, one JSON object a line.

Figures are made from these records alone, so that they can be made again, and two runs compared, without asking anew.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

_MARKER = re.compile(r"\s*\[\d+\]")
FOUND = 10  # passages kept of each question


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of gold evidence where it stands: ``article.text[start:end] == quote``, offsets in characters."""

    uri: str
    language: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was retrieved; ``pieces`` are the numbers of the pieces of evidence that it covers."""

    uri: str
    title: str
    start: int
    end: int
    language: str
    relevance: float | None
    text: str
    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation; ``is_right`` says whether it supports a right answer, ``pieces`` which evidence it is."""

    uri: str
    title: str
    start: int
    end: int
    quote: str
    answer: str
    is_verbatim: bool
    is_right: bool
    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One question with all that came of it.

    ``needs`` groups the pieces of evidence: of each group one piece is enough, and every group is needed. ``scores``
    are the metrics of this question by name, each 0..1; a metric that has no meaning for it is absent.
    """

    id: str
    question: str
    language: str
    kind: str
    history: tuple[str, ...]
    answers: tuple[str, ...]
    evidence: tuple[Piece, ...]
    needs: tuple[tuple[int, ...], ...]
    standalone: str  # as it was searched for
    status: str  # answered, partial or abstained; "failed" where asking raised an error
    confidence: float  # 0..1
    answerer: str
    text: str  # as shown, with markers
    short: str  # what is compared with the right answers: the first answer alone
    found: tuple[Found, ...]
    cited: tuple[Cited, ...]
    first: Cited | None  # the first citation; where the assistant abstained, what it would have quoted
    timings: dict[str, float]  # milliseconds by stage
    error: str = ""
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """The text without its markers."""
        return _MARKER.sub("", self.text)

    @property
    def is_answerable(self) -> bool:
        """Whether the articles hold an answer."""
        return bool(self.evidence)

    @property
    def is_refused(self) -> bool:
        """Whether no answer was given."""
        return self.status in ("abstained", "failed")

    @property
    def pairs(self) -> tuple[str, ...]:
        """The pairs of languages, of question and article, that it stands for: ``ru→en``; none if unanswerable."""
        return tuple(dict.fromkeys(f"{self.language}→{piece.language}" for piece in self.evidence))

    @property
    def pair(self) -> str:
        """The pair of languages, of the question and of the first article that answers; empty if unanswerable.

        An article in the question's own language comes first where there is one: it is the easier to find.
        """
        own = f"{self.language}→{self.language}"
        return own if own in self.pairs else next(iter(self.pairs), "")


_RECORD = TypeAdapter(Record)


def line_of(record: Record) -> str:
    """Give a record as one line of JSON. Half a surrogate pair, which no file takes, becomes a question mark."""
    return json.dumps(asdict(record), ensure_ascii=False).encode("utf-8", "replace").decode() + "\n"


def read_records(path: Path) -> Iterator[Record]:
    """Read the records of a run, in order; a last line that was cut off is passed over.

    Raises:
        ValueError: another line is not a record; says which.
    """
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _RECORD.validate_json(line)
            except ValidationError as error:
                if number == len(lines):  # no end of line: the process was stopped while it wrote
                    return
                raise ValueError(f"{path}, line {number}: not a record ({error.errors()[0]['msg']})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        OSError, ValueError: there is none.
    """
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path}: no JSON object")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object into a file, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n", "utf-8")
    part.replace(path)
