import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import SUBPROCESS, CountingEmbedder, Floats, TinyEmbedder, make_article, note, open_index, write_notes

from index.article_index import ArticleIndex, Chunked
from index.build import add_articles
from index.chunk import chunk, passage_input
from index.embed import DEFAULT_EMBEDDER, OnnxE5
from index.errors import EmbedderMismatch, IndexBroken, IndexLocked, IndexMissing
from index.types import Article, Where

TINY = TinyEmbedder()


def _chunked(article: Article) -> Chunked:
    return Chunked(article, chunk(article, TINY.count_tokens, TINY.max_tokens), article.uri)


def _note(number: int, published: str | None = None, language: str = "en") -> Chunked:
    return _chunked(
        make_article(f"file:///notes/{number}.txt", note(number).strip(), f"Note {number}", language, published)
    )


def _add(index: ArticleIndex, numbers: Sequence[int]) -> None:
    with index.writing():
        index.add([_note(n) for n in numbers])


def _assert_found(index: ArticleIndex, number: int) -> None:
    """Find a note by its own word and by its own vector, and nothing else before it."""
    (best, _, coverage), *_ = index.search_lexical(f"marker{number:04}", "en", 3)
    passage = index.passages([best])[best]
    article = index.article(passage.article_id)
    assert article is not None
    assert f"marker{number:04}" in article.text
    assert coverage > 0.3
    text = passage_input(article.title, article.text[passage.start : passage.end])
    ((same, cosine),) = index.search_dense(index.embedder.embed_query(text), 1)
    assert same == best
    assert cosine == pytest.approx(1, abs=2e-3)


def _assert_gone(index: ArticleIndex, number: int) -> None:
    assert index.search_lexical(f"marker{number:04}", "en", 3) == []
    vector = index.embedder.embed_query(f"Note {number}. {note(number).strip()}")
    ids = [i for i, _ in index.search_dense(vector, 1000)]
    assert set(index.passages(ids)) == set(ids)


@pytest.fixture
def index(tmp_path: Path) -> ArticleIndex:
    made = open_index(tmp_path / "index", TINY)
    _add(made, range(30))
    return made


def test_what_was_added_is_found_by_words_and_by_meaning(index: ArticleIndex) -> None:
    for number in range(30):
        _assert_found(index, number)
    assert index.check() == []


def test_status_sums_up_what_the_index_holds(index: ArticleIndex) -> None:
    with index.writing():
        index.add([_note(100, "2024-05-06", "ru"), _note(101, "2023", "ru")])
    status = index.status()
    assert (status.articles, status.passages, status.generation, status.embedder) == (32, 32, 2, "tiny-words")
    assert status.languages == [("en", 30), ("ru", 2)]
    assert status.sources == [("news", 32)]
    assert (status.earliest, status.latest, status.undated) == ("2023", "2024-05-06", 30)
    assert status.bytes == sum(p.stat().st_size for p in index.folder.rglob("*") if p.is_file())


def test_removal_takes_an_article_out_of_both_indexes(index: ArticleIndex) -> None:
    with index.writing():
        index.remove(index.find_articles("file:///notes/7.txt"))
    _assert_gone(index, 7)
    _assert_found(index, 8)
    assert not index.holds("file:///notes/7.txt")
    assert index.check() == []
    assert index.status().articles == 29


def test_filters_hold_for_both_searches(index: ArticleIndex) -> None:
    with index.writing():
        index.add([_note(100, "2024-12-31"), _note(101, "2025-01-01"), _note(102, "2024-01-01", "ru")])
    for where, allowed in [
        (Where(published_to="2024"), {100, 102}),
        (Where(published_from="2024-06"), {100, 101}),
        (Where(languages=("ru",)), {102}),
        (Where(sources=("nowhere",)), set()),
    ]:
        dense = [i for i, _ in index.search_dense(TINY.embed_query("station tickets"), 50, where)]
        lexical = [i for i, _, _ in index.search_lexical("station", "en", 50, where)]
        for ids in (dense, lexical):
            articles = [index.article(p.article_id) for p in index.passages(ids).values()]
            assert {a.uri for a in articles if a} == {f"file:///notes/{n}.txt" for n in allowed}


