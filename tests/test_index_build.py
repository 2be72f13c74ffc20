import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SAMPLES, SUBPROCESS, CountingEmbedder, TinyEmbedder, note, open_index, write_notes

from index.article_index import ArticleIndex
from index.articles import Skipped, readable
from index.build import Progress, Report, add_articles
from index.chunk import passage_input


def _counts(report: Report) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.removed, len(report.skipped)


def _reason(report: Report, name: str) -> str:
    (skipped,) = [s for s in report.skipped if name in s.uri]
    return skipped.reason


def _uris(index: ArticleIndex) -> set[str]:
    return {article.uri for article in index.articles()}


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def index(tmp_path: Path, embedder: CountingEmbedder) -> ArticleIndex:
    return open_index(tmp_path / "index", embedder)


def test_a_second_run_cleans_and_embeds_nothing(index: ArticleIndex, embedder: CountingEmbedder) -> None:
    first = add_articles(index, [SAMPLES])
    assert _counts(first) == (28, 0, 0, 0, 0)
    assert first.passages_embedded == len(embedder.texts) == index.status().passages
    calls, generation = len(embedder.calls), index.status().generation
    second = add_articles(index, [SAMPLES])
    assert _counts(second) == (0, 0, 28, 0, 0)
    assert second.passages_embedded == 0
    assert (len(embedder.calls), index.status().generation) == (calls, generation)


def test_of_a_changed_file_only_the_changed_passages_are_embedded(tmp_path: Path) -> None:
    embedder = CountingEmbedder(max_tokens=60)
    index = open_index(tmp_path / "index", embedder)
    paragraphs = [" ".join([f"Paragraph {n} tells of the bridge number {n} over the river."] * 5) for n in range(6)]
    file = tmp_path / "news" / "bridges.txt"
    file.parent.mkdir()
    file.write_text("Bridges of the town\n\n" + "\n\n".join(paragraphs))
    first = add_articles(index, [file])
    assert first.passages_embedded >= 6
    paragraphs[3] = paragraphs[3].replace("river", "harbour")
    file.write_text("Bridges of the town\n\n" + "\n\n".join(paragraphs))
    before = len(embedder.texts)
    second = add_articles(index, [file])
    assert _counts(second) == (0, 1, 0, 0, 0)
    fresh = embedder.texts[before:]
    assert 1 <= second.passages_embedded == len(fresh) <= 2
    assert all("harbour" in text for text in fresh)
    assert "harbour" in next(index.articles()).text
    assert index.status().articles == 1
    assert index.check() == []


def test_a_touched_file_is_unchanged(index: ArticleIndex, tmp_path: Path) -> None:
    (file,) = write_notes(tmp_path / "news", [1])
    add_articles(index, [file])
    os.utime(file, (1, 1))
    assert _counts(add_articles(index, [file])) == (0, 0, 1, 0, 0)


def test_progress_reaches_the_total_and_never_goes_back(index: ArticleIndex) -> None:
    steps: list[Progress] = []
    add_articles(index, [SAMPLES], show=steps.append)
    done = [step.bytes_done for step in steps]
    total = sum(path.stat().st_size for path in SAMPLES.iterdir())
    assert done == sorted(done)
    assert done[-1] == total
    assert {step.bytes_total for step in steps} == {total}


# Synchronising


def test_sync_removes_what_has_gone_from_the_folder_and_nothing_else(index: ArticleIndex, tmp_path: Path) -> None:
    files = write_notes(tmp_path / "news", range(5))
    others = write_notes(tmp_path / "other", range(10, 13))
    add_articles(index, [tmp_path / "news", tmp_path / "other"])
    files[1].unlink()
    others[0].unlink()
    assert _counts(add_articles(index, [tmp_path / "news"])) == (0, 0, 4, 0, 0)  # without --sync nothing goes
    assert _counts(add_articles(index, [tmp_path / "news"], sync=True)) == (0, 0, 4, 1, 0)
    assert _uris(index) == {file.as_uri() for file in [files[0], *files[2:], *others]}
    assert index.search_lexical("marker0001", "en", 5) == []
    assert index.check() == []


