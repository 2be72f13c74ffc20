import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SUBPROCESS, Floats, make_article

from index.errors import IndexBroken, IndexMissing
from index.store import Listed, Revision, Store, vector_key
from index.types import EVERYTHING, Article, Passage, Span, Where

DIM = 4


def _vector(*values: float) -> Floats:
    vector = np.array(values, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def _revision(article: Article, *cuts: tuple[int, int]) -> tuple[Revision, list[tuple[bytes, Floats]]]:
    spans = [Span(a, b, article.language) for a, b in cuts or [(0, len(article.text))]]
    keys = [vector_key("tiny", article.text[s.start : s.end]) for s in spans]
    vectors = [(key, _vector(n + 1, len(article.text), 1, -2)) for n, key in enumerate(keys)]
    return Revision(article, spans, keys, article.uri.partition("#")[0]), vectors


def _write(store: Store, article: Article, *cuts: tuple[int, int]) -> None:
    revision, vectors = _revision(article, *cuts)
    store.write([revision], vectors)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    Store.create(tmp_path / "index.sqlite", "tiny", DIM)
    return Store(tmp_path / "index.sqlite")


ONE = make_article("file:///news/one.txt", "Trams run. Buses wait.", "One", published="2024-12-31")
TWO = make_article("file:///news/two.txt", "Ships sail far.", "Two", "ru", "2023-05-06", "wire")


def test_a_new_store_is_empty_at_generation_zero(store: Store) -> None:
    assert store.generation() == 0
    assert store.counts() == {"articles": 0, "passages": 0, "vectors": 0}
    assert (store.meta("embedder"), store.meta("dim")) == ("tiny", "4")
    assert store.changes_since(0) == ([], [])
    assert store.date_range() == (None, None, 0)


def test_what_was_written_is_read_back(store: Store) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    assert store.article(ONE.id) == ONE
    assert list(store.articles()) == [ONE]
    assert store.passages([1, 2, 99]) == {1: Passage(1, ONE.id, 0, 0, 10, "en"), 2: Passage(2, ONE.id, 1, 11, 22, "en")}
    assert list(store.passages_with_articles([2])) == [(Passage(2, ONE.id, 1, 11, 22, "en"), 1, "One", "Buses wait.")]
    ids, vectors = store.vectors([2, 1])
    assert ids == [1, 2]
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(np.array([_vector(1, 22, 1, -2), _vector(2, 22, 1, -2)]), abs=1e-3)
    assert store.known(ONE.uri) == ONE.raw_sha256
    assert store.same_text(ONE.text) == ONE.uri
    assert store.same_text("Trams run.") is None
    assert store.uri_and_origin(ONE.id) == (ONE.uri, ONE.uri)


def test_text_beyond_the_basic_plane_is_cut_by_characters(store: Store) -> None:
    text = "🚋🚋 трамвай. 𠮷野家 here."
    _write(store, make_article("file:///e.txt", text), (0, 11), (12, len(text)))
    assert [row[3] for row in store.passages_with_articles([1, 2])] == [text[:11], text[12:]]


def test_every_commit_raises_the_generation_and_tells_what_changed_since(store: Store) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    _write(store, TWO)
    assert store.generation() == 2
    assert store.changes_since(0) == ([], [1, 2, 3])
    assert store.changes_since(1) == ([], [3])
    store.remove([ONE.id])
    assert store.generation() == 3
    assert store.changes_since(2) == ([1, 2], [])
    assert store.changes_since(3) == ([], [])
    assert store.changes_since(0) == ([1, 2], [3])
    assert store.changes_since(0, upto=2) == ([], [3])


def test_a_revision_replaces_the_article_with_its_uri_and_passage_ids_are_never_used_again(store: Store) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    changed = make_article(ONE.uri, "Trams run. Boats wait.", "One")
    _write(store, changed, (0, 10), (11, 22))
    assert list(store.articles()) == [changed]
    assert store.article(ONE.id) is None
    assert store.passage_ids() == [3, 4]
    assert store.changes_since(1) == ([1, 2], [3, 4])
    assert store.counts() == {"articles": 1, "passages": 2, "vectors": 3}  # the unchanged sentence's vector is shared
    store.remove([changed.id])
    _write(store, TWO)
    assert store.passage_ids() == [5]


def test_vectors_that_nothing_uses_are_forgotten_and_removals_that_all_have_seen(store: Store) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    _write(store, TWO)
    store.remove([ONE.id])
    store.forget_unused(2)
    assert store.counts() == {"articles": 1, "passages": 1, "vectors": 1}
    assert store.changes_since(2) == ([1, 2], [])
    store.forget_unused(3)
    assert store.changes_since(2) is None  # whoever stands there has to build anew
    assert store.changes_since(3) == ([], [])


def test_vectors_missing_are_told_apart_from_those_stored(store: Store) -> None:
    keys = [vector_key("tiny", str(n)) for n in range(1200)]
    store.add_vectors((key, _vector(1, n, 0, 0)) for n, key in enumerate(keys[:700]))
    assert store.missing_vectors(keys) == set(keys[700:])
    assert vector_key("tiny", "a") != vector_key("other", "a")


def test_a_failed_write_leaves_nothing_behind(store: Store) -> None:
    _write(store, ONE)
    good, vectors = _revision(TWO)
    clash = make_article("file:///news/three.txt", "Other text.")
    bad = Revision(Article(TWO.id, *[getattr(clash, f) for f in Article.__slots__[1:]]), [], [], clash.uri)
    with pytest.raises(IndexBroken):
        store.write([good, bad], vectors)
    assert list(store.articles()) == [ONE]
    assert store.generation() == 1
    assert store.counts()["vectors"] == 1


def _dated(store: Store) -> None:
    dates = ["2023-05-06", "2024-01-01", "2024-03-31", "2024-12-31", "2025-01-01", None]
    for n, date in enumerate(dates):
        language, source = ("ru", "wire") if n % 2 else ("en", "news")
        _write(
            store,
            make_article(f"file:///{n}.txt", f"Text number {n}.", language=language, published=date, source=source),
        )


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        (Where(), [1, 2, 3, 4, 5, 6]),
        (Where(published_to="2024"), [1, 2, 3, 4]),
        (Where(published_from="2024"), [2, 3, 4, 5]),
        (Where("2024", "2024"), [2, 3, 4]),
        (Where("2024-03", "2024-03"), [3]),
        (Where(published_to="2024-03-30"), [1, 2]),
        (Where(published_from="2024-12-31", published_to="2024-12-31"), [4]),
        (Where(published_from="2025-01-02"), []),
        (Where(languages=("ru",)), [2, 4, 6]),
        (Where(languages=("ru", "en")), [1, 2, 3, 4, 5, 6]),
        (Where(languages=("fr",)), []),
        (Where(sources=("wire",), published_from="2024-02"), [4]),
        (Where(sources=("news' OR 1 --",)), []),
    ],
)
def test_a_filter_admits_the_articles_it_says(store: Store, where: Where, numbers: list[int]) -> None:
    _dated(store)
    assert store.admitted(where) == (numbers, numbers)  # one passage for each article: the ids are the same
    assert bool(where) is (where != Where())


