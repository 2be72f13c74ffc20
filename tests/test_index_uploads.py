import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import CountingEmbedder, note, open_index
from hypothesis import given
from hypothesis import strategies as st

import index.uploads as uploading
from index.articles import KINDS, Skipped, Source, list_files, read_sources
from index.build import add_articles
from index.errors import IndexProblem, NotAnArticle
from index.fetch import Page
from index.uploads import Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "index")


def _kept(folder: Path) -> list[str]:
    """Give what a listing of articles finds in an index folder."""
    found = list(list_files([folder]))
    assert not [item for item in found if isinstance(item, Skipped)]
    return [file.name for file in found if isinstance(file, Path)]


# Files


def test_nothing_is_made_before_something_is_kept(uploads: Uploads, tmp_path: Path) -> None:
    assert not uploads.forget("file:///a.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("report.txt", "report.txt"),
        ("Новости «парка» №5 100%.TXT", "Новости «парка» №5 100%.TXT"),
        ("天気.html", "天気.html"),
        ("cafe\u0301.md", "café.md"),
        ("two\u00a0 words\n.txt", "two words.txt"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("/etc/cron.d/x.txt", "x.txt"),
        ("C:\\Users\\x\\a.txt", "a.txt"),
        ("C:a.txt", "C_a.txt"),
        ("a.txt:stream.txt", "a.txt_stream.txt"),
        ("...hidden.txt", "hidden.txt"),
        (" . .. a.txt. . ", "a.txt"),
        ("a\0b\x1b[31m\u202etxt.exe.txt", "ab[31mtxt.exe.txt"),
        ("con.txt", "_con.txt"),
        ("NUL .tar.txt", "_NUL .tar.txt"),
        ("com¹.md", "_com¹.md"),
        ("console.txt", "console.txt"),
        ("\ud800a.txt", "a.txt"),
        ('a?<b>*|".txt', "a__b____.txt"),
    ],
)
def test_a_name_is_reduced_to_a_plain_one(uploads: Uploads, tmp_path: Path, name: str, kept: str) -> None:
    file = uploads.keep_file(name, b"x")
    assert file == (tmp_path / "index" / "uploads" / kept).resolve()
    assert file.read_bytes() == b"x"


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a.txt/", "a.pdf", "txt", ".txt", "a", "\0", "a." + "x" * 999])
def test_a_name_without_a_known_type_is_refused(uploads: Uploads, tmp_path: Path, name: str) -> None:
    with pytest.raises(NotAnArticle, match=r"^unsupported type .{1,20}; known: \.txt"):
        uploads.keep_file(name, b"x")
    assert list(tmp_path.iterdir()) == []


NAMES = st.one_of(
    st.text(),
    st.text().map(lambda text: f"{text}.txt"),
    st.text(alphabet="./\\ :~\0\n\u202eaж😀", max_size=300).map(lambda text: f"{text}.md"),
    st.sampled_from(["con", "aux", "lpt1", "com²", "nul.x", "..", "~", "-rf", "$(id)"]).map(
        lambda text: f"{text}.html"
    ),
)


@given(name=NAMES, data=st.binary(max_size=5))
def test_any_name_is_refused_or_becomes_a_file_right_in_the_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("uploads")
    uploads = Uploads(folder)
    try:
        file = uploads.keep_file(name, data)
    except NotAnArticle:
        return
    assert file.parent == (folder / "uploads").resolve()
    assert file.read_bytes() == data
    assert file.suffix.lower() in KINDS
    assert file.name.isprintable() and not file.name.startswith((".", " ")) and not file.name.endswith((".", " "))
    assert not set(file.name) & set('<>:"/\\|?*')
    assert len(file.name.encode()) <= 120
    assert _kept(folder) == [file.name]
    assert uploads.keep_file(file.name, data) == file  # a name that is safe stays as it is
    assert uploads.forget(file.as_uri()) and _kept(folder) == []


@given(st.text(alphabet="aж😀e\u0301", min_size=100, max_size=400))
def test_a_long_name_is_cut_between_letters_and_keeps_its_suffix(
    tmp_path_factory: pytest.TempPathFactory, stem: str
) -> None:
    uploads = Uploads(tmp_path_factory.mktemp("uploads"))
    one, two = uploads.keep_file(f"{stem}.jsonl", b"1"), uploads.keep_file(f"{stem}.jsonl", b"2")
    assert one.suffix == two.suffix == ".jsonl"
    assert two.stem == f"{one.stem} (2)"
    assert len(two.name.encode()) <= 143


