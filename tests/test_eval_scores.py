"""The metrics of one question, and their intervals, by values worked out by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_article
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.evidence import cited_of, found_of, needs_of, pieces_of
from eval.gold import Evidence, GoldQuestion, Kind
from eval.metrics import (
    Ratio,
    contains,
    estimate,
    exact_match,
    lemma_f1,
    mean_of,
    normalise,
    resample_weights,
    token_f1,
)
from eval.records import Cited, Found, Piece, Record
from eval.scores import citation_scores, retrieval_scores, score
from index.types import Article, Passage
from rag.types import Citation, Hit

LOG3 = math.log2(3)
TRAM = make_article(
    "https://ex.org/tram", "🚋 The tram opens in May. It costs 40 pounds a month. Nobody pays 40 pounds twice."
)
COST = "It costs 40 pounds a month."
BUS = make_article("https://ex.org/bus", "Nobody knows the bus. A pass for it is 40 pounds.")
PASS = "A pass for it is 40 pounds."
GOLD = GoldQuestion("q", "What does it cost?", "en", ("40 pounds",), (Evidence("tram", COST),), "number")


def _pieces(gold: GoldQuestion) -> tuple[Piece, ...]:
    return pieces_of(gold, {"tram": TRAM, "bus": BUS})


def _hit(article: Article, start: int, end: int) -> Hit:
    return Hit(Passage(1, article.id, 0, start, end, "en"), article, 0.5, 1, 0.5, 0.0)


def _citation(article: Article, quote: str) -> Citation:
    start = article.text.index(quote)
    return _hit(article, 0, len(article.text)).cite((start, start + len(quote)), (start, start + 1))


# Evidence


def test_a_piece_of_evidence_stands_at_its_characters() -> None:
    (piece,) = _pieces(GOLD)
    assert (piece.uri, piece.language, piece.quote) == (TRAM.uri, "en", COST)
    assert (piece.start, piece.end) == (25, 52)  # the tram before it is one character
    assert TRAM.text[piece.start : piece.end] == COST


@pytest.mark.parametrize(
    ("kind", "count", "needs"),
    [
        ("fact", 1, ((0,),)),
        ("fact", 3, ((0, 1, 2),)),
        ("list", 2, ((0, 1),)),
        ("multi-article", 2, ((0,), (1,))),
        ("unanswerable", 0, ()),
    ],
)
def test_all_evidence_is_needed_of_several_articles_and_one_piece_otherwise(
    kind: Kind, count: int, needs: tuple[tuple[int, ...], ...]
) -> None:
    assert needs_of(replace(GOLD, kind=kind, evidence=(Evidence("tram", COST),) * count)) == needs


@pytest.mark.parametrize(
    ("start", "end", "pieces"),
    [
        (20, 40, (0, 1)),
        (0, 25, (0,)),  # half of the first
        (0, 24, ()),
        (25, 32, (0,)),
        (26, 33, (1,)),  # three of the second's six
        (27, 32, ()),
        (0, 20, ()),
        (30, 60, (1,)),
    ],
)
def test_a_passage_covers_the_evidence_that_it_has_half_of(start: int, end: int, pieces: tuple[int, ...]) -> None:
    evidence = [Piece(TRAM.uri, "en", 20, 30, "x" * 10), Piece(TRAM.uri, "en", 30, 36, "x" * 6)]
    found = found_of(_hit(TRAM, start, end), evidence)
    assert found.pieces == pieces
    assert found.text == TRAM.text[start:end]
    assert found_of(_hit(TRAM, start, end), [replace(piece, uri=BUS.uri) for piece in evidence]).pieces == ()


@pytest.mark.parametrize(
    ("quote", "pieces"),
    [
        (COST, (0,)),
        ("40 pounds a month", (0,)),  # a part of it
        (TRAM.text, (0,)),  # and all around it
        ("40 pounds a month. Nobody pays", (0,)),  # 18 of the evidence's 27
        ("pounds a month", (0,)),  # 14 of 27
        ("pounds a mont", ()),  # 13 of 27
        ("unds a month. Nobody pays ", ()),
        ("The tram opens in May.", ()),
    ],
)
def test_a_citation_is_evidence_if_it_has_half_of_it(quote: str, pieces: tuple[int, ...]) -> None:
    cited = cited_of(_citation(TRAM, quote), TRAM, _pieces(GOLD), GOLD)
    assert cited.pieces == pieces
    assert cited.is_right == bool(pieces)
    assert cited.is_verbatim


def test_a_citation_is_right_that_quotes_a_right_answer_in_an_article_of_the_evidence_and_there_alone() -> None:
    elsewhere = cited_of(_citation(TRAM, "Nobody pays 40 pounds twice."), TRAM, _pieces(GOLD), GOLD)
    assert (elsewhere.is_right, elsewhere.pieces) == (True, ())
    assert not cited_of(_citation(BUS, PASS), BUS, _pieces(GOLD), GOLD).is_right
    alone = cited_of(_citation(TRAM, "40 pounds"), TRAM, _pieces(GOLD), GOLD)
    assert (alone.is_right, alone.pieces) == (True, ()), "too little to be the evidence, but the answer itself"
    asked = replace(GOLD, kind="yes-no", answers=("no", "nobody"))
    assert not cited_of(_citation(TRAM, "Nobody pays 40 pounds twice."), TRAM, _pieces(asked), asked).is_right


def test_a_citation_is_verbatim_only_at_its_own_offsets_in_the_article_of_its_address() -> None:
    good = _citation(TRAM, COST)
    moved = [replace(good, start=good.start + 1), replace(good, end=good.end + 1), replace(good, quote=COST.upper())]
    from_the_end = replace(good, start=good.start - len(TRAM.text), end=good.end - len(TRAM.text))
    assert TRAM.text[from_the_end.start : from_the_end.end] == COST, "Python slices so, offsets are not meant so"
    elsewhere = replace(good, uri=BUS.uri)
    assert cited_of(good, TRAM, _pieces(GOLD), GOLD).is_verbatim
    for bad in (*moved, from_the_end, elsewhere):
        assert not cited_of(bad, TRAM, _pieces(GOLD), GOLD).is_verbatim
    assert not cited_of(good, None, _pieces(GOLD), GOLD).is_verbatim


def test_nothing_is_right_about_what_no_article_answers() -> None:
    gold = replace(GOLD, kind="unanswerable", answers=(), evidence=())
    assert not cited_of(_citation(TRAM, COST), TRAM, (), gold).is_right


@pytest.mark.parametrize(("shift_start", "shift_end"), [(-1, 0), (1, 0), (0, -1), (0, 1), (1, 1), (-1, -1)])
def test_a_quote_is_verbatim_only_at_its_own_characters(shift_start: int, shift_end: int) -> None:
    citation = _citation(TRAM, COST)
    shifted = replace(citation, start=citation.start + shift_start, end=citation.end + shift_end)
    assert cited_of(citation, TRAM, _pieces(GOLD), GOLD).is_verbatim
    assert not cited_of(shifted, TRAM, _pieces(GOLD), GOLD).is_verbatim


def test_a_quote_is_not_verbatim_that_is_changed_empty_or_of_no_article() -> None:
    citation = _citation(TRAM, COST)
    for changed, article in (
        (replace(citation, quote=COST.replace("40", "41")), TRAM),
        (citation, BUS),
        (citation, None),
    ):
        assert not cited_of(changed, article, _pieces(GOLD), GOLD).is_verbatim
    empty = cited_of(replace(citation, end=citation.start, quote=""), TRAM, _pieces(GOLD), GOLD)
    assert (empty.is_verbatim, empty.is_right, empty.pieces) == (False, False, ())


# What was found


def _found(*pieces: int) -> Found:
    return Found("https://ex.org/x", "X", 0, 9, "en", 0.5, "some text", pieces)


def _evidence(count: int) -> tuple[Piece, ...]:
    return tuple(Piece(f"https://ex.org/{n}", "en", 0, 9, "some text") for n in range(count))


def _cited(uri: str = "https://ex.org/0", *pieces: int, quote: str = "some text", is_right: bool = True) -> Cited:
    return Cited(uri, "X", 0, len(quote), quote, quote, True, is_right, pieces)


RECORD = Record(
    id="q",
    question="What does it cost?",
    language="en",
    kind="fact",
    history=(),
    answers=("40 pounds", "forty"),
    evidence=_evidence(1),
    needs=((0,),),
    standalone="What does it cost?",
    status="answered",
    confidence=0.9,
    answerer="reader",
    text="40 pounds [1]",
    short="40 pounds",
    found=(_found(0),),
    cited=(_cited("https://ex.org/0", 0),),
    first=_cited("https://ex.org/0", 0),
    timings={"total_ms": 9.0},
)
ONE, EITHER, BOTH = ((0,),), ((0, 1),), ((0,), (1,))


@pytest.mark.parametrize(
    ("needs", "covered", "recall", "mrr", "ndcg"),
    [
        pytest.param(ONE, [[0]], (1, 1, 1, 1), 1, 1, id="first"),
        pytest.param(ONE, [[], [], [0]], (0, 1, 1, 1), 1 / 3, 1 / 2, id="third"),
        pytest.param(ONE, [[]] * 4 + [[0]], (0, 0, 1, 1), 1 / 5, 1 / math.log2(6), id="fifth"),
        pytest.param(ONE, [[]] * 9 + [[0]], (0, 0, 0, 1), 1 / 10, 1 / math.log2(11), id="tenth"),
        pytest.param(ONE, [[]] * 10 + [[0]], (0, 0, 0, 0), 0, 0, id="eleventh"),
        pytest.param(ONE, [[0], [0], [0]], (1, 1, 1, 1), 1, 1, id="covered three times"),
        pytest.param(EITHER, [[], [1], [0]], (0, 1, 1, 1), 1 / 2, 1 / LOG3, id="either of two, both found"),
        pytest.param(EITHER, [[0, 1]], (1, 1, 1, 1), 1, 1, id="either of two, in one passage"),
        pytest.param(BOTH, [[1], [], [0]], (0.5, 1, 1, 1), 1, 1.5 / (1 + 1 / LOG3), id="both of two"),
        pytest.param(BOTH, [[1], [1], [1]], (0.5,) * 4, 1, 1 / (1 + 1 / LOG3), id="one of two, again and again"),
        pytest.param(BOTH, [[0, 1]], (1, 1, 1, 1), 1, 1, id="both in one passage"),
        pytest.param(BOTH, [[], [0, 1]], (0, 1, 1, 1), 1 / 2, (1 / LOG3 + 1 / 2) / (1 + 1 / LOG3), id="both second"),
        pytest.param(
            BOTH, [[]] * 2 + [[0]] * 2 + [[0, 1]], (0, 0.5, 1, 1), 1 / 3, None, id="the second with the first"
        ),
        pytest.param(BOTH, [[], []], (0, 0, 0, 0), 0, 0, id="neither"),
        pytest.param(ONE, [], (0, 0, 0, 0), 0, 0, id="nothing found"),
    ],
)
def test_recall_mrr_and_ndcg_are_of_needs(
    needs: tuple[tuple[int, ...], ...],
    covered: list[list[int]],
    recall: tuple[float, ...],
    mrr: float,
    ndcg: float | None,
) -> None:
    found = tuple(_found(*pieces) for pieces in covered)
    scores = retrieval_scores(replace(RECORD, evidence=_evidence(2), needs=needs, found=found))
    assert [scores[f"recall@{k}"] for k in (1, 3, 5, 10)] == pytest.approx(list(recall))
    assert scores["mrr@10"] == pytest.approx(mrr)
    if ndcg is None:  # ranks 3 and 5 of at best 1 and 2
        ndcg = (1 / 2 + 1 / math.log2(6)) / (1 + 1 / LOG3)
    assert scores["ndcg@10"] == pytest.approx(ndcg)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=3, unique=True), max_size=12), st.booleans())
def test_whatever_is_found_recall_is_the_share_of_needs_that_the_first_passages_meet(
    covered: list[list[int]], is_all_needed: bool
) -> None:
    needs = tuple((n,) for n in range(4)) if is_all_needed else ((0, 1, 2, 3),)
    found = tuple(_found(*pieces) for pieces in covered)
    scores = retrieval_scores(replace(RECORD, evidence=_evidence(4), needs=needs, found=found))
    for k in (1, 3, 5, 10):
        seen = {piece for pieces in covered[:k] for piece in pieces}
        assert scores[f"recall@{k}"] == (len(seen) / 4 if is_all_needed else bool(seen))
    first = next((rank for rank, pieces in enumerate(covered[:10], 1) if pieces), math.inf)
    assert scores["mrr@10"] == pytest.approx(1 / first)
    assert 0 <= scores["ndcg@10"] <= 1 + 1e-9
    assert bool(scores["ndcg@10"]) == bool(scores["recall@10"])


# What was answered


@pytest.mark.parametrize(
    ("text", "quotes", "contained"),
    [
        pytest.param("40 pounds [1]", [], 1, id="in the text"),
        pytest.param("40 [1] pounds [2].", [], 1, id="around a marker"),
        pytest.param("Forty [1]", [], 1, id="another form"),
        pytest.param("May [1]", ["It costs 40 pounds."], 1, id="in a quote"),
        pytest.param("May [1] [2]", ["It opens.", "It costs 40 pounds."], 1, id="in the second quote"),
        pytest.param("May [1]", ["It opens in May."], 0, id="nowhere"),
        pytest.param("It has 40 [1]", ["Pounds are taken."], 0, id="half in the text, half in the quote"),
        pytest.param("140 pounds [1]", [], 0, id="in another number"),
        pytest.param("£ [40] pounds", [], 0, id="in a marker"),
    ],
)
def test_an_answer_is_contained_in_the_text_or_in_a_quote(text: str, quotes: list[str], contained: float) -> None:
    cited = tuple(_cited(quote=quote, is_right=False) for quote in quotes)
    scores = score(replace(RECORD, text=text, cited=cited))
    assert scores["containment"] == scores["right"] == contained


def test_numbers_that_end_the_text_and_begin_a_quote_stay_two() -> None:
    record = replace(RECORD, answers=("40",), text="40", cited=(_cited(quote="500 trams"),))
    assert score(record)["containment"] == 1


def test_yes_and_no_are_told_by_the_evidence_where_sentences_are_quoted() -> None:
    asked = replace(RECORD, kind="yes-no", answers=("no",), text="the tram [1]")
    assert score(asked)["containment"] == 1
    assert score(replace(asked, cited=(_cited("https://ex.org/0", quote="no"),)))["containment"] == 0
    assert score(replace(asked, cited=()))["containment"] == 0


@pytest.mark.parametrize(
    ("text", "contained"), [("No, they pay nothing. [1]", 1), ("Yes. [1]", 0), ("Nobody does. [1]", 0)]
)
def test_yes_and_no_are_told_by_the_words_of_a_chat_model_alone(text: str, contained: float) -> None:
    cited = (_cited("https://ex.org/0", 0, quote="There is no fee."),)
    record = replace(RECORD, kind="yes-no", answers=("no",), answerer="openai:m", text=text, cited=cited)
    assert score(record)["containment"] == contained


@pytest.mark.parametrize("status", ["abstained", "failed"])
def test_what_was_not_answered_is_wrong_whatever_it_says(status: str) -> None:
    record = replace(RECORD, status=status, text="The articles do not say: 40 pounds", short="", cited=())
    scores = score(record)
    assert [scores[name] for name in ("answered", "containment", "exact_match", "f1", "right")] == [0] * 5
    assert scores["recall@1"] == 1  # it was found all the same
    assert "citation_precision" not in scores


@pytest.mark.parametrize(("status", "right"), [("abstained", 1), ("answered", 0), ("partial", 0), ("failed", 0)])
def test_of_what_no_article_answers_only_a_refusal_is_right(status: str, right: float) -> None:
    record = replace(RECORD, kind="unanswerable", answers=(), evidence=(), needs=(), status=status, cited=())
    assert score(record) == {"right": right}
    assert score(replace(record, cited=(_cited(is_right=False),))) == {"right": right, "verbatim": 1}


def test_an_answer_that_is_not_sure_counts_as_one() -> None:
    assert score(replace(RECORD, status="partial")) == score(RECORD)


def test_f1_is_of_the_first_answer_and_of_lemmas_in_russian_alone() -> None:
    english = score(replace(RECORD, short="about 40 pounds"))
    assert (english["exact_match"], english["f1"]) == pytest.approx((0, 2 * 2 / (3 + 2)))
    assert "lemma_f1" not in english
    russian = score(replace(RECORD, language="ru", answers=("Челябинск",), short="в Челябинске"))
    assert (russian["f1"], russian["lemma_f1"]) == pytest.approx((0, 2 * 1 / (2 + 1)))


# Citations


@pytest.mark.parametrize(
    ("needs", "cited", "precision", "recall"),
    [
        pytest.param(EITHER, [_cited("https://ex.org/1", 1)], 1, 1, id="the second of alternatives"),
        pytest.param(EITHER, [_cited("https://ex.org/1")], 1, 1, id="the answer elsewhere in the second's article"),
        pytest.param(
            EITHER, [_cited(), _cited("u", is_right=False), _cited("v", is_right=False)], 1 / 3, 1, id="three"
        ),
        pytest.param(EITHER, [_cited("u", is_right=False)], 0, 0, id="wrong"),
        pytest.param(BOTH, [_cited("https://ex.org/1", 1)], 1, 0.5, id="one of both"),
        pytest.param(BOTH, [_cited("https://ex.org/0", 0), _cited("https://ex.org/1")], 1, 1, id="both"),
        pytest.param(BOTH, [_cited("https://ex.org/0", 0, 1)], 1, 1, id="both in one quote"),
        pytest.param(BOTH, [_cited("https://ex.org/0", 0)] * 3, 1, 0.5, id="one three times"),
        pytest.param(BOTH, [_cited("https://ex.org/1", 0)], 1, 0.5, id="evidence meets its own need alone"),
    ],
)
def test_precision_is_of_citations_and_recall_of_needs(
    needs: tuple[tuple[int, ...], ...], cited: Sequence[Cited], precision: float, recall: float
) -> None:
    record = replace(RECORD, evidence=_evidence(2), needs=needs, cited=tuple(cited))
    assert citation_scores(record) == {
        "citation_precision": pytest.approx(precision),
        "citation_recall": pytest.approx(recall),
        "verbatim": 1,
    }


def test_verbatim_is_the_share_of_quotes_that_stand_where_they_say() -> None:
    changed = replace(_cited(), is_verbatim=False)
    assert citation_scores(replace(RECORD, cited=(_cited(), changed, changed, _cited())))["verbatim"] == 0.5
    assert citation_scores(replace(RECORD, cited=())) == {}
    assert citation_scores(replace(RECORD, status="abstained")) == {"verbatim": 1}


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 200 and 1,200 and 1.200", ["1200", "and", "1200", "and", "1200"]),
        ("1\u2009200\u2009000, 1\u202f200", ["1200000", "1200"]),
        ("1,234.5 or 1.234,5 or 1 234,5", ["1234.5", "or", "1234.5", "or", "1234.5"]),
        ("0.125 = 0,125", ["0.125", "0.125"]),
        ("in 2024 100 people", ["in", "2024", "100", "people"]),
        ("2024, 100", ["2024", "100"]),
        ("12.5%, 12,50", ["12.5", "12.50"]),
        ("1.2.3", ["123"]),
        ("5.2024", ["5.2024"]),
        ("40.", ["40"]),
    ],
)
def test_a_number_is_one_word_however_it_is_written(text: str, words: list[str]) -> None:
    assert normalise(text, "de") == words


@given(st.integers(1, 10**9), st.sampled_from([",", ".", " ", "\u00a0", "\u202f"]))
def test_thousands_are_read_with_any_separator(number: int, separator: str) -> None:
    written = f"{number:,}".replace(",", separator)
    assert normalise(f"Es sind {written} Euro.", "de") == ["es", "sind", str(number), "euro"]


@given(st.integers(0, 10**6), st.integers(0, 99))
def test_a_decimal_comma_is_a_decimal_point(whole: int, part: int) -> None:
    written = f"{whole}.{part:02}"
    assert normalise(f"ca. {written.replace('.', ',')} km", "de") == normalise(f"ca. {written} km", "de")
    assert written in normalise(f"ca. {written} km", "de")


@pytest.mark.parametrize(
    ("answer", "right", "language", "exact", "f1"),
    [
        ("The 40 Pounds!", "40 pounds", "en", 1, 1),
        ("a month", "the month", "en", 1, 1),
        ("im Mai 2026", "Mai 2026", "de", 0, 2 * 2 / (3 + 2)),
        ("die Straßenbahn", "Straßenbahn", "de", 0, 2 * 1 / (2 + 1)),
        ("¡45 000 euros!", "45.000 euros", "es", 1, 1),
        ("8,3 млрд рублей", "8.3 млрд", "ru", 0, 2 * 2 / (3 + 2)),
        ("2026年8月", "2026年", "zh", 0, 2 * 2 / (4 + 2)),
        ("《黑豹》队", "黑豹队", "zh", 1, 1),
        ("40", "forty", "en", 0, 0),
        ("", "40", "en", 0, 0),
    ],
)
def test_exact_match_and_f1_in_each_language(answer: str, right: str, language: str, exact: float, f1: float) -> None:
    assert exact_match(answer, [right], language) == exact
    assert token_f1(answer, [right], language) == token_f1(right, [answer], language) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "right", "f1"),
    [
        ("в Челябинске", ["Челябинск"], 2 / 3),
        ("трёхсекционных вагонов", ["трехсекционный вагон"], 1),
        ("18 вагонов", ["пять трамваев", "18 вагонами"], 1),
        ("депо № 3", ["в депо № 3"], 2 * 3 / (3 + 4)),
        ("Kama-3", ["Кама-3"], 0),
        ("Siemens", ["siemens"], 1),
        ("", ["вагон"], 0),
        ("вагон", [], 0),
    ],
)
def test_russian_words_are_compared_by_their_dictionary_forms(answer: str, right: list[str], f1: float) -> None:
    assert lemma_f1(answer, right, "ru") == pytest.approx(f1)


@pytest.mark.parametrize(
    ("text", "part", "language", "is_there"),
    [
        ("It costs 40 € a month.", "40 € a month", "en", True),
        ("It costs 40 pounds, a month", "40 Pounds month", "en", True),  # without articles
        ("It costs 40 or more pounds", "40 pounds", "en", False),
        ("It costs 140", "40", "en", False),
        ("It costs 1,400", "400", "en", False),
        ("Es kostet 1.400 Euro", "1400 euro", "de", True),
        ("длина 12,1 км", "12.1 км", "ru", True),
        ("длина 12,1 км", "12", "ru", False),
        ("卡罗莱纳黑豹队", "黑豹", "zh", True),
        ("8月13日", "3日", "zh", False),
        ("anything", "—", "en", False),
        ("", "", "en", False),
    ],
)
def test_an_answer_is_contained_word_by_word(text: str, part: str, language: str, is_there: bool) -> None:
    assert contains(text, part, language) == is_there


@given(st.text(), st.text(), st.text(), st.sampled_from(["en", "ru", "zh"]))
def test_what_stands_between_two_lines_is_contained(before: str, part: str, after: str, language: str) -> None:
    assert contains(f"{before}\n{part}\n{after}", part, language) == bool(normalise(part, language))


# Intervals


def _ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio:
    return Ratio(np.array(numerator, float), np.array(denominator, float))


def test_a_ratio_is_one_sum_by_another_in_each_draw() -> None:
    ratio = _ratio([1, 0, 2], [1, 1, 4])
    assert (ratio.value, ratio.count) == (0.5, 3)
    drawn = ratio.resampled(np.array([[1.0, 1, 1], [3, 0, 0], [0, 2, 1], [0, 0, 0]]))
    assert drawn[:3].tolist() == [0.5, 1, 2 / 6]
    assert math.isnan(drawn[3])


def test_a_ratio_without_cases_is_nan_and_so_is_its_interval() -> None:
    found = _ratio([0, 0], [0, 0]).estimate(resample_weights([1, 2]))
    assert found.count == 0
    assert all(map(math.isnan, (found.value, found.low, found.high)))


def test_draws_without_a_case_do_not_count() -> None:
    found = _ratio([1, 0, 0], [1, 0, 0]).estimate(resample_weights("abc"))
    assert (found.value, found.low, found.high, found.count) == (1, 1, 1, 1)


def test_whole_clusters_are_drawn_and_always_as_many() -> None:
    clusters = ["b", "a", "b", "c", "a", "b"]
    weights = resample_weights(clusters)
    assert weights.shape == (1000, 6)
    by_cluster = {name: weights[:, [i for i, c in enumerate(clusters) if c == name]] for name in "abc"}
    for columns in by_cluster.values():
        assert (columns == columns[:, :1]).all()
        assert columns[:, 0].mean() == pytest.approx(1, abs=0.1)
    drawn = np.sum([columns[:, 0] for columns in by_cluster.values()], axis=0)
    assert np.array_equal(drawn, np.full(1000, 3))


def test_draws_are_the_same_each_time() -> None:
    assert np.array_equal(resample_weights(range(50)), resample_weights([f"article {n}" for n in range(50)]))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=30))
def test_the_mean_has_the_same_interval_as_a_ratio_and_as_a_statistic(cases: list[tuple[float, int]]) -> None:
    values, clusters = [value for value, _ in cases], [cluster for _, cluster in cases]
    one, other = (
        _ratio(values, np.ones(len(values)).tolist()).estimate(resample_weights(clusters)),
        estimate(mean_of(values), clusters),
    )
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
    assert one.count == other.count


def test_the_interval_of_a_mean_is_the_one_that_theory_gives() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 500)
    found = _ratio(values.tolist(), [1] * 500).estimate(resample_weights(range(500)))
    half = 1.96 * values.std() / math.sqrt(500)
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_ten_questions_about_each_article_weigh_no_more_than_one() -> None:
    values = [float(n % 2) for n in range(40)]
    alone = _ratio(values, [1] * 40).estimate(resample_weights(range(40)))
    tenfold = [value for value in values for _ in range(10)]
    clustered = _ratio(tenfold, [1] * 400).estimate(resample_weights([n // 10 for n in range(400)]))
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_a_ratio_differs_from_itself_by_nothing(cases: list[tuple[float, float]]) -> None:
    ratio = _ratio([n for n, _ in cases], [d for _, d in cases])
    found = ratio.difference(ratio, resample_weights(range(len(cases))))
    if ratio.count:
        assert (found.value, found.low, found.high) == (0, 0, 0)
    else:
        assert math.isnan(found.value)


def test_a_difference_is_paired() -> None:
    values = np.random.default_rng(2).normal(0.5, 0.2, 200)
    weights = resample_weights(range(200))
    before, after = (_ratio(each.tolist(), [1] * 200) for each in (values, values + 0.01))
    found = after.difference(before, weights)
    assert (found.value, found.low, found.high) == pytest.approx((0.01, 0.01, 0.01))
    interval = after.estimate(weights)
    assert interval.high - interval.low > 0.03  # which alone would hide it