def test_articles_are_tallied_by_language_and_source_and_by_nothing_else(store: Store) -> None:
    _dated(store)
    _write(store, make_article("file:///x.txt", "More.", language="ru", source="wire"))
    assert store.tally("language") == [("ru", 4), ("en", 3)]
    assert store.tally("source") == [("wire", 4), ("news", 3)]
    assert store.date_range() == ("2023-05-06", "2025-01-01", 2)
    with pytest.raises(ValueError, match="title"):
        store.tally("title")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("file:///data/news/a.txt", ["a"]),
        ("file:///data/news", ["a", "b"]),
        ("file:///data/news/", ["a", "b"]),
        ("file:///data", ["a", "b", "c", "d", "e"]),
        ("file:///data/new", []),
        ("file:///data/news_x", ["c"]),
        ("file:///data/%", []),
        ("file:///data/News", ["e"]),
    ],
)
def test_articles_are_found_by_file_and_folder_letter_by_letter(store: Store, name: str, found: list[str]) -> None:
    uris = {"a": "news/a.txt", "b": "news/sub/b.txt", "c": "news_x/c.txt", "d": "newsyx/d.txt", "e": "News/e.txt"}
    ids = {}
    for letter, uri in uris.items():
        article = make_article(f"file:///data/{uri}", f"Text of {letter}.")
        _write(store, article)
        ids[article.id] = letter
    assert [ids[i] for i in store.find_articles(name)] == found


