"""The lexical index (tantivy) against bm25s and SQLite FTS5, over the same terms made by `index.language`.

Agreement is the share of our ten best that the other engine also has among its ten. FTS5 weighs rarity differently.

    python -m eval.bench.lexical_engines [--documents 20000]
"""

import argparse
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bm25s
from tqdm import tqdm

from eval.bench.measure import percentile, timed
from eval.bench.synthetic import Words
from index.language import terms
from index.lexical import LexicalIndex

_WORDS = 100  # in a document
_ASKED = 8  # words in a question
_QUESTIONS = 200
_TOP = 10
_NEWCOMER = "xylozyme"  # a word that no generated document has

Search = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine with all documents in it."""

    name: str
    build_seconds: float
    search: Search  # question to document numbers, best first
    disk_bytes: int
    changes: Callable[[], bool]  # adds a document and removes it; whether searches saw both


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    options = parser.parse_args()
    words = Words(seed=1)
    documents = [terms(words.text(_WORDS), "en") for _ in tqdm(range(options.documents), desc="documents", leave=False)]
    questions = [" ".join(words.draw(_ASKED)) for _ in range(_QUESTIONS)]
    with tempfile.TemporaryDirectory() as scratch:
        engines = [build(documents, Path(scratch)) for build in (_tantivy, _bm25s, _fts5)]
        milliseconds: list[list[float]] = [[] for _ in engines]
        shared = [0] * len(engines)
        for question in tqdm(questions, desc="questions", leave=False):
            own: set[int] = set()
            for n, engine in enumerate(engines):
                found, seconds = timed(engine.search, question)
                milliseconds[n].append(1000 * seconds)
                own = own or set(found)
                shared[n] += len(own & set(found))
        print(f"{len(documents):,} generated documents of {_WORDS} words, {_QUESTIONS} questions of {_ASKED}\n")
        columns = f"{'build s':>8}{'p50 ms':>8}{'p95 ms':>8}{'disk MB':>9}{'top 10 as ours':>16}"
        print(f"{'engine':<16}{columns}  adds, removes")
        for engine, taken, same in zip(engines, milliseconds, shared, strict=True):
            times = f"{percentile(taken, 50):>8.2f}{percentile(taken, 95):>8.2f}"
            changes = "yes" if engine.changes() else "only by a rebuild"
            figures = f"{engine.build_seconds:>8.2f}{times}{engine.disk_bytes / 1e6:>9.1f}{same / shared[0]:>16.3f}"
            print(f"{engine.name:<16}{figures}  {changes}")


def _tantivy(documents: Sequence[Sequence[str]], scratch: Path) -> Engine:
    index = LexicalIndex(scratch, "bench")
    rows = [(number, number, words) for number, words in enumerate(documents)]
    _, seconds = timed(index.update, [], rows, 1)

    def search(question: str) -> list[int]:
        return [number for number, _, _ in index.search(question, "en", _TOP)]

    def changes() -> bool:
        number = len(documents)
        index.update([], [(number, number, terms(_NEWCOMER, "en"))], 2)
        added = search(_NEWCOMER) == [number]
        index.update([number], [], 3)
        return added and search(_NEWCOMER) == []

    return Engine("tantivy (ours)", seconds, search, _size(index.folder), changes)


def _bm25s(documents: Sequence[Sequence[str]], scratch: Path) -> Engine:
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    _, seconds = timed(lambda: index.index([list(words) for words in documents], show_progress=False))
    index.save(str(scratch / "bm25s"))

    def search(question: str) -> list[int]:
        found, scores = index.retrieve([terms(question, "en")], k=_TOP, show_progress=False)
        return [int(number) for number, score in zip(found[0], scores[0], strict=True) if score > 0]

    # Its only way in is index(), which takes the whole corpus.
    return Engine("bm25s", seconds, search, _size(scratch / "bm25s"), lambda: False)


def _fts5(documents: Sequence[Sequence[str]], scratch: Path) -> Engine:
    path = scratch / "fts5.sqlite"
    connection = sqlite3.connect(path)

    def insert(rows: Sequence[tuple[int, str]]) -> None:
        with connection:
            connection.executemany("INSERT INTO documents (rowid, terms) VALUES (?, ?)", rows)

    # Only white space may part the terms, which are made already.
    tokenizer = "unicode61 remove_diacritics 0 tokenchars '.,_'"
    connection.execute(f'CREATE VIRTUAL TABLE documents USING fts5(terms, tokenize = "{tokenizer}")')
    rows = [(number + 1, " ".join(words)) for number, words in enumerate(documents)]
    _, seconds = timed(insert, rows)

    def search(question: str) -> list[int]:
        match = " OR ".join(f'"{term}"' for term in dict.fromkeys(terms(question, "en")))
        query = "SELECT rowid FROM documents WHERE documents MATCH ? ORDER BY rank LIMIT ?"
        return [row[0] - 1 for row in connection.execute(query, (match, _TOP))]

    def changes() -> bool:
        number = len(documents)
        insert([(number + 1, " ".join(terms(_NEWCOMER, "en")))])
        added = search(_NEWCOMER) == [number]
        with connection:
            connection.execute("DELETE FROM documents WHERE rowid = ?", (number + 1,))
        return added and search(_NEWCOMER) == []

    return Engine("SQLite FTS5", seconds, search, path.stat().st_size, changes)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