def test_an_unchanged_passage_is_never_embedded_twice(tmp_path: Path) -> None:
    embedder = CountingEmbedder(max_tokens=40)
    index = open_index(tmp_path / "index", embedder)
    sentences = [
        f"Sentence number {n} speaks of the topic {n} at some length, so that it fills its passage alone."
        for n in range(8)
    ]

    def add(lines: list[str]) -> int:
        article = make_article("file:///a.txt", "\n\n".join(lines), "T")
        spans = chunk(article, embedder.count_tokens, embedder.max_tokens)
        assert len(spans) >= 3
        with index.writing():
            return index.add([Chunked(article, spans, article.uri)])

    first = add(sentences)
    assert first == len(embedder.texts)
    assert add(sentences) == 0
    changed = [*sentences[:-1], "The last sentence was written anew, and is the only one that has to be embedded."]
    assert add(changed) == 1
    assert len(embedder.texts) == first + 1
    assert "written anew" in embedder.texts[-1]


# Opening


def test_an_index_of_another_embedder_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    open_index(tmp_path / "index", TINY).close()
    with pytest.raises(EmbedderMismatch) as refusal:
        ArticleIndex.open(tmp_path / "index", DEFAULT_EMBEDDER)
    message = str(refusal.value)
    assert "tiny-words" in message
    assert "multilingual-e5-small" in message
    assert f"rag reembed --embedder {DEFAULT_EMBEDDER} --index {tmp_path / 'index'}" in message


def test_an_index_remembers_its_embedder(sample_index_folder: Path) -> None:
    index = ArticleIndex.open(sample_index_folder)
    assert isinstance(index.embedder, OnnxE5)
    assert index.status().embedder == OnnxE5.name


def test_a_missing_index_is_made_only_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        ArticleIndex.open(tmp_path / "index")
    assert not (tmp_path / "index").exists()
    index = ArticleIndex.open(tmp_path / "index", create=True)
    assert index.is_empty()
    assert index.check() == []
    assert index.search_lexical("anything", "en", 5) == []
    assert index.search_dense(np.zeros(384, np.float32), 5) == []


def test_an_index_cannot_be_made_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(IndexMissing, match="cannot make an index"):
        ArticleIndex.open(tmp_path / "file", create=True)


def test_a_folder_whose_store_is_garbage_is_broken(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"garbage " * 1000)
    with pytest.raises(IndexBroken, match=r"index\.sqlite"):
        ArticleIndex.open(tmp_path)


# Several at once


def test_a_second_open_index_sees_additions_and_removals_without_reopening(index: ArticleIndex) -> None:
    other = open_index(index.folder, TINY)
    _assert_found(other, 3)
    _add(index, [200, 201])
    _assert_found(other, 200)
    with index.writing():
        index.remove(index.find_articles("file:///notes/200.txt"))
    _assert_gone(other, 200)
    _assert_found(other, 201)
    assert other.check() == []


def test_an_open_index_sees_removals_even_when_they_are_long_past(index: ArticleIndex) -> None:
    other = open_index(index.folder, TINY)
    _assert_found(other, 3)
    for number in (3, 4, 5, 6):  # each a large enough change for the FAISS file to be written
        with index.writing():
            index.remove([i for n in range(number, 30, 4) for i in index.find_articles(f"file:///notes/{n}.txt")])
            index.forget_unused()
    _add(index, [300])
    with index.writing():
        index.forget_unused()
    _assert_found(other, 300)
    _assert_gone(other, 3)
    assert other.check() == []