def test_an_article_is_found_by_id_and_by_the_file_of_many(store: Store) -> None:
    lines = [make_article(f"file:///wire.jsonl#L{n}", f"Line {n}.") for n in (1, 2)]
    for article in lines:
        _write(store, article)
    assert store.find_articles(lines[1].id) == [lines[1].id]
    assert store.find_articles("file:///wire.jsonl") == [a.id for a in lines]
    assert store.find_articles("") == []


def test_every_thread_may_read(store: Store) -> None:
    _write(store, ONE)
    seen: list[Article | None] = []

    def read() -> None:
        seen.append(store.article(ONE.id))
        store.close()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [ONE] * 8


def test_a_folder_without_a_store_is_missing_and_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="rag add"):
        Store(tmp_path / "index.sqlite")


@pytest.mark.parametrize("content", [b"", b"this is no database at all, only some text " * 30])
def test_a_file_that_is_no_store_is_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.sqlite").write_bytes(content)
    with pytest.raises(IndexBroken, match=r"index\.sqlite"):
        Store(tmp_path / "index.sqlite")


def test_a_store_of_another_version_is_refused(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'version'")
    connection.close()
    with pytest.raises(IndexBroken, match="version 99"):
        Store(tmp_path / "index.sqlite")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            "DELETE FROM vectors WHERE key = (SELECT vector_key FROM passages WHERE id = 1)",
            "1 passages without a vector",
        ),
        (
            "UPDATE vectors SET vector = x'0000' WHERE key = (SELECT vector_key FROM passages WHERE id = 1)",
            "1 vectors of a wrong size",
        ),
        ("UPDATE passages SET stop = 999 WHERE id = 1", "1 passages that reach beyond their article"),
        ("UPDATE passages SET start = 10 WHERE id = 1", "1 passages that reach beyond their article"),
        (
            "DELETE FROM passages WHERE article_id = (SELECT article_id FROM passages WHERE id = 1)",
            "1 articles without passages",
        ),
    ],
)
def test_damage_is_named_and_its_articles_are_deleted_and_no_others(
    store: Store, tmp_path: Path, damage: str, problem: str
) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    _write(store, TWO)
    assert store.integrity_problems() == []
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute(damage)
    connection.close()
    assert store.integrity_problems() == [problem]
    assert store.delete_damaged() == [ONE.uri]
    assert store.integrity_problems() == []
    assert list(store.articles()) == [TWO]
    assert (store.changes_since(2) or ([], [0]))[1] == []


def test_passages_without_an_article_are_found_and_dropped_as_removed(store: Store, tmp_path: Path) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    _write(store, TWO)
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("DELETE FROM articles WHERE id = ?", (ONE.id,))
    connection.close()
    assert store.integrity_problems() == ["2 passages without an article"]
    assert store.delete_damaged() == []
    assert store.integrity_problems() == []
    assert store.passage_ids() == [3]


def test_passages_made_by_another_embedder_replace_the_old_ones_under_a_new_identity(store: Store) -> None:
    _write(store, ONE, (0, 10), (11, 22))
    identity = store.meta("identity")
    key = vector_key("other", ONE.text)
    store.add_vectors([(key, _vector(0, 0, 3, 4))])
    store.replace_passages([(ONE.id, [Span(0, 22, "en")], [key])], "other", DIM)
    assert store.meta("embedder") == "other"
    assert store.meta("identity") != identity
    assert store.passage_ids() == [3]
    assert store.vectors([3])[1] == pytest.approx(np.array([[0, 0, 0.6, 0.8]]), abs=1e-3)


