from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ScriptedPairs, make_article, open_index

from index.embed import OnnxE5
from index.types import Passage, Where
from rag.assistant import Assistant
from rag.reader.multilingual_reader import MultilingualReader
from rag.recency import answer_of, is_within, preferring, superseded_by
from rag.settings import Settings
from rag.time_scope import TimeScope
from rag.types import Citation, Hit, Reading


def _hit(published: str | None, relevance: float | None, answer: str = "2 million pounds", name: str = "") -> Hit:
    text = f"The pier costs {answer}, the mayor said."
    article = make_article(name or f"{published} {relevance} {answer}", text, published=published)
    start = text.index(answer)
    reading = None if relevance is None else Reading(relevance, relevance, start, start + len(answer))
    return Hit(Passage(1, article.id, 0, 0, len(text), "en"), article, 0.9, 1, 0.9, 0.5, reading, relevance)


def _cited(hit: Hit) -> Citation:
    article = hit.article
    end = len(article.text)
    return Citation(1, article.id, article.title, "", article.published, "en", 0, end, article.text, 0, end)


@pytest.mark.parametrize(
    ("published", "since", "until", "is_in"),
    [
        ("2024-05-03", None, None, True),
        ("2024-05-03", "2024", "2024", True),
        ("2024-05-03", "2024-05", "2024-05", True),
        ("2024-05-03", "2024-05-03", "2024-05-03", True),
        ("2024-05-03", "2024-05-04", None, False),
        ("2024-05-03", None, "2024-05-02", False),
        ("2024-05-03", "2025", None, False),
        ("2024-05-03", None, "2023", False),
        ("2024-05", "2024-05-20", None, True),
        ("2024-05", "2024-06-01", None, False),
        ("2024", "2024-05-20", "2024-06", True),
        ("2024", "2025-01-01", None, False),
        ("2024", None, "2023-12-31", False),
        (None, "2024", None, False),
        (None, None, None, False),
    ],
)
def test_a_date_is_within_a_period_as_far_as_both_are_known(
    published: str | None, since: str | None, until: str | None, is_in: bool
) -> None:
    assert is_within(published, TimeScope(since, until)) is is_in


def _dates(scope: TimeScope, hits: list[Hit]) -> list[str | None]:
    return [hit.article.published for hit in preferring(scope, hits)]


def test_a_question_of_no_time_leaves_the_order_of_relevance() -> None:
    hits = [_hit("2020", 0.3), _hit("2024", 0.2), _hit(None, 0.9), _hit("2023", None), _hit("2025", 0.3)]
    ordered = preferring(TimeScope(), hits)
    assert [hit.relevance for hit in ordered] == [0.9, 0.3, 0.3, 0.2, None]
    assert [hit.article.published for hit in ordered] == [None, "2020", "2025", "2024", "2023"]
    assert [hit.rank for hit in ordered] == [1, 2, 3, 4, 5] and preferring(TimeScope(), []) == []


def test_articles_of_the_period_asked_about_come_before_others_as_relevant() -> None:
    hits = [_hit("2023-01", 0.9), _hit("2024-06-01", 0.8), _hit(None, 0.85), _hit("2024", 0.74), _hit("2025", 0.5)]
    assert _dates(TimeScope("2024", "2024"), hits) == ["2024-06-01", "2023-01", "2024", None, "2025"]
    assert _dates(TimeScope(since="2025"), hits) == ["2023-01", None, "2024-06-01", "2024", "2025"]


def test_where_the_latest_is_asked_for_newer_dates_are_preferred_step_by_step() -> None:
    hits = [_hit("2021", 0.5), _hit("2023", 0.44), _hit("2025", 0.36), _hit(None, 0.495)]
    assert _dates(TimeScope(is_recent=True), hits) == ["2023", "2025", "2021", None]  # .515, .51, .5, .495
    assert _dates(TimeScope(is_recent=True), hits[:1] + hits[3:]) == ["2021", None]  # one date is not newer than itself


def test_passages_that_were_not_read_keep_their_order_behind_the_others() -> None:
    hits = [_hit("2025-02", None), _hit("2025-01", None), _hit("2020", 0.0), _hit("2025-03", None)]
    expected = ["2020", "2025-02", "2025-01", "2025-03"]
    for scope in (TimeScope(), TimeScope(is_recent=True), TimeScope("2025-01", "2025-01")):
        assert _dates(scope, hits) == expected


def test_a_newer_article_with_another_figure_supersedes() -> None:
    old, new = _hit("2023-05-17", 0.9, "£42 million"), _hit("2025-01-23", 0.8, "57.5 million pounds")
    assert superseded_by([_cited(old)], [old, new]) == new == superseded_by([_cited(old)], [new, old])
    assert answer_of(new) == "57.5 million pounds"
    newest = _hit("2025-03", 0.5, "60 million pounds")
    assert superseded_by([_cited(old)], [old, newest, new]) == newest