def test_the_same_file_again_is_the_same_path_and_another_gets_a_number(uploads: Uploads, tmp_path: Path) -> None:
    contents = [b"one", b"two", b"one", b"three", b"two", b"three", b""]
    names = [uploads.keep_file("a.txt", data).name for data in contents]
    expected = ["a.txt", "a (2).txt", "a.txt", "a (3).txt", "a (2).txt", "a (3).txt", "a (4).txt"]
    assert names == expected
    assert {p.name: p.read_bytes() for p in (tmp_path / "index/uploads").glob("*.txt")} == dict(
        zip(expected, contents, strict=True)
    )


def test_two_names_that_differ_in_what_is_dropped_do_not_overwrite_each_other(uploads: Uploads) -> None:
    assert [uploads.keep_file(name, name.encode()).name for name in ("a.txt", "x/a.txt", "..a.txt")] == [
        "a.txt",
        "a (2).txt",
        "a (3).txt",
    ]


def test_what_is_too_large_is_refused(uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "LARGEST_ARTICLE", 2_000_000)
    monkeypatch.setattr(uploading, "LARGEST_RECORDS", 3_000_000)
    uploads.keep_file("a.txt", bytes(2_000_000))
    uploads.keep_file("a.jsonl", bytes(3_000_000))
    with pytest.raises(NotAnArticle, match=r"^too large: 4 MB, the limit is 2 MB$"):
        uploads.keep_file("b.txt", bytes(4_000_000))
    with pytest.raises(NotAnArticle, match=r"^too large: 4 MB, the limit is 3 MB$"):
        uploads.keep_file("b.jsonl", bytes(4_000_000))
    with pytest.raises(NotAnArticle, match="the limit is 2 MB"):
        uploads.keep_page(Page("https://example.org/a", "html", bytes(2_000_000)))
    assert _kept(tmp_path) == ["a.jsonl", "a.txt"]


def test_threads_that_keep_one_name_at_once_lose_nothing(uploads: Uploads, tmp_path: Path) -> None:
    contents = [f"text {number % 8}".encode() * 20_000 for number in range(32)]
    together = threading.Barrier(16)

    def keep(data: bytes) -> Path:
        together.wait()
        return Uploads(tmp_path / "index").keep_file("a.txt", data)

    with ThreadPoolExecutor(16) as pool:
        paths = list(pool.map(keep, contents))
    assert [path.read_bytes() for path in paths] == contents
    assert len(set(paths)) == 8
    assert _kept(tmp_path) == sorted(path.name for path in set(paths))


