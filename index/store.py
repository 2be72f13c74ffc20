"""Articles, passages and vectors in one SQLite file: the truth that every other file of an index is derived from.

Each committed change raises the ``generation``. What was added or removed after any generation can be asked for, so
that a derived index catches up instead of being built anew.
"""

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from index.errors import IndexBroken, IndexMissing
from index.types import Article, Passage, Span, Where

Floats = npt.NDArray[np.float32]

_VERSION = "2"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE articles (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, uri TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    text TEXT NOT NULL, language TEXT NOT NULL, published TEXT, updated TEXT, fetched TEXT NOT NULL,
    source TEXT NOT NULL, raw_sha256 TEXT NOT NULL, origin TEXT NOT NULL, text_key BLOB NOT NULL);
CREATE INDEX articles_by_text ON articles (text_key);
CREATE INDEX articles_by_origin ON articles (origin);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, article_id TEXT NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, language TEXT NOT NULL,
    vector_key BLOB NOT NULL, generation INTEGER NOT NULL);
CREATE INDEX passages_by_article ON passages (article_id, ordinal);
CREATE INDEX passages_by_vector ON passages (vector_key);
CREATE INDEX passages_by_generation ON passages (generation);
CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE removed (passage_id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
"""
# Articles as they were before they changed, so that what was cited can still be looked up.
_FORMER = """
CREATE TABLE former (
    id TEXT PRIMARY KEY, uri TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, language TEXT NOT NULL,
    published TEXT, updated TEXT, fetched TEXT NOT NULL, source TEXT NOT NULL, raw_sha256 TEXT NOT NULL);
CREATE INDEX former_by_uri ON former (uri);
"""
_ARTICLE = "id, uri, title, text, language, published, updated, fetched, source, raw_sha256"
_PASSAGE = "id, article_id, ordinal, start, stop, language"
_VECTOR_BYTES = "2 * (SELECT value FROM meta WHERE key = 'dim')"
# Vectors that no passage uses may be another model's, made ahead by a re-embedding.
_WRONG_SIZE = f"length(vector) <> {_VECTOR_BYTES} AND key IN (SELECT vector_key FROM passages)"
_BEYOND = "(p.start < 0 OR p.stop <= p.start OR p.stop > length(a.text))"
_PROBLEMS = {
    "passages without an article": "passages WHERE article_id NOT IN (SELECT id FROM articles)",
    "passages without a vector": "passages WHERE vector_key NOT IN (SELECT key FROM vectors)",
    "articles without passages": "articles WHERE id NOT IN (SELECT article_id FROM passages)",
    "passages that reach beyond their article": f"passages p JOIN articles a ON a.id = p.article_id WHERE {_BEYOND}",
    "vectors of a wrong size": f"vectors WHERE {_WRONG_SIZE}",
}
_ORDERS = ("title", "published", "fetched", "language", "source", "passages", "characters")
_MANY = 500  # values bound in one statement
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Revision:
    """An article with its passages and their vectors' keys, ready to be stored."""

    article: Article
    spans: Sequence[Span]
    keys: Sequence[bytes]
    origin: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list of articles: all but the text, of which the length in characters."""

    id: str
    uri: str
    title: str
    language: str
    published: str | None
    updated: str | None
    fetched: str
    source: str
    origin: str
    characters: int
    passages: int


def vector_key(embedder: str, text: str) -> bytes:
    """Name a vector by what it was made from, so that the same text is never embedded twice by one model."""
    return blake2b(f"{embedder}\0{text}".encode(), digest_size=16).digest()


class Store:
    """The SQLite file. Every thread has a connection of its own; one process at a time may write."""

    def __init__(self, path: Path) -> None:
        """Open an existing store.

        Raises:
            IndexMissing: there is no such file.
            IndexBroken: the file is no store of this version.
        """
        self._path = path
        self._local = threading.local()
        self._file = _file_number(path)
        if not path.is_file():
            raise IndexMissing(f"no index in {path.parent}; make one: rag add PATH… --index {path.parent}")
        with self._reading():
            version = self.meta("version")
            if version == "1":
                self._upgrade()
                version = self.meta("version")
        if version != _VERSION:
            raise IndexBroken(
                f"{path} is an index of version {version}; this program reads version {_VERSION}: add the articles anew"
            )

    @staticmethod
    def create(path: Path, embedder: str, dim: int) -> None:
        """Make an empty store, whole or not at all."""
        scratch = path.with_name(f"{path.name}.new")
        scratch.unlink(missing_ok=True)
        connection = sqlite3.connect(scratch)
        connection.executescript(_SCHEMA + _FORMER)
        values = {
            "version": _VERSION,
            "identity": uuid.uuid4().hex[:8],
            "embedder": embedder,
            "dim": str(dim),
            "generation": "0",
            "forgotten": "0",
        }
        connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        connection.commit()
        connection.close()
        scratch.rename(path)

    def _upgrade(self) -> None:
        """Bring a store of version 1, which forgot what an article was before it changed, to version 2."""
        with self._writing() as connection:
            if self.meta("version") == "1":  # another process may have been quicker
                for statement in filter(str.strip, _FORMER.split(";")):
                    connection.execute(statement)
                connection.execute("UPDATE meta SET value = '2' WHERE key = 'version'")

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            uri = f"{self._path.absolute().as_uri()}?mode=rw"  # a file that is gone meanwhile is not made anew, empty
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
            self._local.connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.create_function("folded", 1, _folded, deterministic=True)
        return connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection
        except sqlite3.DatabaseError as error:
            raise IndexBroken(f"{self._path}: {error}; {_advice(error)}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def is_in_place(self) -> bool:
        """Tell whether the file that was opened is still the one of that name."""
        return self._file == _file_number(self._path)

    def meta(self, key: str) -> str:
        """Give what is recorded of the index: version, identity, embedder, dim, generation."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise IndexBroken(f"{self._path} lacks its {key}; add the articles anew into another folder")
        return str(row[0])

    def generation(self) -> int:
        """Count the changes committed so far."""
        return int(self.meta("generation"))

    # Writing

    def write(self, revisions: Sequence[Revision], vectors: Iterable[tuple[bytes, Floats]]) -> None:
        """Store articles, each in place of the one with its URI, together with new vectors: all or nothing."""
        with self._writing() as connection:
            generation = _next_generation(connection)
            _insert_vectors(connection, vectors)
            for revision in revisions:
                known = "FROM articles WHERE uri = ?"
                uri = (revision.article.uri,)
                connection.execute(f"INSERT OR REPLACE INTO former ({_ARTICLE}) SELECT {_ARTICLE} {known}", uri)
                _delete(connection, [row[0] for row in connection.execute(f"SELECT id {known}", uri)], generation)
                a = revision.article
                connection.execute("DELETE FROM former WHERE id = ?", (a.id,))
                values = (
                    a.id,
                    a.uri,
                    a.title,
                    a.text,
                    a.language,
                    a.published,
                    a.updated,
                    a.fetched,
                    a.source,
                    a.raw_sha256,
                )
                connection.execute(
                    f"INSERT INTO articles ({_ARTICLE}, origin, text_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*values, revision.origin, _text_key(a.text)),
                )
                _insert_passages(connection, revision.article.id, revision.spans, revision.keys, generation)

    def remove(self, article_ids: Sequence[str]) -> None:
        """Remove articles, with what they were before they changed: all or nothing."""
        with self._writing() as connection:
            for article_id in article_ids:
                former = "DELETE FROM former WHERE uri IN (SELECT uri FROM articles WHERE id = ?)"
                connection.execute(former, (article_id,))
            _delete(connection, article_ids, _next_generation(connection))

    def add_vectors(self, vectors: Iterable[tuple[bytes, Floats]]) -> None:
        """Store vectors ahead of the passages that will need them."""
        with self._writing() as connection:
            _insert_vectors(connection, vectors)

    def replace_passages(
        self, passages: Iterable[tuple[str, Sequence[Span], Sequence[bytes]]], embedder: str, dim: int
    ) -> None:
        """Give every article other passages, made by another embedder: all or nothing."""
        with self._writing() as connection:
            generation = _next_generation(connection)
            connection.execute("DELETE FROM passages")
            connection.execute("DELETE FROM removed")
            for article_id, spans, keys in passages:
                _insert_passages(connection, article_id, spans, keys, generation)
            # A new identity makes every derived file of the old passages foreign.
            for key, value in (("embedder", embedder), ("dim", str(dim)), ("identity", uuid.uuid4().hex[:8])):
                connection.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def forget_unused(self, caught_up: int) -> None:
        """Drop vectors that no passage uses, and removals that every derived index has seen."""
        with self._writing() as connection:
            connection.execute("DELETE FROM vectors WHERE key NOT IN (SELECT vector_key FROM passages)")
            connection.execute("DELETE FROM removed WHERE generation <= ?", (caught_up,))
            forgotten = "UPDATE meta SET value = max(CAST(value AS INTEGER), ?) WHERE key = 'forgotten'"
            connection.execute(forgotten, (caught_up,))

    # Reading

    def known(self, uri: str) -> str | None:
        """Give the fingerprint under which the article with this URI was stored."""
        with self._reading() as connection:
            row = connection.execute("SELECT raw_sha256 FROM articles WHERE uri = ?", (uri,)).fetchone()
        return None if row is None else str(row[0])

    def same_text(self, text: str) -> str | None:
        """Give the URI of an article with exactly this text."""
        with self._reading() as connection:
            row = connection.execute("SELECT uri FROM articles WHERE text_key = ?", (_text_key(text),)).fetchone()
        return None if row is None else str(row[0])

    def missing_vectors(self, keys: Iterable[bytes]) -> set[bytes]:
        """Tell which of these vectors are not stored yet."""
        wanted = set(keys)
        found: set[bytes] = set()
        for part in _parts(list(wanted)):
            found.update(row[0] for row in self._select("SELECT key FROM vectors WHERE key IN (%s)", part))
        return wanted - found

    def article(self, article_id: str) -> Article | None:
        """Give one article by its id."""
        with self._reading() as connection:
            row = connection.execute(f"SELECT {_ARTICLE} FROM articles WHERE id = ?", (article_id,)).fetchone()
        return None if row is None else Article(*row)

    def former(self, article_id: str) -> Article | None:
        """Give an article as it was before it changed, by the id it had."""
        with self._reading() as connection:
            row = connection.execute(f"SELECT {_ARTICLE} FROM former WHERE id = ?", (article_id,)).fetchone()
        return None if row is None else Article(*row)

    def id_of(self, uri: str) -> str | None:
        """Give the id that the article with this URI has now."""
        with self._reading() as connection:
            row = connection.execute("SELECT id FROM articles WHERE uri = ?", (uri,)).fetchone()
        return None if row is None else str(row[0])

    def listing(
        self, where: Where, text: str, order: str, descending: bool, limit: int, offset: int
    ) -> tuple[int, list[Listed]]:
        """Count the articles that pass a filter and have ``text`` in title, URI or source; list some of them.

        Args:
            where: the filter.
            text: in any case; empty for all.
            order: ``title``, ``published``, ``fetched``, ``language``, ``source``, ``passages`` or ``characters``.
            descending: unknown dates come last either way.
            limit: how many to list at most.
            offset: how many to leave out first.
        """
        if order not in _ORDERS:
            raise ValueError(order)
        condition, values = _condition(where)
        if text:
            condition += " AND instr(folded(a.title || ' ' || a.uri || ' ' || a.source), ?) > 0"
            values.append(_folded(text))
        fields = "a.id, a.uri, a.title, a.language, a.published, a.updated, a.fetched, a.source, a.origin"
        key = "folded(title)" if order == "title" else order
        direction = "DESC" if descending else "ASC"
        query = f"""SELECT {fields}, length(a.text) AS characters,
            (SELECT count(*) FROM passages p WHERE p.article_id = a.id) AS passages
            FROM articles a WHERE {condition}
            ORDER BY {order} IS NULL, {key} {direction}, number {direction} LIMIT ? OFFSET ?"""
        with self._reading() as connection:
            count = connection.execute(f"SELECT count(*) FROM articles a WHERE {condition}", values).fetchone()[0]
            rows = connection.execute(query, [*values, limit, offset]).fetchall()
        return count, [Listed(*row) for row in rows]

    def articles(self) -> Iterator[Article]:
        """Give all articles, oldest first, one at a time."""
        with self._reading() as connection:
            for row in connection.execute(f"SELECT {_ARTICLE} FROM articles ORDER BY number"):
                yield Article(*row)

    def find_articles(self, name: str) -> list[str]:
        """Give the ids of the articles called ``name``: an id, a URI, or that of a file or folder they came from."""
        folder = name.rstrip("/")
        with self._reading() as connection:
            rows = connection.execute(  # what is inside the folder lies between "folder/" and "folder0"
                """SELECT id FROM articles WHERE id = ?1 OR uri = ?1 OR origin = ?1 OR (origin > ?2 AND origin < ?3)
                ORDER BY number""",
                (name, f"{folder}/", f"{folder}0"),
            ).fetchall()
        return [str(row[0]) for row in rows]

    def uri_and_origin(self, article_id: str) -> tuple[str, str]:
        """Give an article's own URI and that of the file it came from."""
        with self._reading() as connection:
            uri, origin = connection.execute("SELECT uri, origin FROM articles WHERE id = ?", (article_id,)).fetchone()
        return str(uri), str(origin)

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """Give passages by their ids; ids unknown by now are left out."""
        return {
            row[0]: Passage(*row)
            for part in _parts(ids)
            for row in self._select(f"SELECT {_PASSAGE} FROM passages WHERE id IN (%s)", part)
        }

    def passage_ids(self, upto: int | None = None) -> list[int]:
        """Give the ids of all passages, ascending; with ``upto``, of those added up to and including a generation."""
        with self._reading() as connection:
            generation = self.generation() if upto is None else upto
            rows = connection.execute("SELECT id FROM passages WHERE generation <= ? ORDER BY id", (generation,))
            return [row[0] for row in rows]

    def passages_with_articles(self, ids: Sequence[int]) -> Iterator[tuple[Passage, int, str, str]]:
        """Give, for each passage, itself, its article's number, its title and its own text."""
        fields = ", ".join(f"p.{name.strip()}" for name in _PASSAGE.split(","))
        query = f"""SELECT {fields}, a.number, a.title, substr(a.text, p.start + 1, p.stop - p.start)
            FROM passages p JOIN articles a ON a.id = p.article_id WHERE p.id IN (%s) ORDER BY p.id"""
        for part in _parts(ids):
            for *passage, number, title, text in self._select(query, part):
                yield Passage(*passage), number, title, text

    def vectors(self, ids: Sequence[int]) -> tuple[list[int], Floats]:
        """Give the vectors of passages: their ids in ascending order, and float32 ``(n, dim)``."""
        query = """SELECT p.id, v.vector FROM passages p JOIN vectors v ON v.key = p.vector_key
            WHERE p.id IN (%s) ORDER BY p.id"""
        rows = [row for part in _parts(sorted(ids)) for row in self._select(query, part)]
        if not rows:
            return [], np.zeros((0, int(self.meta("dim"))), np.float32)
        values = np.frombuffer(b"".join(row[1] for row in rows), np.float16).reshape(len(rows), -1)
        return [row[0] for row in rows], values.astype(np.float32)

    def changes_since(self, generation: int, upto: int | None = None) -> tuple[list[int], list[int]] | None:
        """Give the ids of the passages removed and of those added after a generation, up to and including another.

        ``None`` if removals of that time are forgotten already: then only building anew helps.
        """
        if generation < int(self.meta("forgotten")):
            return None
        between = "generation > ? AND generation <= ?"
        values = (generation, self.generation() if upto is None else upto)
        with self._reading() as connection:
            removed = connection.execute(f"SELECT passage_id FROM removed WHERE {between}", values).fetchall()
            added = connection.execute(f"SELECT id FROM passages WHERE {between} ORDER BY id", values).fetchall()
        return [row[0] for row in removed], [row[0] for row in added]

    def admitted(self, where: Where) -> tuple[list[int], list[int]]:
        """Give the numbers of the articles that pass a filter, and the ids of their passages."""
        condition, values = _condition(where)
        with self._reading() as connection:
            numbers = [
                row[0] for row in connection.execute(f"SELECT a.number FROM articles a WHERE {condition}", values)
            ]
            query = (
                f"SELECT p.id FROM passages p JOIN articles a ON a.id = p.article_id WHERE {condition} ORDER BY p.id"
            )
            return numbers, [row[0] for row in connection.execute(query, values)]

    def is_empty(self) -> bool:
        """Tell whether there is no article."""
        with self._reading() as connection:
            return not connection.execute("SELECT EXISTS (SELECT 1 FROM articles)").fetchone()[0]

    def counts(self) -> dict[str, int]:
        """Count articles, passages and vectors."""
        with self._reading() as connection:
            return {
                t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0]
                for t in ("articles", "passages", "vectors")
            }

    def tally(self, column: str) -> list[tuple[str, int]]:
        """Count articles by language or source, most first."""
        if column not in ("language", "source"):
            raise ValueError(column)
        with self._reading() as connection:
            return connection.execute(
                f"SELECT {column}, count(*) FROM articles GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()

    def date_range(self) -> tuple[str | None, str | None, int]:
        """Give the earliest and the latest publication date, and the number of articles with none."""
        with self._reading() as connection:
            earliest, latest, known, total = connection.execute(
                "SELECT min(published), max(published), count(published), count(*) FROM articles"
            ).fetchone()
        return earliest, latest, total - known

    def integrity_problems(self) -> list[str]:
        """List what is wrong with the file itself or with what refers to what."""
        with self._reading() as connection:
            problems = [
                f"damaged file: {row[0]}" for row in connection.execute("PRAGMA integrity_check(20)") if row[0] != "ok"
            ]
            for what, query in _PROBLEMS.items():
                if count := connection.execute(f"SELECT count(*) FROM {query}").fetchone()[0]:
                    problems.append(f"{count} {what}")
        return problems

    def delete_damaged(self) -> list[str]:
        """Remove the articles that `integrity_problems` speaks of; give their URIs, to be added anew."""
        with self._writing() as connection:
            connection.execute("DELETE FROM passages WHERE article_id NOT IN (SELECT id FROM articles)")
            connection.execute(f"DELETE FROM vectors WHERE {_WRONG_SIZE}")
            rows = connection.execute(
                f"""SELECT DISTINCT a.id, a.uri FROM articles a LEFT JOIN passages p ON p.article_id = a.id
                LEFT JOIN vectors v ON v.key = p.vector_key WHERE p.id IS NULL OR v.key IS NULL OR {_BEYOND}"""
            ).fetchall()
            _delete(connection, [row[0] for row in rows], _next_generation(connection))
        return [str(row[1]) for row in rows]

    def _select(self, query: str, values: Sequence[object]) -> list[tuple]:  # type: ignore[type-arg]
        with self._reading() as connection:
            return connection.execute(query % ", ".join("?" * len(values)), list(values)).fetchall()


def _file_number(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _folded(text: str) -> str:
    """Give a text as it is searched: in any case, and a URI as people read it."""
    return unquote(text).casefold()


def _condition(where: Where) -> tuple[str, list[object]]:
    """Write a filter as a condition on the articles ``a``, with the values for it."""
    clauses, values = ["1"], list[object]()
    if where.published_from:
        clauses.append("a.published >= ?")
        values.append(where.published_from)
    if where.published_to:
        # "2024" as the last date admits 2024-12-31: a longer text that begins with it is within it.
        clauses.append("(a.published <= ? OR a.published LIKE ? || '-%')")
        values += [where.published_to, where.published_to]
    for column, wanted in (("language", where.languages), ("source", where.sources)):
        if wanted:
            clauses.append(f"a.{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    return " AND ".join(clauses), values


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _MANY):
        yield values[start : start + _MANY]


def _advice(error: sqlite3.DatabaseError) -> str:
    """Say what to do about an error of SQLite's."""
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith("SQLITE_FULL"):
        return "free some space, then do it again; what was reported as done is kept"
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return "the folder has to be writable, also for reading: copy it to where you may write"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another process is writing: wait until it has finished"
    return "the file is damaged: add the articles anew into another folder"


def _text_key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _next_generation(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")
    return int(connection.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()[0])


def _insert_vectors(connection: sqlite3.Connection, vectors: Iterable[tuple[bytes, Floats]]) -> None:
    rows = ((key, vector.astype(np.float16).tobytes()) for key, vector in vectors)
    connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)


def _insert_passages(
    connection: sqlite3.Connection, article_id: str, spans: Sequence[Span], keys: Sequence[bytes], generation: int
) -> None:
    rows = (
        (article_id, n, s.start, s.end, s.language, key, generation)
        for n, (s, key) in enumerate(zip(spans, keys, strict=True))
    )
    connection.executemany(
        """INSERT INTO passages (article_id, ordinal, start, stop, language, vector_key, generation)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        rows,
    )


def _delete(connection: sqlite3.Connection, article_ids: Sequence[str], generation: int) -> None:
    for article_id in article_ids:
        connection.execute(
            "INSERT INTO removed SELECT id, ? FROM passages WHERE article_id = ?", (generation, article_id)
        )
        connection.execute("DELETE FROM articles WHERE id = ?", (article_id,))