# Articles as they were


CHANGED = make_article(ONE.uri, "Trams run. Boats wait.", "One, changed")


def test_a_changed_article_is_kept_as_it_was(store: Store) -> None:
    _write(store, ONE)
    assert store.former(ONE.id) is None
    _write(store, CHANGED)
    assert (store.article(ONE.id), store.former(ONE.id), store.id_of(ONE.uri)) == (None, ONE, CHANGED.id)
    assert store.former(CHANGED.id) is None
    assert store.integrity_problems() == []


def test_an_article_that_changed_back_is_not_former_any_more(store: Store) -> None:
    for article in (ONE, CHANGED, ONE):
        _write(store, article)
    assert (store.article(ONE.id), store.former(ONE.id)) == (ONE, None)
    assert (store.article(CHANGED.id), store.former(CHANGED.id)) == (None, CHANGED)
    _write(store, ONE)  # as it is
    assert (store.article(ONE.id), store.former(ONE.id)) == (ONE, None)


def test_with_an_article_all_that_it_was_is_removed_and_nothing_of_others(store: Store) -> None:
    other = make_article(TWO.uri, "Ships sail near.", "Two, changed")
    for article in (ONE, CHANGED, make_article(ONE.uri, "Third text."), TWO, other):
        _write(store, article)
    assert store.former(ONE.id) == ONE and store.former(CHANGED.id) == CHANGED
    store.remove([str(store.id_of(ONE.uri))])
    assert store.former(ONE.id) is None and store.former(CHANGED.id) is None
    assert store.former(TWO.id) == TWO
    store.remove([TWO.id])  # an id that it had is none to remove it by
    assert store.article(other.id) == other and store.former(TWO.id) == TWO


# The list


def _listed(store: Store) -> None:
    rows = [
        ("b", "Весенние ёлки", "ru", "2024-05-06", "wire"),
        ("a", "apples", "en", None, "news"),
        ("d", "Bananas", "en", "2023", "news"),
        ("c", "ЯБЛОКИ", "ru", "2024", "Газета"),
    ]
    for n, (name, title, language, published, source) in enumerate(rows):
        text = "Some words. " * (n + 1)
        article = make_article(f"https://example.org/{name}", text, title, language, published, source)
        article = replace(article, fetched=f"2025-01-0{n + 1}T00:00:00+00:00")
        _write(store, article, *[(12 * i, 12 * i + 11) for i in range(4 - n)][: n + 1])


def _names(store: Store, order: str, descending: bool, text: str = "", where: Where = EVERYTHING) -> str:
    count, listed = store.listing(where, text, order, descending, 100, 0)
    assert count == len(listed)
    return "".join(line.uri[-1] for line in listed)


@pytest.mark.parametrize(
    ("order", "ascending", "descending"),
    [
        ("title", "adbc", "cbda"),
        ("published", "dcba", "bcda"),  # the unknown date comes last either way
        ("fetched", "badc", "cdab"),
        ("language", "adbc", "cbda"),
        ("source", "adbc", "cbda"),
        ("passages", "bcad", "dacb"),
        ("characters", "badc", "cdab"),
    ],
)
def test_articles_are_listed_by_any_column_and_equals_in_the_order_added(
    store: Store, order: str, ascending: str, descending: str
) -> None:
    _listed(store)
    assert (_names(store, order, False), _names(store, order, True)) == (ascending, descending)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "badc"),
        ("яблоки", "c"),
        ("ЁЛКИ", "b"),
        ("APPLES", "a"),
        ("газета", "c"),
        ("example.org/D", "d"),
        ("e", "badc"),
        ("100%", ""),
        ("%", ""),
        ("_", ""),
        ("' OR 1 --", ""),
        ("\0", ""),
    ],
)
def test_articles_are_listed_by_words_in_any_case(store: Store, text: str, found: str) -> None:
    _listed(store)
    assert _names(store, "fetched", False, text) == found