def test_a_commit_in_the_middle_of_catching_up_is_not_counted_twice(
    index: ArticleIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may commit between any two reads of ours; here it does so at the worst moment."""
    other = open_index(index.folder, TINY)
    _assert_found(other, 3)
    _add(index, [400])
    store = other._store
    read_generation = store.generation
    pending = [[401]]

    def generation() -> int:
        found = read_generation()
        while pending:
            _add(index, pending.pop())
        return found

    monkeypatch.setattr(store, "generation", generation)
    other.search_dense(TINY.embed_query("station"), 1)
    found = [i for i, _ in other.search_dense(TINY.embed_query("station"), 1000)]
    assert len(found) == len(set(found)) == 32
    assert other.check() == []


def test_only_one_process_may_write(index: ArticleIndex) -> None:
    program = (
        "import sys; from pathlib import Path; from conftest import TinyEmbedder, open_index\n"
        f"index = open_index(Path({str(index.folder)!r}), TinyEmbedder())\n"
        "with index.writing():\n    print('holding', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], env=SUBPROCESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None and holder.stdout is not None
    try:
        assert holder.stdout.readline() == "holding\n"
        with pytest.raises(IndexLocked, match="another process is writing"), index.writing():
            raise AssertionError("two processes are writing")
        _assert_found(index, 5)  # reading goes on
    finally:
        holder.stdin.close()
        holder.wait(timeout=30)
        holder.stdout.close()
    _add(index, [77])
    _assert_found(index, 77)


def test_two_open_indexes_of_one_process_do_not_write_at_once_either(index: ArticleIndex) -> None:
    other = open_index(index.folder, TINY)
    with index.writing(), pytest.raises(IndexLocked), other.writing():
        raise AssertionError("two are writing")


def test_an_error_while_writing_keeps_what_was_committed_and_lets_go_of_the_lock(index: ArticleIndex) -> None:
    with pytest.raises(ZeroDivisionError), index.writing():
        index.add([_note(500)])
        raise ZeroDivisionError
    _assert_found(index, 500)
    _add(index, [501])
    assert index.check() == []


# Damage


def _dense_file(folder: Path) -> Path:
    (file,) = folder.glob("dense-*.faiss")
    return file


def _delete_dense(folder: Path) -> None:
    _dense_file(folder).unlink()


def _truncate_dense(folder: Path) -> None:
    file = _dense_file(folder)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _empty_dense(folder: Path) -> None:
    _dense_file(folder).write_bytes(b"")


def _delete_lexical(folder: Path) -> None:
    (lexical,) = folder.glob("lexical-*")
    shutil.rmtree(lexical)


def _break_lexical(folder: Path) -> None:
    (lexical,) = folder.glob("lexical-*")
    (lexical / "meta.json").write_text("{")


def _empty_lexical_segments(folder: Path) -> None:
    (lexical,) = folder.glob("lexical-*")
    for file in lexical.glob("*.*"):
        if file.suffix in (".store", ".term", ".idx"):
            file.write_bytes(b"")


DERIVED_DAMAGE = [
    _delete_dense,
    _truncate_dense,
    _empty_dense,
    _delete_lexical,
    _break_lexical,
    _empty_lexical_segments,
]


@pytest.mark.parametrize("damage", DERIVED_DAMAGE)
def test_a_damaged_derived_index_is_built_anew_on_opening(index: ArticleIndex, damage: Callable[[Path], None]) -> None:
    index.close()
    damage(index.folder)
    again = open_index(index.folder, TINY)
    for number in (0, 15, 29):
        _assert_found(again, number)
    assert again.check() == []


@pytest.mark.parametrize("damage", DERIVED_DAMAGE)
def test_repair_writes_a_damaged_derived_index_anew(index: ArticleIndex, damage: Callable[[Path], None]) -> None:
    index.close()
    damage(index.folder)
    again = open_index(index.folder, TINY)
    with again.writing():
        assert again.repair() == []
    assert again.check() == []
    assert _dense_file(index.folder).stat().st_size > 30 * TINY.dim * 4
    third = open_index(index.folder, TINY)
    assert third.check() == []
    for number in (0, 15, 29):
        _assert_found(third, number)


def test_a_lost_vector_is_found_by_check_and_mended_by_repair(index: ArticleIndex) -> None:
    index.close()
    with sqlite3.connect(index.folder / "index.sqlite") as connection:
        connection.execute("DELETE FROM vectors WHERE key = (SELECT vector_key FROM passages WHERE id = 4)")
    connection.close()
    again = open_index(index.folder, TINY)
    assert "1 passages without a vector" in again.check()
    with again.writing():
        assert again.repair() == ["file:///notes/3.txt"]
    assert again.check() == []
    _assert_gone(again, 3)
    _add(again, [3])
    _assert_found(again, 3)
    assert again.check() == []


def test_vectors_that_are_not_of_length_one_are_found(index: ArticleIndex) -> None:
    with sqlite3.connect(index.folder / "index.sqlite") as connection:
        vector = np.full(TINY.dim, 0.5, np.float16).tobytes()
        connection.execute(
            "UPDATE vectors SET vector = ? WHERE key = (SELECT vector_key FROM passages WHERE id = 4)", (vector,)
        )
    connection.close()
    assert open_index(index.folder, TINY).check() == ["1 vectors that are not of length 1"]


# Another embedder


def test_reembedding_makes_all_passages_anew_and_search_works(index: ArticleIndex) -> None:
    _add(index, range(30, 100))  # more than one batch
    other = CountingEmbedder("other-words", dim=48, max_tokens=100)
    done: list[int] = []
    with index.writing():
        index.reembed(other, done.append)
    assert sum(done) == 100
    assert len(other.texts) == 100
    assert index.status().embedder == "other-words"
    for number in (0, 50, 99):
        _assert_found(index, number)
    again = open_index(index.folder, other)
    _assert_found(again, 64)
    assert len(list(index.folder.glob("lexical-*"))) == 1
    assert len(list(index.folder.glob("dense-*"))) == 1


def test_the_vectors_of_the_old_embedder_are_no_damage(index: ArticleIndex) -> None:
    with index.writing():
        index.reembed(CountingEmbedder("other-words", dim=48), lambda _: None)
    assert index.check() == []
    with index.writing():
        index.forget_unused()
    assert index.check() == []
    _assert_found(index, 7)


class FailingEmbedder(CountingEmbedder):
    """Fails after so many texts, as a process that is killed there would."""

    fail_after = 64

    def embed_passages(self, texts: Sequence[str]) -> Floats:
        if len(self.texts) >= self.fail_after:
            raise RuntimeError("out of memory")
        return super().embed_passages(texts)


def test_a_reembedding_that_fails_leaves_the_old_vectors_in_use_and_goes_on_where_it_stopped(
    index: ArticleIndex,
) -> None:
    _add(index, range(30, 100))
    failing = FailingEmbedder("other-words", dim=64)
    with pytest.raises(RuntimeError), index.writing():
        index.reembed(failing, lambda _: None)
    assert index.status().embedder == "tiny-words"
    assert index.check() == []
    _assert_found(open_index(index.folder, TINY), 64)
    again = CountingEmbedder("other-words", dim=64)
    with index.writing():
        index.reembed(again, lambda _: None)
    assert len(again.texts) == 100 - 64
    _assert_found(index, 64)


def test_after_a_reembedding_that_failed_the_open_index_still_searches_with_the_old_model(index: ArticleIndex) -> None:
    _add(index, range(30, 100))
    with pytest.raises(RuntimeError), index.writing():
        index.reembed(FailingEmbedder("other-words", dim=64), lambda _: None)
    assert index.embedder.name == "tiny-words"
    _assert_found(index, 64)


def test_an_open_index_does_not_mix_vectors_when_another_process_reembeds(index: ArticleIndex) -> None:
    """The reader's embedder no longer fits: an error that says so, never scores across two models."""
    other = open_index(index.folder, TINY)
    _assert_found(other, 3)
    with index.writing():
        index.reembed(CountingEmbedder("other-words", dim=64), lambda _: None)
    with pytest.raises(EmbedderMismatch):
        other.search_dense(TINY.embed_query("station"), 5)


# The real model


def test_the_sample_index_is_whole(sample_index_folder: Path, embedder: OnnxE5) -> None:
    index = open_index(sample_index_folder, embedder)
    assert index.check() == []
    status = index.status()
    assert status.articles == 28
    assert dict(status.languages) == {"ru": 11, "en": 10, "de": 2, "es": 2, "zh": 2, "fr": 1}
    assert status.undated == 3
    assert (status.earliest, status.latest) == ("2022-08-30", "2026-01-19")


def test_every_stored_vector_is_that_of_its_passage(sample_index_folder: Path, embedder: OnnxE5) -> None:
    index = open_index(sample_index_folder, embedder)
    for article in list(index.articles())[::9]:
        for passage in index.passages(list(range(1, 200))).values():
            if passage.article_id == article.id:
                text = passage_input(article.title, article.text[passage.start : passage.end])
                (expected,) = embedder.embed_passages([text])
                assert float(index.vectors([passage.id])[passage.id] @ expected) > 0.995


@pytest.mark.parametrize(
    ("question", "file"),
    [
        ("How many street lights will Cork replace?", "cork-smart-lighting.html"),
        ("Сколько вагонов закупят для «Восточной дуги»?", "izhevsk-tram-2024.txt"),
        ("Wer baut die Straßenbahn mit Frachtabteil?", "erfurt-stadtbahn.html"),
        ("寿光的智能温室每年产多少番茄？", "shouguang-greenhouse.txt"),
        ("Which laboratory studies seaweed against methane from cattle?", "dunedin-kelp-lab.txt"),
        ("Where is the hydrogen tram tested?", "zaragoza-tranvia.txt"),
    ],
)
def test_a_question_finds_its_article_by_meaning_also_across_languages(
    sample_index_folder: Path, embedder: OnnxE5, question: str, file: str
) -> None:
    index = open_index(sample_index_folder, embedder)
    found = index.search_dense(embedder.embed_query(question), 3)
    passages = index.passages([i for i, _ in found])
    uris = [index.uri_and_origin(passages[i].article_id)[1] for i, _ in found]
    assert any(uri.endswith("/" + file) for uri in uris)
    assert all(-1 <= score <= 1 for _, score in found)


def test_adding_to_a_copy_leaves_the_original_alone(
    sample_index_folder: Path, embedder: OnnxE5, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sample_index_folder, copy)
    index = open_index(copy, embedder)
    report = add_articles(index, write_notes(tmp_path / "notes", [1, 2]))
    assert (report.added, report.skipped) == (2, [])
    assert index.check() == []
    assert index.status().articles == 30
    assert open_index(sample_index_folder, embedder).status().articles == 28


def test_searching_threads_while_another_process_adds_never_hold_a_passage_twice(tmp_path: Path) -> None:
    tiny = TinyEmbedder()
    writer, reader = open_index(tmp_path, tiny), open_index(tmp_path, tiny)
    stop = threading.Event()
    vector = tiny.embed_query("station")
    repeated: list[list[int]] = []

    def search() -> None:
        while not stop.is_set():
            ids = [i for i, _ in reader.search_dense(vector, 1000)]
            if len(ids) != len(set(ids)):
                repeated.append(ids)

    threads = [threading.Thread(target=search) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(40):
        article = make_article(f"note:{number}", note(number))
        with writer.writing():
            writer.add([Chunked(article, chunk(article, tiny.count_tokens, tiny.max_tokens), article.uri)])
    stop.set()
    for thread in threads:
        thread.join()
    assert repeated == [] and reader.check() == []


def test_what_an_article_was_is_found_by_the_id_it_had_also_after_a_sync(tmp_path: Path) -> None:
    index, news = open_index(tmp_path / "index", TINY), tmp_path / "news"
    (file, other) = write_notes(news, [1, 2])
    add_articles(index, [news])
    (first,) = index.find_articles(file.as_uri())
    was = index.article(first)
    assert was is not None and index.revision(first) == (was, first)
    file.write_text(note(3), "utf-8")
    add_articles(index, [news], sync=True)
    (second,) = index.find_articles(file.as_uri())
    assert second != first and index.article(first) is None
    assert index.revision(first) == (was, second)
    assert index.revision(second) == (index.article(second), second)
    assert index.revision("unknown") is None
    other.unlink()
    add_articles(index, [news], sync=True)  # of which the other article only goes
    assert index.revision(first) == (was, second)
    file.write_text(note(1), "utf-8")
    add_articles(index, [news], sync=True)
    assert index.find_articles(file.as_uri()) == [first]
    now = index.revision(first)
    assert now is not None and (now[0].text, now[1]) == (was.text, first)
    assert index.revision(second) is not None
    file.unlink()
    add_articles(index, [news], sync=True)
    assert index.revision(first) is None and index.revision(second) is None
    assert index.check() == []


def test_former_articles_are_not_searched_listed_or_counted(index: ArticleIndex) -> None:
    article = make_article("file:///notes/7.txt", note(77).strip(), "Note 77")
    with index.writing():
        index.add([_chunked(article)])
    _assert_gone(index, 7)
    _assert_found(index, 77)
    assert index.status().articles == 30 == index.listing()[0]
    assert index.listing(text="note 7", order="title")[1][0].id == article.id


def test_former_articles_outlive_a_reembedding(index: ArticleIndex) -> None:
    (before,) = index.find_articles("file:///notes/7.txt")
    with index.writing():
        index.add([_chunked(make_article("file:///notes/7.txt", note(77).strip(), "Note 77"))])
    with index.writing():
        index.reembed(TinyEmbedder("other-words"), lambda _: None)
    former = index.revision(before)
    assert former is not None and former[0].id == before


def test_an_open_index_knows_whether_it_is_still_the_one_in_its_folder(index: ArticleIndex) -> None:
    assert index.is_current()
    _add(index, [40])
    with open_index(index.folder, TINY).writing():
        open_index(index.folder, TINY).remove(index.find_articles("file:///notes/40.txt"))
    assert index.is_current()  # its own changes, and others', make it no other one
    other = open_index(index.folder, TINY)
    with other.writing():
        other.reembed(TinyEmbedder("other-words"), lambda _: None)
    assert not index.is_current() and other.is_current()
    shutil.rmtree(index.folder)
    assert not other.is_current() and not index.folder.exists()
    again = open_index(index.folder, TINY)
    assert again.is_current() and not other.is_current() and not index.is_current()