def test_a_file_is_on_disk_before_it_has_its_name(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("sync")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        steps.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    uploads.keep_file("a.txt", b"x")
    assert steps == ["sync", "name", "sync"]  # the second time the folder


def test_a_disk_that_is_full_leaves_nothing_behind(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IndexProblem, match=r"cannot write to .*: No space left on device"):
        uploads.keep_file("a.txt", b"x" * 1000)
    assert [p.name for p in (tmp_path / "index/uploads").iterdir() if p.stat().st_size] == []


def test_a_folder_that_cannot_be_made_is_a_problem_of_the_index(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"a file")
    with pytest.raises(IndexProblem, match="cannot write to"):
        Uploads(tmp_path / "index").keep_file("a.txt", b"x")


# Pages

PAGE = (
    '<html><head><meta charset="koi8-r"><title>Трамвай</title></head><body><article><p>Проект трамвайной линии '
    "утвердили в Ижевске, она пройдет через четыре квартала.</p><p>Длина линии составит одиннадцать километров, на ней "
    "появятся четырнадцать остановок.</p></article></body></html>"
)


def test_a_page_is_indexed_under_its_address_and_fetching_it_again_replaces_it(tmp_path: Path) -> None:
    index = open_index(tmp_path / "index", CountingEmbedder())
    uploads = Uploads(tmp_path / "index")
    url = "https://www.example.org/tram"
    file = uploads.keep_page(Page(url, "html", PAGE.encode()))
    report = add_articles(index, [file])
    (article,) = index.articles()
    assert (report.added, report.skipped) == (1, [])
    assert (article.uri, article.source, article.title) == (url, "example.org", "Трамвай")
    assert "одиннадцать километров" in article.text
    assert add_articles(index, [uploads.keep_page(Page(url, "html", PAGE.encode()))]).unchanged == 1
    changed = PAGE.replace("одиннадцать", "двенадцать").encode()
    assert uploads.keep_page(Page(url, "html", changed)) == file
    assert add_articles(index, [file]).updated == 1
    assert "двенадцать километров" in next(index.articles()).text
    (article_id,) = index.find_articles(url)
    assert uploads.forget(index.uri_and_origin(article_id)[1])
    assert not file.exists()


def test_a_page_of_plain_text_is_kept_as_text(uploads: Uploads) -> None:
    file = uploads.keep_page(Page("https://example.org/a.txt", "text", f"{note(1)}\u2028end\0\x1b".encode()))
    assert json.loads(file.read_text("utf-8")) == {
        "url": "https://example.org/a.txt",
        "text": f"{note(1)}\u2028end\0\x1b",
    }
    (source,) = read_sources(file)
    assert isinstance(source, Source) and source.uri == "https://example.org/a.txt"


def test_each_address_has_a_file_that_no_upload_can_take(uploads: Uploads) -> None:
    urls = ["https://example.org/a", "https://example.org/A", "https://example.org/a?b", "https://example.org/a/"]
    pages = [uploads.keep_page(Page(url, "text", b"x")) for url in urls]
    assert len(set(pages)) == len(urls)
    for name in (pages[0].name, f"pages/{pages[0].name}", "pages"):
        try:
            assert uploads.keep_file(name, b"{}") not in pages
        except NotAnArticle:
            assert name == "pages"
    assert json.loads(pages[0].read_text())["url"] == urls[0]


# Forgetting


def test_a_kept_file_is_forgotten_by_the_uri_the_index_has(tmp_path: Path) -> None:
    index = open_index(tmp_path / "index", CountingEmbedder())
    uploads = Uploads(tmp_path / "index")
    file = uploads.keep_file("Новости #1 100%?.txt", note(1).encode())
    add_articles(index, [file])
    (article,) = index.articles()
    origin = index.uri_and_origin(article.id)[1]
    assert uploads.forget(origin)
    assert not file.exists()
    assert not uploads.forget(origin)


def test_a_file_elsewhere_is_never_deleted(uploads: Uploads, tmp_path: Path) -> None:
    kept = uploads.keep_file("kept.txt", b"x")
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    database = tmp_path / "index" / "index.txt"
    database.write_text("mine")
    beside = tmp_path / "index" / "uploads-of-others" / "a.txt"
    beside.parent.mkdir()
    beside.write_text("mine")
    link = kept.with_name("link.txt")
    link.symlink_to(outside)
    folder = kept.with_name("folder.txt")
    folder.mkdir()
    inside = kept.parent.as_uri()
    for origin in [
        outside.as_uri(),
        database.as_uri(),
        beside.as_uri(),
        link.as_uri(),
        folder.as_uri(),
        inside,
        f"{inside}/../index.txt",
        f"{inside}/%2e%2e/index.txt",
        f"{inside}/..%2Findex.txt",
        f"{inside}/.lock",
        f"{inside}/kept.txt%00",
        f"{inside}/nothing.txt",
        f"file://elsewhere{kept}",
        f"https://example.org{kept}",
        str(kept),
        "",
        "file:",
        "file:///",
        "http://[",
        "file:///\ud800.txt",
    ]:
        assert not uploads.forget(origin), origin
    assert all(file.read_text() == "mine" for file in (outside, database, beside))
    assert kept.exists() and (kept.parent / ".lock").exists()


def test_an_index_folder_behind_a_link_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    file = Uploads(tmp_path / "link").keep_file("a.txt", b"x")
    assert file == (tmp_path / "real" / "uploads" / "a.txt").resolve()
    assert Uploads(tmp_path / "real").forget((tmp_path / "link" / "uploads" / "a.txt").as_uri())


@pytest.mark.parametrize("name", ["a.txt", "пример файла.md"])
def test_a_relative_index_folder_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    file = Uploads(Path("index")).keep_file(name, b"x")
    monkeypatch.chdir("/")
    assert Uploads(tmp_path / "index").forget(file.as_uri())