def test_a_line_of_the_list_says_all_but_the_text(store: Store) -> None:
    _listed(store)
    _, (line, *_) = store.listing(EVERYTHING, "", "title", True, 1, 0)
    article = store.article(line.id)
    assert article is not None
    assert line == Listed(
        article.id, article.uri, "ЯБЛОКИ", "ru", "2024", None, article.fetched, "Газета", article.uri, 48, 1
    )


def test_a_list_is_cut_into_pages_and_counts_all_that_pass(store: Store) -> None:
    _listed(store)
    pages = [store.listing(EVERYTHING, "", "title", False, 2, offset) for offset in (0, 2, 4)]
    assert [count for count, _ in pages] == [4, 4, 4]
    assert ["".join(line.uri[-1] for line in lines) for _, lines in pages] == ["ad", "bc", ""]
    assert _names(store, "title", False, where=Where(languages=("ru",))) == "bc"
    assert _names(store, "title", False, "я", Where(languages=("ru",), published_to="2023")) == ""
    assert _names(store, "title", False, where=Where(published_from="2024")) == "bc"
    with pytest.raises(ValueError, match="text"):
        store.listing(EVERYTHING, "", "text", False, 2, 0)


# A store of version 1


def _version_1(path: Path) -> None:
    """Make of a store what version 1 wrote: without former articles."""
    store = Store(path)
    _write(store, ONE)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE former")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'version'")
    connection.close()


def test_a_store_of_version_1_is_brought_to_this_one_and_loses_nothing(store: Store, tmp_path: Path) -> None:
    _version_1(tmp_path / "index.sqlite")
    for _ in range(2):
        store = Store(tmp_path / "index.sqlite")
        assert (store.meta("version"), store.generation(), list(store.articles())) == ("2", 1, [ONE])
        assert store.former(ONE.id) is None
    _write(store, CHANGED)
    assert store.former(ONE.id) == ONE
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        tables = "SELECT name FROM sqlite_master WHERE tbl_name = 'former' ORDER BY 1"
        assert {"former", "former_by_uri"} <= {row[0] for row in connection.execute(tables)}
    connection.close()


def test_a_store_of_version_1_may_be_opened_by_several_processes_at_once(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    _version_1(path)
    script = "import sys; from pathlib import Path; from index.store import Store\n"
    script += "sys.stdin.readline(); print(Store(Path(sys.argv[1])).meta('version'))"
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            env=SUBPROCESS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in opening:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) for process in opening] == [("2\n", "")] * 4


def test_many_threads_may_bring_a_store_to_this_version_at_once(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    for _ in range(5):
        path.unlink()
        Store.create(path, "tiny", DIM)
        _version_1(path)
        start = threading.Barrier(8)

        def version(start: threading.Barrier = start) -> str:
            start.wait()
            return Store(path).meta("version")

        with ThreadPoolExecutor(8) as pool:
            assert [f.result() for f in [pool.submit(version) for _ in range(8)]] == ["2"] * 8


def test_a_store_whose_file_is_gone_makes_no_empty_one(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    assert store.is_in_place()
    path.unlink()
    assert not store.is_in_place()
    with ThreadPoolExecutor(1) as pool, pytest.raises(IndexBroken):  # another thread, which has to connect first
        pool.submit(store.generation).result()
    assert not path.exists()
    Store.create(path, "tiny", DIM)
    assert not store.is_in_place() and Store(path).is_in_place()


def test_a_store_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "что? 100% #1 & more"
    folder.mkdir()
    Store.create(folder / "index.sqlite", "tiny", DIM)
    store = Store(folder / "index.sqlite")
    _write(store, ONE)
    assert list(store.articles()) == [ONE] and sorted(path.name for path in tmp_path.iterdir()) == [folder.name]