@pytest.mark.parametrize(
    ("newer", "why"),
    [
        (_hit("2023-05-17", 0.9, "57.5 million pounds"), "of the same day"),
        (_hit("2022", 0.9, "57.5 million pounds"), "older"),
        (_hit(None, 0.9, "57.5 million pounds"), "of unknown date"),
        (_hit("2025", 0.4, "57.5 million pounds"), "less than half as relevant"),
        (_hit("2025", None, "57.5 million pounds"), "not read"),
        (_hit("2025", 0.9, "42 million pounds"), "the same figure"),
        (_hit("2025", 0.9, "£42m"), "the same figure in other words"),
        (_hit("2025", 0.9, "the mayor"), "no figure"),
        (_hit("2025", 0.9, "March 2026"), "a figure of another kind"),
        (_hit("2025", 0.9, "8.4 km"), "a figure of another kind"),
    ],
)
def test_nothing_supersedes_that_is_not_newer_and_otherwise(newer: Hit, why: str) -> None:
    old = _hit("2023-05-17", 0.9, "£42 million")
    assert superseded_by([_cited(old)], [old, newer]) is None, why


def test_nothing_supersedes_an_answer_that_has_no_date_no_figure_or_the_newest_one() -> None:
    new = _hit("2025", 0.9, "57.5 million pounds")
    for old in (_hit(None, 0.9, "£42 million"), _hit("2023", 0.9, "the mayor"), _hit("2023", None, "£42 million")):
        assert superseded_by([_cited(old)], [old, new]) is None
    old = _hit("2023", 0.9, "£42 million")
    assert superseded_by([_cited(old), _cited(new)], [old, new]) is None
    assert superseded_by([], [old, new]) is None


def test_a_passage_that_was_not_cited_is_not_compared() -> None:
    text = "The pier costs £42 million. A bench costs £14,000."
    article, half = make_article("pier", text, published="2023"), text.index(" A bench") + 1
    cited = Hit(Passage(1, article.id, 0, 0, half, "en"), article, 0.9, 1, 0.9, 0.5, Reading(9.0, 9.0, 15, 26), 0.9)
    beside = replace(cited, passage=Passage(2, article.id, 1, half, len(text), "en"), relevance=0.01)
    assert answer_of(cited) == "£42 million" and "£14,000" in beside.text
    beside = replace(beside, reading=Reading(-9.0, -9.0, 14, 21))
    new = _hit("2025", 0.9, "£42 million")
    quote = replace(_cited(cited), end=half - 1, quote=text[: half - 1])
    assert superseded_by([quote], [cited, beside, new]) is None
    newest = _hit("2026", 0.9, "£50 million")
    assert superseded_by([quote], [cited, beside, new, newest]) == newest


PAIRS = [
    pytest.param(
        *("Сколько стоит линия «Восточная дуга» в Ижевске?", "izhevsk-tram-2024", "6,8 млрд рублей"),
        *("8,3 млрд рублей", "Более новая статья, от 2025-02-20, называет другую цифру: 8,3 млрд рублей («Восточная"),
        id="izhevsk",
    ),
    pytest.param(
        *("What does the Lower Don heat network in Sheffield cost?", "sheffield-heat-2023", "£42 million"),
        *("57.5 million", "A newer article, of 2025-01-23, gives another figure: 57.5 million (Cost of Lower Don"),
        id="sheffield",
    ),
]


@pytest.mark.parametrize(("question", "file", "figure", "newer_figure", "note"), PAIRS)
def test_an_answer_out_of_an_older_article_says_that_a_newer_one_has_another_figure(
    sample_index_folder: Path, embedder: OnnxE5, question: str, file: str, figure: str, newer_figure: str, note: str
) -> None:
    reader = MultilingualReader(ScriptedPairs({figure: 40.0, newer_figure: 3.0}), 0.95)
    assistant = Assistant(open_index(sample_index_folder, embedder), reader, reader, Settings())
    answer = assistant.ask(question)
    assert answer.text == f"{figure} [1]" and file in answer.citations[0].uri
    assert len(answer.notes) == 1 and answer.notes[0].startswith(note), answer.notes
    unaware = assistant.ask(question, Where(published_to="2024"))
    assert unaware.text == answer.text and unaware.notes == ()


@pytest.mark.parametrize(("question", "file", "figure", "newer_figure", "note"), PAIRS)
def test_an_answer_out_of_the_newest_article_has_no_note(
    sample_index_folder: Path, embedder: OnnxE5, question: str, file: str, figure: str, newer_figure: str, note: str
) -> None:
    reader = MultilingualReader(ScriptedPairs({figure: 3.0, newer_figure: 40.0}), 0.95)
    answer = Assistant(open_index(sample_index_folder, embedder), reader, reader, Settings()).ask(question)
    assert newer_figure in answer.text and file not in answer.citations[0].uri and answer.notes == ()
