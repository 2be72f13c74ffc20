import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_article, open_index
from hypothesis import given, settings
from hypothesis import strategies as st

from index.embed import OnnxE5
from index.types import Passage
from rag import Answer, Assistant, Settings
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import OnnxPairReader
from rag.records import answer_of, answer_record, kept_record
from rag.server.answer_view import Extent, answer_html
from rag.types import Citation, Hit, Sentence

EXTENT = Extent(38, 181)
TEXTS = st.text(max_size=20)
DATES = st.none() | st.sampled_from(["2024", "2024-05", "2024-05-06"])
LANGUAGES = st.sampled_from(["en", "ru", "de", "zh"])
SHARES = st.floats(0, 1)


def hit(name: str, rank: int, relevance: float | None = 0.25) -> Hit:
    article = make_article(f"file:///{name}.txt", "Some text. More text.", name.upper())
    return Hit(Passage(rank, article.id, 0, 0, 10, "en"), article, 1 / rank, rank, 0.5, 0.5, None, relevance)


@st.composite
def citations(draw: st.DrawFn, marker: int) -> Citation:
    quote = draw(st.text(min_size=1, max_size=30))
    low, high = sorted((draw(st.integers(0, len(quote))), draw(st.integers(0, len(quote)))))
    start = draw(st.integers(0, 10**6))
    uri = draw(st.sampled_from(["https://example.org/a", "file:///a.txt"]))
    title, published, language = draw(TEXTS), draw(DATES), draw(LANGUAGES)
    article_id = draw(st.sampled_from("abcd"))
    return Citation(
        marker, article_id, title, uri, published, language, start, start + len(quote), quote, start + low, start + high
    )


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    cited = [draw(citations(n + 1)) for n in range(draw(st.integers(0, 3)))]
    status = draw(st.sampled_from(["answered", "partial"])) if cited else "abstained"
    found = draw(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | SHARES), max_size=8))
    return Answer(
        question=draw(TEXTS),
        standalone=draw(TEXTS),
        text=draw(TEXTS),
        status=status,  # type: ignore[arg-type]
        confidence=draw(SHARES),
        citations=tuple(cited),
        hits=tuple(hit(name, n, relevance) for n, (name, relevance) in enumerate(found, 1)),
        language=draw(LANGUAGES),
        as_of=draw(DATES),
        sentences=tuple(Sentence(draw(TEXTS), (c,), "supported") for c in cited),
        unsupported=tuple(draw(st.lists(st.builds(Sentence, TEXTS, st.just(()), st.just("no source"), TEXTS)))),
        notes=tuple(draw(st.lists(TEXTS, max_size=2))),
        answerer=draw(st.sampled_from(["reader", "openai:m"])),
        timings=draw(st.dictionaries(st.just("read_ms"), st.floats(0, 10**6))),
    )


@settings(max_examples=300, deadline=None)
@given(answers())
def test_a_kept_answer_shows_the_same(answer: Answer) -> None:
    again = answer_of(json.loads(json.dumps(kept_record(answer))))
    for language in ("en", "ru"):
        assert answer_html(again, language, EXTENT) == answer_html(answer, language, EXTENT)
    assert replace(again, hits=(), confidence=0) == replace(answer, hits=(), confidence=0)
    assert kept_record(again) == kept_record(answer)
    assert again.turn == answer.turn


@pytest.mark.parametrize(
    "question",
    [
        "How many street lights will Cork replace?",
        "Wie hoch ist der Mount Everest?",
        "Сколько стоит трамвай в Ижевске?",
    ],
)
def test_a_real_answer_shows_the_same(
    sample_index_folder: Path, embedder: OnnxE5, pairs: OnnxPairReader, question: str
) -> None:
    reader = MultilingualReader(pairs, 0.5)
    answer = Assistant(open_index(sample_index_folder, embedder), reader, reader, Settings()).ask(question)
    again = answer_of(json.loads(json.dumps(kept_record(answer))))
    assert answer_html(again, "en", EXTENT) == answer_html(answer, "en", EXTENT)
    assert (again.sentences, again.citations, again.turn) == (answer.sentences, answer.citations, answer.turn)


def test_of_each_article_the_passage_found_first_is_kept_in_the_order_found() -> None:
    found = tuple(hit(name, rank) for rank, name in enumerate("abcda", 1))
    answer = Answer("q", "q", "t", "abstained", 0.1, (), found, "en", None)
    kept = kept_record(answer)["hits"]
    assert [record["title"] for record in kept] == ["A", "B", "C", "D"]
    assert {record["text"] for record in kept} == {""} and kept[0]["score"] == 1
    assert [record["title"] for record in answer_record(answer)["hits"]] == ["A", "B", "C", "D", "A"]


def test_a_kept_answer_is_as_sure_as_it_was() -> None:
    answer = Answer("q", "q", "t", "answered", 0.79996, (), (hit("a", 1, 0.494996),), "en", None)
    again = answer_of(kept_record(answer))
    assert (again.confidence, again.hits[0].relevance) == (0.79996, 0.494996)


def test_a_record_is_plain_json_with_the_texts_of_what_was_found() -> None:
    answer = Answer("q", "q", "t", "abstained", 0.123456, (), (hit("a", 1, 0.98765432),), "en", None)
    record = answer_record(answer)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["confidence"], record["hits"][0]["relevance"]) == (0.1235, 0.9877)
    assert record["hits"][0]["text"] == "Some text."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in _places(part, (*path, key)))]


def _replaced(value: object, path: tuple[object, ...], other: object) -> object:
    if not path:
        return other
    if isinstance(value, dict):
        return {k: _replaced(v, path[1:], other) if k == path[0] else v for k, v in value.items()}
    assert isinstance(value, list)
    return [_replaced(v, path[1:], other) if k == path[0] else v for k, v in enumerate(value)]


@settings(max_examples=500, deadline=None)
@given(answers(), JSON, st.data())
def test_a_record_of_no_answer_raises_nothing_unforeseen(answer: Answer, other: object, data: st.DataObject) -> None:
    record: object = json.loads(json.dumps(kept_record(answer)))
    damaged = _replaced(record, data.draw(st.sampled_from(_places(record))), other)
    with suppress(KeyError, TypeError, ValueError):
        answer_of(damaged)  # type: ignore[arg-type]


@pytest.mark.parametrize("record", [None, 5, "text", [], {}, {"question": "q"}, {"citations": [{}]}])
def test_what_is_no_record_of_an_answer_is_refused(record: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        answer_of(record)  # type: ignore[arg-type]


def test_a_number_too_large_for_a_confidence_is_refused_like_any_other() -> None:
    record = kept_record(Answer("q", "q", "t", "abstained", 0.1, (), (), "en", None))
    with pytest.raises(ValueError, match="confidence"):
        answer_of({**record, "confidence": 10**400})