def test_sync_removes_the_lines_that_have_gone_from_a_file_of_many(index: ArticleIndex, tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    lines = [json.dumps({"text": note(n), "title": f"Note {n}", "url": f"https://example.org/{n}"}) for n in range(4)]
    file.write_text("".join(f"{line}\n" for line in lines))
    add_articles(index, [file])
    file.write_text(f"{lines[0]}\n{lines[2]}\n")
    assert _counts(add_articles(index, [file], sync=True)) == (0, 0, 2, 2, 0)
    assert _uris(index) == {"https://example.org/0", "https://example.org/2"}


def test_a_record_is_unchanged_when_others_are_appended_below_it(index: ArticleIndex, tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    file.write_text(json.dumps({"text": note(1)}))  # no line break at the end yet
    add_articles(index, [file])
    with file.open("a") as lines:
        lines.write("\n" + json.dumps({"text": note(2)}) + "\r\n")
    assert _counts(add_articles(index, [file])) == (1, 0, 1, 0, 0)


def test_sync_keeps_what_the_index_has_of_a_file_that_has_become_bad(index: ArticleIndex, tmp_path: Path) -> None:
    files = write_notes(tmp_path / "news", range(3))
    add_articles(index, [tmp_path / "news"])
    files[1].write_bytes(b"")
    assert _counts(add_articles(index, [tmp_path / "news"], sync=True)) == (0, 0, 2, 0, 1)
    assert files[1].as_uri() in _uris(index)


def test_sync_of_a_folder_leaves_one_whose_name_differs_in_case_alone(index: ArticleIndex, tmp_path: Path) -> None:
    write_notes(tmp_path / "News", [1])
    write_notes(tmp_path / "news", [2])
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell case apart")
    add_articles(index, [tmp_path / "News", tmp_path / "news"])
    assert _counts(add_articles(index, [tmp_path / "News"], sync=True)) == (0, 0, 1, 0, 0)


def test_a_renamed_file_stays_in_the_index_under_its_new_name(index: ArticleIndex, tmp_path: Path) -> None:
    (file,) = write_notes(tmp_path / "news", [1])
    add_articles(index, [tmp_path / "news"])
    renamed = file.rename(file.with_name("renamed.txt"))
    add_articles(index, [tmp_path / "news"], sync=True)
    assert _uris(index) == {renamed.as_uri()}


def test_the_twin_of_an_article_that_has_gone_takes_its_place(index: ArticleIndex, tmp_path: Path) -> None:
    (file,) = write_notes(tmp_path / "news", [1])
    twin = file.with_name("twin.txt")
    twin.write_text(file.read_text())
    add_articles(index, [tmp_path / "news"])
    assert _uris(index) == {file.as_uri()}
    file.unlink()
    add_articles(index, [tmp_path / "news"], sync=True)
    assert _uris(index) == {twin.as_uri()}


# Duplicates


def test_a_duplicate_is_skipped_and_names_its_twin(index: ArticleIndex, tmp_path: Path) -> None:
    (file,) = write_notes(tmp_path / "news", [1])
    (tmp_path / "news" / "same.txt").write_text(file.read_text() + "\n\n\n")
    report = add_articles(index, [tmp_path / "news"])
    assert _counts(report) == (1, 0, 0, 0, 1)
    reason = f"same text as {readable(file.as_uri())}"
    assert report.skipped == [Skipped((tmp_path / "news" / "same.txt").as_uri(), reason)]
    (tmp_path / "later.txt").write_text(file.read_text())  # in another run
    assert _reason(add_articles(index, [tmp_path / "later.txt"]), "later.txt") == reason


def test_a_file_given_twice_is_read_once(index: ArticleIndex, tmp_path: Path) -> None:
    (file,) = write_notes(tmp_path / "news", [1])
    (tmp_path / "news" / "link.txt").symlink_to(file)
    assert _counts(add_articles(index, [file, tmp_path / "news", file])) == (1, 0, 0, 0, 0)


def test_two_records_with_one_url_are_one_article_and_settled_after_one_run(
    index: ArticleIndex, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    url = "https://example.org/a"
    file.write_text("\n".join(json.dumps({"text": note(n), "title": f"Note {n}", "url": url}) for n in (1, 2)))
    first = add_articles(index, [file])
    assert index.status().articles == 1
    assert first.added == 1
    generation = index.status().generation
    second = add_articles(index, [file])
    assert (second.added, second.updated) == (0, 0)
    assert index.status().generation == generation


# Bad files


def test_one_bad_file_of_each_kind_is_reported_and_the_rest_is_indexed(index: ArticleIndex, tmp_path: Path) -> None:
    news = tmp_path / "news"
    good = write_notes(news, range(3))
    (news / "empty.txt").write_bytes(b"")
    (news / "spaces.txt").write_bytes(b" \n \t\n")
    (news / "binary.txt").write_bytes(bytes(range(256)) * 50)
    with (news / "huge.txt").open("wb") as file:
        file.truncate(50_000_000)
    (news / "dangling.txt").symlink_to(tmp_path / "nowhere.txt")
    (news / "picture.png").write_bytes(b"\x89PNG")
    (news / "page.html").write_text("<html><body></body></html>")
    lines = [
        json.dumps({"text": note(50)}),
        '{"text": "cut off',
        "[1, 2]",
        '{"title": "no text"}',
        json.dumps({"text": note(51)}),
    ]
    (news / "lines.jsonl").write_text("\n".join(lines))
    named = news / "Новости «парка» №5 100%.txt"
    named.write_text(note(60))
    long = news / "long.txt"
    long.write_text("abcdefghij" * 100_000)
    started = time.perf_counter()
    report = add_articles(index, [news, tmp_path / "missing"])
    assert time.perf_counter() - started < 20
    assert _reason(report, "empty.txt") == "empty"
    assert _reason(report, "spaces.txt") == "empty"
    assert _reason(report, "binary.txt") == "binary data, not text"
    assert _reason(report, "huge.txt") == "too large for one article: 50 MB, the limit is 20 MB"
    assert _reason(report, "nowhere.txt") == "not a regular file"
    assert _reason(report, "picture.png").startswith("unsupported type .png; known: .txt")
    assert _reason(report, "page.html") == "no article text found on the page"
    assert _reason(report, "lines.jsonl#L2").startswith("not JSON (")
    assert _reason(report, "lines.jsonl#L3").startswith("needs to be a JSON object")
    assert _reason(report, "lines.jsonl#L4").startswith("needs to be a JSON object")
    assert _reason(report, "missing") == "no such file or folder"
    assert len(report.skipped) == 11
    wire = (news / "lines.jsonl").as_uri()
    assert _uris(index) == {f.as_uri() for f in [*good, named, long]} | {f"{wire}#L1", f"{wire}#L5"}
    for number in (0, 1, 2, 50, 51, 60):
        assert len(index.search_lexical(f"marker{number:04}", "en", 5)) == 1
    assert index.check() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_or_folder_is_reported(index: ArticleIndex, tmp_path: Path) -> None:
    one, two = write_notes(tmp_path / "news", [1, 2])
    inner = tmp_path / "news" / "inner"
    write_notes(inner, [3])
    one.chmod(0)
    inner.chmod(0)
    try:
        report = add_articles(index, [tmp_path / "news"])
    finally:
        inner.chmod(0o700)
    assert _uris(index) == {two.as_uri()}
    assert _reason(report, one.name) == "permission denied"
    assert _reason(report, "inner").lower() == "permission denied"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_sync_keeps_what_the_index_has_of_a_folder_that_cannot_be_read(index: ArticleIndex, tmp_path: Path) -> None:
    inner = tmp_path / "news" / "inner"
    (file,) = write_notes(inner, [3])
    add_articles(index, [tmp_path / "news"])
    inner.chmod(0)
    try:
        add_articles(index, [tmp_path / "news"], sync=True)
    finally:
        inner.chmod(0o700)
    assert _uris(index) == {file.as_uri()}


def test_a_pipe_is_not_waited_for(index: ArticleIndex, tmp_path: Path) -> None:
    write_notes(tmp_path / "news", [1])
    os.mkfifo(tmp_path / "news" / "pipe.txt")
    report = add_articles(index, [tmp_path / "news"])
    assert _reason(report, "pipe.txt") == "not a regular file"
    assert report.added == 1


def test_a_link_to_itself_does_not_end_the_run(index: ArticleIndex, tmp_path: Path) -> None:
    write_notes(tmp_path / "news", [1])
    (tmp_path / "news" / "loop.txt").symlink_to("loop.txt")
    report = add_articles(index, [tmp_path / "news"])
    assert _counts(report) == (1, 0, 0, 0, 1)
    assert "loop.txt" in report.skipped[0].uri


@pytest.mark.parametrize("target", ["note.bin", "note", "note.PNG"])
def test_a_link_to_a_file_of_another_suffix_does_not_end_the_run(
    index: ArticleIndex, tmp_path: Path, target: str
) -> None:
    write_notes(tmp_path / "news", [1])
    (tmp_path / target).write_text(note(2))
    (tmp_path / "news" / "link.txt").symlink_to(tmp_path / target)
    report = add_articles(index, [tmp_path / "news"])
    assert report.added + len(report.skipped) == 2
    assert len(index.search_lexical("marker0001", "en", 5)) == 1


def test_a_file_name_that_is_no_unicode_does_not_end_the_run(index: ArticleIndex, tmp_path: Path) -> None:
    write_notes(tmp_path / "news", [1])
    (tmp_path / "news" / os.fsdecode(b"caf\xe9.txt")).write_text(note(2))
    report = add_articles(index, [tmp_path / "news"])
    assert _counts(report) == (2, 0, 0, 0, 0)
    assert any(uri.endswith("/caf%E9.txt") for uri in _uris(index))
    assert index.check() == []


@pytest.mark.parametrize(
    "url", ["http://x/\ud800", "http://[broken", "\x00", "x" * 100_000, " ", "file:///", "no url", "//"]
)
def test_a_record_with_an_odd_url_does_not_end_the_run(index: ArticleIndex, tmp_path: Path, url: str) -> None:
    file = tmp_path / "wire.jsonl"
    lines = [json.dumps({"text": note(1), "url": url}), json.dumps({"text": note(2)})]
    file.write_text("\n".join(lines))
    report = add_articles(index, [file])
    assert report.added + len(report.skipped) == 2
    assert len(index.search_lexical("marker0002", "en", 5)) == 1
    assert index.check() == []


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"text": ' + "9" * 10_000 + "}",
        "\x00",
        "nul",
        '"text"',
        "{'text': 1}",
        '{"text": null}',
        "\udcff",
    ],
)
def test_a_bad_line_is_reported_by_its_number(index: ArticleIndex, tmp_path: Path, line: str) -> None:
    file = tmp_path / "wire.jsonl"
    file.write_bytes(
        b"\n".join(text.encode("utf-8", "surrogateescape") for text in (line, "", json.dumps({"text": note(2)})))
    )
    report = add_articles(index, [file])
    assert [s.uri for s in report.skipped] == [f"{file.as_uri()}#L1"]
    assert _uris(index) == {f"{file.as_uri()}#L3"}


def test_a_file_that_begins_with_a_byte_order_mark_and_ends_lines_as_windows_does_is_read(
    index: ArticleIndex, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(json.dumps({"text": note(n)}).encode() for n in (1, 2)) + b"\r\n")
    assert _counts(add_articles(index, [file])) == (2, 0, 0, 0, 0)


def test_hidden_files_and_folders_are_passed_over(index: ArticleIndex, tmp_path: Path) -> None:
    write_notes(tmp_path / "news" / ".git", [1])
    write_notes(tmp_path / "news" / "deep" / "er", [2])
    (tmp_path / "news" / ".hidden.txt").write_text(note(3))
    assert _counts(add_articles(index, [tmp_path / "news"])) == (1, 0, 0, 0, 0)


def test_the_samples_are_the_same_index_in_any_order_of_adding(tmp_path: Path) -> None:
    files = sorted(SAMPLES.iterdir())
    found: list[set[tuple[str, str]]] = []
    for name, order in (("one", files), ("two", files[::-1])):
        index = open_index(tmp_path / name, TinyEmbedder())
        for start in range(0, len(order), 7):
            add_articles(index, order[start : start + 7])
        assert index.check() == []
        found.append({(article.id, article.title) for article in index.articles()})
    assert found[0] == found[1]
    assert len(found[0]) == 28


# Killed

KILLED = """
import sys
from pathlib import Path
from conftest import TinyEmbedder, open_index
from index.build import add_articles

index = open_index(Path(sys.argv[1]), TinyEmbedder())
print("ready", flush=True)
for folder in sorted(Path(sys.argv[2]).iterdir()):
    report = add_articles(index, [folder], sync=True)
    if report.added or report.removed:
        print(folder.name, report.added, flush=True)
print("finished", flush=True)
"""


def test_what_was_reported_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    per_folder, folders, kills = 12, 80, 5
    for n in range(folders):
        write_notes(tmp_path / "news" / f"{n:03}", range(n * per_folder, (n + 1) * per_folder))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "index"), str(tmp_path / "news")]
    moments = random.Random(20)
    reported: set[int] = set()
    killed = 0
    for _ in range(kills):
        process = subprocess.Popen(command, env=SUBPROCESS, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if not reported:  # so that there is something to lose
            reported.add(int(process.stdout.readline().split()[0]))
        time.sleep(moments.uniform(0.02, 0.7))
        process.kill()
        rest = process.stdout.read().splitlines()
        killed += process.wait() == -9 and "finished" not in rest
        reported |= {int(line.split()[0]) for line in rest if line[:1].isdigit()}
        process.stdout.close()

        index = open_index(tmp_path / "index", TinyEmbedder())
        assert index.check() == []
        held = {article.uri: article for article in index.articles()}
        for folder in reported:
            for number in range(folder * per_folder, (folder + 1) * per_folder):
                article = held[(tmp_path / "news" / f"{folder:03}" / f"note-{number:04}.txt").as_uri()]
                ((best, _, _),) = index.search_lexical(f"marker{number:04}", "en", 5)
                passage = index.passages([best])[best]
                assert passage.article_id == article.id
                text = passage_input(article.title, article.text[passage.start : passage.end])
                assert index.search_dense(index.embedder.embed_query(text), 1)[0][0] == best
        assert len(held) % per_folder == 0  # a folder is one transaction: there whole, or not at all
        index.close()
    assert killed >= 3
    assert len(reported) >= 5
