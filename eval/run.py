"""One run: every gold question is asked, and noted at once, so that an interrupted run goes on where it stopped."""

import hashlib
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from eval.evidence import cited_of, found_of, needs_of, pieces_of
from eval.gold import GoldQuestion
from eval.records import FOUND, Cited, Piece, Record, line_of, read_json, read_records, write_json
from eval.scores import score
from index.article_index import ArticleIndex
from index.errors import BadRequest, RagError
from index.types import Article
from rag import Answer, Assistant, Settings, Turn
from rag.reader.multilingual_reader import cite_answer

_ALL = 10**9
_PACKAGES = ("rag-articles", "torch", "onnxruntime", "faiss-cpu", "tantivy", "numpy", "ir-measures", "pymorphy3")
_ANSWERING = (  # settings that can change an answer
    "embedder",
    "passages",
    "per_article",
    "min_confidence",
    "sure_confidence",
    "llm",
    "base_url",
    "llm_context",
    "llm_answer",
    "show_unsupported",
)

_FILES = {
    "ablation.json",
    "articles.sha256",
    "index",
    "records.jsonl",
    "report.html",
    "run.json",
    "run.lock",
    "summary.json",
}
_IDENTITY = {  # where run.json says by what a run is told from another
    "questions": ("gold", "sha256"),
    "articles": ("index", "fingerprint"),
    "version of rag": ("versions", "rag-articles"),
}

