"""Where the server keeps the files and pages that its users add: in the index folder, so that one folder is all."""

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import count
from pathlib import Path

import filelock

from index.articles import KINDS, LARGEST_ARTICLE, file_of
from index.errors import IndexProblem, NotAnArticle
from index.fetch import Page

LARGEST_RECORDS = 200_000_000  # bytes of one .jsonl file
_LONGEST_NAME = 120  # bytes of UTF-8, its number aside; some file systems take no more than 143
_PART = ".part"  # what is being written; hidden, so that no listing of articles meets it
_FORBIDDEN = re.compile(r'[<>:"|?*]')  # in Windows
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)  # in Windows


class Uploads:
    """The folder ``uploads`` in an index folder; threads and processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Name the index folder; nothing is made in it before something is kept."""
        self._folder = folder.resolve() / "uploads"
        self._pages = self._folder / "pages"  # of their own, where no uploaded file can have the name of one

    def keep_file(self, name: str, data: bytes) -> Path:
        """Keep an uploaded file, and overwrite none.

        Args:
            name: as the browser gave it, which may be anything.
            data: the whole file.

        Returns:
            Where it is. Another file of the same name gets a number, ``report (2).txt``; the same file again does not.

        Raises:
            NotAnArticle: it is of an unknown type, or too large.
            IndexProblem: the folder cannot be written to.
        """
        name = _safe_name(name)
        suffix = Path(name).suffix
        kind = KINDS.get(suffix.lower())
        if kind is None:
            raise NotAnArticle(f"unsupported type {suffix[:20] or '(no suffix)'}; known: {' '.join(KINDS)}")
        limit = LARGEST_RECORDS if kind == "record" else LARGEST_ARTICLE
        if len(data) > limit:
            raise NotAnArticle(f"too large: {len(data) / 1e6:.0f} MB, the limit is {limit / 1e6:.0f} MB")
        with self._writing():
            file = next(f for f in _numbered(self._folder / name) if not os.path.lexists(f) or _holds(f, data))
            if not file.exists():
                self._write(file, data)
        return file

    def keep_page(self, page: Page) -> Path:
        """Keep a fetched page as a .jsonl file of one record, in place of what was fetched from its URL before.

        Raises:
            NotAnArticle: it is too large.
            IndexProblem: the folder cannot be written to.
        """
        record = {"url": page.url, page.kind: page.data.decode("utf-8", "replace")}
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        if len(line) > LARGEST_ARTICLE:
            raise NotAnArticle(f"too large for one article: the limit is {LARGEST_ARTICLE / 1e6:.0f} MB")
        file = self._pages / f"{blake2b(page.url.encode(), digest_size=16).hexdigest()}.jsonl"
        with self._writing():
            self._write(file, line)
        return file

    def forget(self, origin: str) -> bool:
        """Delete a kept file.

        Args:
            origin: URI of any file, as the index gives it for an article.

        Returns:
            Whether there was such a file in this folder; one that lies elsewhere is never touched.

        Raises:
            IndexProblem: the folder cannot be written to.
        """
        file = self._kept(origin)
        if file is None or file.suffix.lower() not in KINDS or not file.is_file():
            return False
        with self._writing():
            file.unlink(missing_ok=True)
        return True

    def is_page(self, origin: str) -> bool:
        """Tell whether a file, by its URI, is a web page that was fetched."""
        file = self._kept(origin)
        return file is not None and file.parent == self._pages.resolve()

    def _kept(self, origin: str) -> Path | None:
        """Give the file of a URI, if it is there and lies in this folder."""
        try:
            file = file_of(origin)
            file = file and file.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # not there, links in a circle, no path at all
            return None
        return file if file and file.is_relative_to(self._folder.resolve()) else None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._folder / ".lock"):  # a new one each time: it keeps threads apart as well
                yield
        except OSError as error:
            raise IndexProblem(f"cannot write to {self._folder}: {error.strerror or error}") from error

    def _write(self, file: Path, data: bytes) -> None:
        """Write a file so that it is there whole or not at all. Call inside `_writing`."""
        file.parent.mkdir(exist_ok=True)
        part = self._folder / _PART
        try:
            with part.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)  # of a disk that is full
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _safe_name(name: str) -> str:
    """Reduce what calls itself a file name to one that any file system takes, and that leads nowhere."""
    last = " ".join(re.split(r"[/\\]", name)[-1].split())
    shown = "".join(c for c in last if c.isprintable())  # no control characters, none that turn the writing round
    plain = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", shown)).strip(". ")
    if _RESERVED.match(plain):
        plain = f"_{plain}"
    suffix = Path(plain).suffix
    stem = plain.removesuffix(suffix).encode()[: _LONGEST_NAME - len(suffix)]
    return stem.decode("utf-8", "ignore").rstrip() + suffix


def _numbered(file: Path) -> Iterator[Path]:
    """Give the names that a file can have: its own, then with (2), (3) and so on."""
    yield file
    for number in count(2):
        yield file.with_name(f"{file.stem} ({number}){file.suffix}")


def _holds(file: Path, data: bytes) -> bool:
    return file.is_file() and file.stat().st_size == len(data) and file.read_bytes() == data
