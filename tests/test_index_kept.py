"""What a source shows beside its article."""

import json
import time
from pathlib import Path

import pytest
from conftest import SAMPLES, make_article, text_source
from hypothesis import given
from hypothesis import strategies as st

from index.articles import Kind, Source, read_sources
from index.clean import clean
from index.kept import Block, beside, source_of

PAGE = """<!doctype html><html><head><title>Pier to be rebuilt</title><style>.x { color: red }</style></head><body>
<nav><a href=/>Home</a> <a href=/sport>Sport</a></nav>
<h1>Pier to be rebuilt</h1>
<p>The council of Norwell voted on Tuesday to rebuild the <b>old</b> pier,<!-- hm --> which a storm broke in two.</p>
<div>Subscribe to our newsletter<script>alert("run me")</script></div>
<p hidden>hidden one</p><p style="display: none">hidden two</p><template><p>hidden three</p></template>
<p>Work begins in May and will cost 2.4 million pounds, said harbour master Edna Cole.<br>It opens in June.</p>
<table><tr><th>Year</th><th>Cost</th></tr><tr><td>2024</td><td>1.1 million</td></tr></table>
<noscript>hidden four</noscript></body></html>"""
TEXT = """The council of Norwell voted on Tuesday to rebuild the old pier, which a storm broke in two.
Work begins in May and will cost 2.4 million pounds, said harbour master Edna Cole.
It opens in June.
Year | Cost
2024 | 1.1 million"""


def _sample(name: str) -> Source:
    source = next(read_sources((SAMPLES / name).resolve()))
    assert isinstance(source, Source)
    return source


def _lines(blocks: list[Block], is_kept: bool) -> list[str]:
    return [block.text for block in blocks if block.is_kept == is_kept]


def test_a_page_is_shown_as_its_reader_sees_it() -> None:
    blocks = beside(text_source(PAGE, "html"), make_article("u", TEXT, "Pier to be rebuilt"))
    assert _lines(blocks, is_kept=False) == ["Home Sport", "Subscribe to our newsletter"]
    assert [" ".join(line.replace("|", "").split()) for line in _lines(blocks, is_kept=True)] == [
        " ".join(line.replace("|", "").split()) for line in ["Pier to be rebuilt", *TEXT.split("\n")]
    ]


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir() if path.suffix != ".jsonl"))
def test_every_line_of_a_sample_is_shown_and_every_line_of_its_article_is_kept(name: str) -> None:
    source = _sample(name)
    article = clean(source)
    kept = " ".join(" ".join(_lines(beside(source, article), is_kept=True)).replace("*", "").split())
    for line in [article.title, *article.text.split("\n")]:
        assert " ".join(line.removeprefix("- ").replace("*", "").split()) in kept


def test_what_a_sample_page_throws_away_is_its_furniture() -> None:
    source = _sample("cork-smart-lighting.html")
    thrown_away = _lines(beside(source, clean(source)), is_kept=False)
    assert {"Advertisement", "Share this article", "Death notices", "Hurling: Late goal sinks visitors"} <= {
        *thrown_away
    }
    assert not any("dimmable" in line for line in thrown_away)


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("The council of Norwell voted on Tuesday to rebuild the old pier.", True),
        ("THE COUNCIL of Norwell voted — on Tuesday — to rebuild the “old” pier", True),
        ("By Ann Bell. The council of Norwell voted on Tuesday to rebuild the old pier. Share this", True),
        ("The council of Norwell", True),  # a run of four words is all of it
        ("Norwell", False),
        ("The council of Ludlow voted against it, and the mayor of Norwell laughed", False),
        ("***", False),
    ],
)
def test_a_line_kept_by_half_is_kept(line: str, is_kept: bool) -> None:
    article = make_article("u", "The council of Norwell voted on Tuesday to rebuild the old pier.", "Norwell pier")
    assert beside(text_source(line), article) == [Block(line, is_kept)]


def test_a_line_without_spaces_is_compared_by_characters() -> None:
    article = make_article("u", "市议会周二决定重建旧码头,风暴将其一分为二。", "码头", "zh")
    blocks = beside(text_source("市议会周二决定重建旧码头\n天气预报今天多云转晴\n"), article)
    assert [block.is_kept for block in blocks] == [True, False]


def test_a_record_shows_its_text() -> None:
    record = json.dumps({"text": "Print\n\nIt opens in June, he said.", "title": "Pier"})
    blocks = beside(text_source(record, "record"), make_article("u", "It opens in June, he said.", "Pier"))
    assert blocks == [Block("Print", False), Block("It opens in June, he said.", True)]


@pytest.mark.parametrize("kind", ["text", "html"])
def test_of_a_very_long_source_the_beginning_is_shown(kind: Kind) -> None:
    line = "<p>This is one of very many sentences that nobody ever reads.</p>\n"
    started = time.monotonic()
    blocks = beside(text_source(line * (20_000_000 // len(line)), kind), make_article("u", "Nothing of it."))
    assert time.monotonic() - started < 60
    assert 10_000 < len(blocks) < 30_000 and blocks[-1] == Block("…", True)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b"<!-- -->", b"<div>" * 100_000, b"\x89PNG\r\n\x1a\n" + bytes(range(32)) * 100, b"<p>&#0;\xff"],
)
@pytest.mark.parametrize("kind", ["text", "markdown", "html"])
def test_what_is_no_text_stops_nothing(data: bytes, kind: Kind) -> None:
    assert not any(block.is_kept for block in beside(text_source(data, kind), make_article("u", "Something else.")))


@given(st.text() | st.binary(), st.sampled_from(["text", "html"]))
def test_any_source_gives_normalised_lines(data: str | bytes, kind: Kind) -> None:
    source = text_source(data.encode("utf-8", "replace") if isinstance(data, str) else data, kind)
    for block in beside(source, make_article("u", "Some text.")):
        assert block.text == " ".join(block.text.split()) != ""


def test_a_source_is_read_again_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "новость 1.txt"
    file.write_bytes(b"The pier opens in June.")
    uri = file.as_uri()
    assert source_of(uri, uri) == Source(uri, "text", b"The pier opens in June.", uri)
    file.unlink()
    assert source_of(uri, uri) is None


def test_a_record_is_found_again_by_its_address(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    lines = [{"text": "one"}, {"text": "two", "url": "https://example.org/2"}, {"text": "three"}]
    file.write_text("not JSON\n" + "\n".join(json.dumps(line) for line in lines))
    origin = file.as_uri()
    for uri, text in [("https://example.org/2", "two"), (f"{origin}#L4", "three")]:
        source = source_of(uri, origin)
        assert source is not None and json.loads(source.data)["text"] == text
    assert source_of("https://example.org/3", origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "http://[",
        "https://example.org/a.txt",
        "file://other-host/etc/a.txt",
        "file:///a%00b.txt",
        "file:///gone/\ud800.txt",
        "file:///dev/null",
        "file:///" + "a" * 5000 + ".txt",
    ],
)
def test_an_origin_that_is_no_file_of_ours_gives_nothing(origin: str) -> None:
    assert source_of(origin, origin) is None