Judge = Callable[[Record], float | None]


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks gold questions of an assistant, and notes what comes of it."""

    assistant: Assistant
    articles: Mapping[str, Article]  # by the names that the questions use
    judge: Judge | None = None  # tells whether an answer is right: 1 or 0, or nothing
    today: date | None = None  # the day of questions that are about none; ``None`` for the real one

    def ask(self, gold: GoldQuestion) -> Record:
        """Ask, after the questions before it if it is a follow-up, on the day that it is about.

        A question that the chat model should have answered and the reader did, since it failed, counts as failed: the
        figures are the chat model's.
        """
        pieces = pieces_of(gold, self.articles)
        today = date.fromisoformat(gold.as_of) if gold.as_of else self.today
        answer, error, start = None, "", time.perf_counter()
        try:
            turns = self._turns(gold.history, today)
            start = time.perf_counter()  # what came before is not part of what this answer takes
            answer = self.assistant.ask(gold.question, history=turns, today=today)
            if answer.answerer != self.assistant.answerer and answer.hits:
                error = " ".join(answer.notes)
                answer = None
        except RagError as failure:
            error = str(failure)
        total = round(1000 * (time.perf_counter() - start), 1)
        hits = answer.hits if answer else ()
        cited = self._cited(answer, pieces, gold)
        record = Record(
            id=gold.id,
            question=gold.question,
            language=gold.language,
            kind=gold.kind,
            history=gold.history,
            answers=gold.answers,
            evidence=pieces,
            needs=needs_of(gold),
            standalone=answer.standalone if answer else gold.question,
            status=answer.status if answer else "failed",
            confidence=answer.confidence if answer else 0.0,
            answerer=answer.answerer if answer else "",
            text=answer.text if answer else "",
            short=_short(answer),
            found=tuple(found_of(hit, pieces) for hit in hits[:FOUND]),
            cited=cited,
            first=cited[0] if cited else _would_cite(answer, pieces, gold),
            timings={**(answer.timings if answer else {}), "total_ms": total},
            error=error,
        )
        scores = score(record)
        judged = self.judge(record) if self.judge and "f1" in scores and not record.is_refused else None
        return replace(record, scores=scores if judged is None else {**scores, "judged": judged})

    def _turns(self, history: Sequence[str], today: date | None) -> list[Turn]:
        turns: list[Turn] = []
        for question in history:
            turns.append(self.assistant.ask(question, history=turns, today=today).turn)
        return turns

    def _cited(self, answer: Answer | None, pieces: tuple[Piece, ...], gold: GoldQuestion) -> tuple[Cited, ...]:
        citations = answer.citations if answer else ()
        return tuple(cited_of(c, self.assistant.index.article(c.article_id), pieces, gold) for c in citations)


def _would_cite(answer: Answer | None, pieces: tuple[Piece, ...], gold: GoldQuestion) -> Cited | None:
    best = max(answer.hits if answer else (), key=lambda hit: hit.relevance or 0.0, default=None)
    citation = cite_answer(best) if best else None
    return cited_of(citation, best.article, pieces, gold) if citation and best else None


def _short(answer: Answer | None) -> str:
    if answer is None or answer.status == "abstained":
        return ""
    if answer.answerer == "reader":
        return answer.citations[0].answer
    return " ".join(sentence.text for sentence in answer.sentences)


# What makes a run repeatable


def described(gold: str, questions: Sequence[GoldQuestion], index: ArticleIndex, settings: Settings) -> dict[str, Any]:
    """Describe a run so that it can be repeated, and told from another: questions, index, settings, versions."""
    asked = hashlib.sha256()
    for question in questions:
        asked.update(repr(replace(question, place="")).encode())
    status = index.status()
    return {
        "gold": {"name": gold.rpartition("/")[2], "sha256": asked.hexdigest(), "questions": len(questions)},
        "index": {
            "folder": status.folder,
            "embedder": status.embedder,
            "articles": status.articles,
            "passages": status.passages,
            "fingerprint": fingerprint(index),
        },
        "settings": {name: getattr(settings, name) for name in _ANSWERING} | {"base_url": _public(settings.base_url)},
        "versions": {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES},
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "system": platform.platform(),
        },
        "command": " ".join(["rag", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _public(address: str) -> str:
    return re.sub("//[^/]*@", "//", address)  # no password is written down


def fingerprint(index: ArticleIndex) -> str:
    """Give 16 hexadecimal digits that stand for the articles of an index, in whatever order, and its embedder."""
    _, listed = index.listing(limit=_ALL)
    held = "\n".join(sorted(f"{each.uri} {each.id}" for each in listed))
    return hashlib.sha256(f"{index.embedder.name}\n{held}".encode("utf-8", "replace")).hexdigest()[:16]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


# The folder of a run


def check_folder(path: Path) -> None:
    """Check that a folder for a run holds nothing but a run, or is not there yet.

    Raises:
        BadRequest: it is a file, or holds something else.
    """
    if path.exists() and not path.is_dir():
        raise BadRequest(f"{path} is a file: name a folder with --out")
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in _FILES) if path.exists() else []
    if others:
        raise BadRequest(f"{path} holds other files, such as {others[0]}: name a new folder with --out")


class RunFolder:
    """The folder of one run: ``run.json`` says what is asked of what, ``records.jsonl`` grows with every question."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """Open a folder for a run: a new one, or one that holds a part of the same run.

        Raises:
            BadRequest: it holds another run, or cannot be read or written to.
        """
        self.path = path
        self._records = path / "records.jsonl"
        try:
            check_folder(path)
            path.mkdir(parents=True, exist_ok=True)
            if (path / "run.json").is_file():
                self.run = read_json(path / "run.json")
                self._check_same(run)
            else:
                write_json(path / "run.json", run)
                self.run = dict(run)
            self._by_id = self._read()
        except (OSError, ValueError) as error:
            raise BadRequest(f"cannot use {path} for a run: {getattr(error, 'strerror', None) or error}") from error

    @property
    def records(self) -> list[Record]:
        """The records so far, in the order in which the questions were asked."""
        return list(self._by_id.values())

    def _read(self) -> dict[str, Record]:
        """Read the records; of a question that failed and was asked again, the last."""
        return {record.id: record for record in read_records(self._records)} if self._records.is_file() else {}

    def _check_same(self, run: Mapping[str, Any]) -> None:
        differing = [
            what for what, (part, key) in _IDENTITY.items() if run[part][key] != self.run.get(part, {}).get(key)
        ]
        before, now = ({**each.get("settings", {}), "judge": each.get("judge", "")} for each in (self.run, run))
        differing += [
            f"{name} ({before.get(name)!r} there, {value!r} now)"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if differing:
            raise BadRequest(
                f"{self.path} holds another run, with other {', '.join(differing)}: name a new folder with --out"
            )

    def ask_all(self, questions: Sequence[GoldQuestion], ask: Callable[[GoldQuestion], Record]) -> Iterator[Record]:
        """Ask what has not been asked yet, and again what failed; each record is on disk when it is given.

        Raises:
            BadRequest: another process is asking.
        """
        try:
            lock = filelock.FileLock(self.path / "run.lock", timeout=0).acquire()
        except filelock.Timeout as error:
            raise BadRequest(f"another process is asking for {self.path}: wait until it has finished") from error
        with lock, self._records.open("ab+") as file:
            file.truncate(_end_of_lines(file))  # half a line, if it was stopped
            self._by_id = self._read()
            done = {record.id for record in self.records if record.status != "failed"}
            for question in questions:
                if question.id not in done:
                    record = ask(question)
                    file.write(line_of(record).encode())
                    file.flush()
                    self._by_id[record.id] = record
                    yield record


def _end_of_lines(file: BinaryIO) -> int:
    file.seek(0)
    return file.read().rfind(b"\n") + 1


def peak_megabytes() -> float:
    """Give the most memory that this process has had at once, in MB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
