"""Files and folders to sources: the bytes of one article each, or the reason why not. Nothing is parsed here."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, unquote_to_bytes, urlsplit

Kind = Literal["text", "markdown", "html", "record"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "record",
}
LARGEST_ARTICLE = 20_000_000  # bytes; a .jsonl file may be of any size, one line of it may not


@dataclass(frozen=True, slots=True)
class Source:
    """What one article is made of, not parsed yet."""

    uri: str
    kind: Kind
    data: bytes
    origin: str  # URI of the file it was read from: its own, unless that file holds many

    @property
    def folder(self) -> str:
        """Name of the folder that holds the file."""
        return unquote(urlsplit(self.origin).path).rsplit("/", 2)[-2]


@dataclass(frozen=True, slots=True)
class Skipped:
    """One input that is not indexed, and why."""

    uri: str
    reason: str


def list_files(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    """List the files that ``paths`` name, folders searched in full, in a stable order, each once.

    Hidden files are passed over; links to folders are not followed. Files of other types are
    reported.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found = _walk(path)
        elif path.exists() or path.is_symlink():
            found = iter([path])
        else:
            found = iter([Skipped(path.absolute().as_uri(), "no such file or folder")])
        for item in found:
            if isinstance(item, Skipped):
                yield item
            elif (real := Path(os.path.realpath(item))) not in seen:
                seen.add(real)
                if real.suffix.lower() in KINDS:
                    yield real
                else:
                    suffix = real.suffix or "(no suffix)"
                    yield Skipped(real.as_uri(), f"unsupported type {suffix}; known: {' '.join(KINDS)}")


def _walk(folder: Path) -> Iterator[Path | Skipped]:
    problems: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent) / name
    for problem in problems:
        yield Skipped(Path(problem.filename).absolute().as_uri(), (problem.strerror or "cannot be read").lower())


def read_sources(file: Path) -> Iterator[Source | Skipped]:
    """Read one file: one source, or one for each line of a .jsonl file, which is never held in memory whole."""
    kind = KINDS[file.suffix.lower()]
    uri = file.as_uri()
    try:
        if not file.is_file():
            yield Skipped(uri, "not a regular file")
        elif kind == "record":
            yield from _read_lines(file, uri)
        elif (size := file.stat().st_size) > LARGEST_ARTICLE:
            yield Skipped(
                uri, f"too large for one article: {size / 1e6:.0f} MB, the limit is {LARGEST_ARTICLE // 10**6} MB"
            )
        else:
            yield Source(uri, kind, file.read_bytes(), uri)
    except OSError as error:
        yield Skipped(uri, (error.strerror or "cannot be read").lower())


def _read_lines(file: Path, uri: str) -> Iterator[Source | Skipped]:
    number = 0
    with file.open("rb") as lines:
        while line := lines.readline(LARGEST_ARTICLE + 1):
            number += 1
            here = f"{uri}#L{number}"
            if len(line) > LARGEST_ARTICLE:
                while line and not line.endswith(b"\n"):
                    line = lines.readline(LARGEST_ARTICLE)
                yield Skipped(here, f"line longer than {LARGEST_ARTICLE // 10**6} MB")
            elif line.strip():
                yield _record(line.strip(), here, uri)


def _record(line: bytes, here: str, origin: str) -> Source | Skipped:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        return Skipped(here, f"not JSON ({reason})")
    if not isinstance(record, dict) or not any(isinstance(record.get(name), str) for name in ("text", "html")):
        return Skipped(
            here, 'needs to be a JSON object with at least "text" or "html", best with "title", "url" and "published"'
        )
    url = record.get("url")
    uri = _printable(url).strip().encode("utf-8", "replace").decode() if isinstance(url, str) else ""
    return Source(uri or here, "record", line, origin)


def readable(uri: str) -> str:
    """Write a URI for people: a file's path relative to the working folder where that is shorter, all else as it is."""
    if not uri.startswith("file:"):
        return _printable(uri)
    parts = urlsplit(uri)
    path = unquote(parts.path) + (f"#{parts.fragment}" if parts.fragment else "")
    inside = os.path.relpath(path)
    return _printable(inside if len(inside) < len(path) else path)


def file_of(uri: str) -> Path | None:
    """Give the file that a URI names; ``None`` if it names none of this machine."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote_to_bytes(parts.path.encode("utf-8", "replace"))
    is_file = parts.scheme == "file" and parts.netloc in ("", "localhost") and b"\0" not in path
    return Path(os.fsdecode(path)) if is_file else None


def host(uri: str) -> str:
    """Give the host of a web address without ``www.``; empty if it has none or is no address."""
    try:
        return (urlsplit(uri).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _printable(text: str) -> str:
    """Drop what a terminal would obey instead of showing it."""
    return "".join(c for c in text if c.isprintable())
