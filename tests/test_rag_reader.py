import hashlib
import json
import math
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SUBPROCESS, Floats, ScriptedPairs, make_article
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from index import e5
from index.errors import ModelUnavailable
from index.types import Passage
from rag.reader import weights as reader_weights
from rag.reader.agreement import agree
from rag.reader.calibration import evidence, logit, probability
from rag.reader.multilingual_reader import MultilingualReader, widened
from rag.reader.pair_reader import MOST_QUESTION, MOST_TITLE, WINDOW, OnnxPairReader, TorchPairReader, Window, windows
from rag.reader.weights import ReaderWeights, expected_sha256, facts_of, save_weights, verify_file
from rag.types import Citation, Draft, Hit, Question, Reading
from rag.verify import is_verbatim

LIBRARY = (
    "The town of Elverum opened a new library on Friday. Architect Jonas Brekke designed the building. "
    "It cost 48 million kroner, twice the first estimate. Children may borrow musical instruments there."
)
BRIDGE = (
    "Новый мост через реку Томь открыли 31 мая. Строительство обошлось в 12 миллиардов рублей. "
    "Ленточку перерезал губернатор Сергей Жвачкин."
)
LASAGNE = "Spinach lasagne needs an hour in the oven. Let it rest for ten minutes before you cut it."
LONGEST_QUOTE = 600
QUESTION = Question("How much did the library cost?", "en", np.zeros(4, np.float32))


def _hit(
    text: str,
    answer: str = "",
    relevance: float | None = None,
    uri: str = "a:1",
    published: str | None = None,
    title: str = "Minutes",
    before: str = "",
    language: str = "en",
    rank: int = 1,
) -> Hit:
    """Make a hit on ``text``, which follows ``before`` in its article; it was read if a relevance is given."""
    article = make_article(uri, f"{before}{text} It ends here.", title, published=published)
    passage = Passage(rank, article.id, 0, len(before), len(before) + len(text), language)
    start = text.index(answer)
    reading = None if relevance is None else Reading(0.0, 0.0, start, start + len(answer))
    return Hit(passage, article, 0.9, rank, 0.88, 0.5, reading, relevance)


def _read(*hits: Hit, min_confidence: float = 0.2) -> Draft:
    return MultilingualReader(ScriptedPairs({}), min_confidence).read(QUESTION, list(hits))


def _lines(draft: Draft) -> list[str]:
    return [sentence.marked for sentence in draft.sentences]


def _cited(text: str, answer: str, before: str = "", language: str = "en") -> Citation:
    (citation,) = _read(_hit(text, answer, 0.9, before=before, language=language)).citations
    return citation


# Do two answers say the same?

SAME = [
    ("Жвачкина", "Zhvachkin"),
    ("Сергей Жвачкин", "Governor Sergei Zhvachkin"),
    ("Ижевске", "Izhevsk"),
    ("北京", "Beijing"),
    ("31 мая", "May 31"),
    ("31 мая", "31 мая 2024 года"),
    ("May 31, 2024", "31 мая 2024"),
    ("48 million kroner", "48 million"),
    ("8,3 млрд рублей", "8.3 billion roubles"),
    ("11,500 street lights", "11 500 фонарей"),
    ("the library", "The Library"),
]
DIFFERENT = [
    ("48 million", "52 million"),
    ("8,3 млрд", "8,3 млн"),
    ("31 мая", "31 июня"),
    ("31 мая", "May 30"),
    ("Monday", "Tuesday"),
    ("Сергей Жвачкин", "Jonas Brekke"),
    ("48 million kroner", "Jonas Brekke"),
    ("line 5", "the line"),
    ("", "Jonas Brekke"),
    ("", ""),
    ("…", "…"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_answers_that_say_the_same_agree_across_scripts_and_lengths(a: str, b: str) -> None:
    assert agree(a, b) and agree(b, a)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_answers_that_differ_do_not_agree(a: str, b: str) -> None:
    assert not agree(a, b) and not agree(b, a)


def test_a_day_and_a_year_without_a_comma_are_two_numbers() -> None:
    assert agree("May 5 2024", "5 мая 2024")


@given(st.text(max_size=40))
def test_an_answer_agrees_with_itself_if_it_has_a_word_or_a_number(text: str) -> None:
    assert agree(text, text) or not any(c.isascii() and c.isalnum() for c in text)


# From the model's span to the words shown


@pytest.mark.parametrize(
    ("text", "found", "shown"),
    [
        ("The town of Elverum opened", "verum op", "Elverum opened"),
        ("it cost 48 million kroner", "8 mill", "48 million"),
        ("by Jonas Brekke, the architect.", " Jonas Brekke, ", "Jonas Brekke"),
        ("the architect (Jonas Brekke) said", "(Jonas Brekke)", "(Jonas Brekke)"),
        ("the architect (Jonas Brekke) said", "Jonas Brekke) ", "Jonas Brekke"),
        ("the architect (Jonas Brekke) said", "(Jonas Brekke", "Jonas Brekke"),
        ("the firm Acme (Tomsk) won", "Acme (Tomsk", "Acme (Tomsk)"),
        ("платформа «Умный город» работает", "«Умный город»", "«Умный город»"),
        ("платформа «Умный город» работает", "Умный город»", "Умный город"),
        ("платформа «Умный город» работает", "мный гор", "Умный город"),
        ('the film "Kill Bill" won', '"Kill Bill" ', '"Kill Bill"'),
        ('the film "Kill Bill" won', 'Kill Bill"', "Kill Bill"),
        ("it cost $48 million.", "$48 million.", "$48 million"),
        ("up 5 % on last year", "5 %", "5 %"),
        ("北京是中国的首都。", "北京", "北京"),
        ("北京是中国的首都。", "首都。", "首都"),
        ("会议在「人民大会堂」举行。", "「人民大会堂」", "「人民大会堂」"),
    ],
)
def test_an_answer_is_whole_words_without_loose_punctuation(text: str, found: str, shown: str) -> None:
    assert _widened(text, found) == shown


@pytest.mark.parametrize(
    ("text", "found"),
    [("全长18.6公里，共有八站。", "18.6"), ("线路将于2024年9月通车。", "2024"), ("他买了iPhone手机。", "iPhone")],
)
def test_a_number_or_a_foreign_word_in_a_script_without_spaces_is_not_widened(text: str, found: str) -> None:
    assert _widened(text, found) == found


@pytest.mark.parametrize(
    ("text", "found", "shown"), [("वह हिन्दी में है", "हिन्द", "हिन्दी"), ("the cafe\u0301 there", "caf", "cafe\u0301")]
)
def test_marks_over_and_after_letters_belong_to_the_word(text: str, found: str, shown: str) -> None:
    assert _widened(text, found) == shown


def test_a_number_keeps_its_minus_sign() -> None:
    assert _widened("It fell to -14 degrees.", "-14 degrees") == "-14 degrees"


def test_a_span_of_punctuation_alone_gives_nothing() -> None:
    assert _widened("so … it goes", " … ") == ""
    assert _read(_hit("so … it goes", "…", 0.9)) == Draft((), 0.9)


@pytest.mark.parametrize(("text", "at"), [("", 0), ("word", 0), ("word", 4), ("a b", 1), ("two words", 6)])
def test_an_empty_span_is_no_error(text: str, at: int) -> None:
    start, end = widened(text, Reading(0.0, 0.0, at, at))
    assert 0 <= start <= end <= len(text)


def _widened(text: str, found: str) -> str:
    start = text.index(found)
    start, end = widened(text, Reading(0.0, 0.0, start, start + len(found)))
    return text[start:end]


# The quote


@pytest.mark.parametrize(
    ("text", "answer", "quote"),
    [
        (LIBRARY, "48 million kroner", "It cost 48 million kroner, twice the first estimate."),
        (BRIDGE, "12 миллиардов", "Строительство обошлось в 12 миллиардов рублей."),
        (LIBRARY, "building. It cost", LIBRARY[LIBRARY.index("Architect") : LIBRARY.index(" Children")]),
        ("Opened on Friday\nIt cost 48 million", "48 million", "It cost 48 million"),
        ("北京是中国的首都。人口两千万。", "两千万", "人口两千万。"),
    ],
)
def test_the_quote_is_the_whole_sentence_or_sentences_of_the_answer(text: str, answer: str, quote: str) -> None:
    citation = _cited(text, answer)
    assert citation.quote == quote and citation.answer == answer


def test_offsets_are_those_of_the_article_not_of_the_passage() -> None:
    citation = _cited(LIBRARY, "48 million kroner", before="😀 Elverum, a town of 21,000. ", language="no")
    text = _hit(LIBRARY, before="😀 Elverum, a town of 21,000. ").article.text
    assert (
        text[citation.start : citation.end] == citation.quote == "It cost 48 million kroner, twice the first estimate."
    )
    assert text[citation.answer_start : citation.answer_end] == citation.answer == "48 million kroner"
    assert citation.language == "no"


@pytest.mark.parametrize("at", [0, 5, 150, 290, 299])
def test_of_a_very_long_sentence_what_stands_about_the_answer_is_quoted(at: int) -> None:
    words = [f"word{n}" for n in range(300)]
    text = " ".join([*words[:at], "48 million kroner", *words[at:]])
    citation = _cited(text, "48 million kroner")
    assert LONGEST_QUOTE / 3 < len(citation.quote) <= LONGEST_QUOTE and citation.answer == "48 million kroner"
    assert set(citation.quote.replace("48 million kroner", "").rstrip(".").split()) <= set(words)


def test_a_very_long_sentence_without_spaces_is_cut_as_well() -> None:
    citation = _cited("人" * 900 + "两千万" + "口" * 900, "两千万", language="zh")
    assert len(citation.quote) <= LONGEST_QUOTE and citation.answer == "两千万"


_CHARACTERS = st.one_of(
    st.sampled_from("abc АБв. !?\n«»()\"'-05 你好。，ि\u0301é😀\u2028"), st.characters(exclude_categories=["Cs"])
)


@given(st.text(_CHARACTERS, max_size=80), st.text(_CHARACTERS, min_size=1, max_size=160), st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_the_model_finds_the_quote_is_verbatim_and_holds_the_answer(
    before: str, text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    article = make_article("a:1", f"{before}{text} and on", "Minutes")
    passage = Passage(1, article.id, 0, len(before), len(before) + len(text), "en")
    hit = Hit(passage, article, 0.9, 1, 0.88, 0.5, Reading(0.0, 0.0, start, end), 0.9)
    draft = _read(hit)
    assert all(is_verbatim(citation, [hit]) for citation in draft.citations)
    for citation in draft.citations:
        assert (
            passage.start
            <= citation.start
            <= citation.answer_start
            < citation.answer_end
            <= citation.end
            <= passage.end
        )
        assert article.text[citation.start : citation.end] == citation.quote
        assert citation.answer == article.text[citation.answer_start : citation.answer_end]
        assert _lines(draft) == [f"{citation.answer} [1]"]
    assert draft.citations or not any(map(str.isalnum, text[start:end]))


# What is quoted, and how it is put together


def test_agreeing_answers_share_a_line_and_differing_ones_have_their_own_with_dates() -> None:
    draft = _read(
        _hit("It cost 48 million kroner.", "48 million kroner", 0.9, "a:1", "2024-03"),
        _hit("It cost 52 million kroner.", "52 million kroner", 0.8, "a:2"),
        _hit("The bill was 48 million.", "48 million", 0.7, "a:3", "2024-01-02"),
    )
    assert _lines(draft) == ["48 million kroner (2024-01-02, 2024-03) [1] [2]", "52 million kroner [3]"]
    assert [(c.marker, c.answer) for c in draft.citations] == [
        (1, "48 million kroner"),
        (2, "48 million"),
        (3, "52 million kroner"),
    ]
    assert [c.published for c in draft.citations] == ["2024-03", "2024-01-02", None] and draft.confidence == 0.9


def test_the_newer_figure_comes_first_however_likely_the_older_one_is() -> None:
    draft = _read(
        _hit("It cost 48 million kroner.", "48 million kroner", 0.9, "a:1", "2024-03"),
        _hit("It cost 52 million kroner.", "52 million kroner", 0.8, "a:2", "2025-01-02"),
    )
    assert _lines(draft) == ["52 million kroner (2025-01-02) [1]", "48 million kroner (2024-03) [2]"]


def test_dates_stand_only_where_articles_differ() -> None:
    draft = _read(
        _hit("It cost 48 million kroner.", "48 million kroner", 0.9, "a:1", "2024-03"),
        _hit("Мост обошелся в 48 миллионов крон.", "48 миллионов", 0.8, "a:2", "2025-01-02", language="ru"),
    )
    assert _lines(draft) == ["48 million kroner [1] [2]"]
    assert [c.language for c in draft.citations] == ["en", "ru"]


def test_an_article_is_cited_once_by_its_likeliest_passage() -> None:
    article = make_article("a:1", "It cost 48 million kroner. Others say 52 million.", "Minutes")
    parts = [("48 million kroner", 0, 26, 0.9), ("52 million", 27, 49, 0.8)]
    hits = []
    for rank, (answer, low, high, relevance) in enumerate(parts, 1):
        start = article.text.index(answer) - low
        reading = Reading(0.0, 0.0, start, start + len(answer))
        hits.append(
            Hit(Passage(rank, article.id, rank, low, high, "en"), article, 0.9, rank, 0.9, 0.5, reading, relevance)
        )
    assert [c.answer for c in _read(*hits).citations] == ["48 million kroner"]


def test_at_most_three_articles_are_cited() -> None:
    hits = [_hit("It cost 48 million kroner.", "48 million", 0.9 - n / 100, f"a:{n}") for n in range(5)]
    draft = _read(*hits)
    assert _lines(draft) == ["48 million [1] [2] [3]"]
    assert [c.article_id for c in draft.citations] == [hit.article.id for hit in hits[:3]]


def test_nothing_below_the_least_confidence_is_cited() -> None:
    low = _hit("It cost 48 million kroner.", "48 million", 0.19)
    assert _read(low) == Draft((), 0.19)
    assert len(_read(low, min_confidence=0.19).citations) == 1
    beside = _hit("The bill was 48 million.", "48 million", 0.5, "a:2")
    best = _hit("It cost 48 million kroner.", "48 million", 0.9)
    assert len(_read(best, beside).citations) == 2 and len(_read(best, beside, min_confidence=0.6).citations) == 1


def test_what_is_far_less_likely_than_the_best_is_not_quoted_beside_it() -> None:
    best = _hit("It cost 48 million kroner.", "48 million", 0.95)
    assert len(_read(best, _hit("The bill was 52 million.", "52 million", 0.3, "a:2")).citations) == 1


def test_nothing_read_gives_nothing_quoted() -> None:
    assert _read() == Draft((), 0.0)
    assert _read(_hit(LIBRARY, "48 million"), min_confidence=0.0) == Draft((), 0.0)


# Reranking


def test_hits_are_put_in_the_order_of_how_likely_they_answer() -> None:
    pairs = ScriptedPairs({"copper": 1.0, "gold": 3.0, "silver": 2.0})
    hits = [
        _hit(f"It is {metal}.", uri=f"a:{metal}", rank=n)
        for n, metal in enumerate(("tin", "copper", "gold", "silver"), 1)
    ]
    ranked = MultilingualReader(pairs, 0.2).rerank(QUESTION, hits)
    assert [hit.article.uri for hit in ranked] == ["a:gold", "a:silver", "a:copper", "a:tin"]
    assert [hit.rank for hit in ranked] == [1, 2, 3, 4]
    likely = [hit.relevance for hit in ranked if hit.relevance is not None]
    assert len(likely) == 4 and all(1 >= a > b >= 0 for a, b in pairwise(likely))
    for hit in ranked:
        assert hit.reading is not None and (hit.score, hit.dense, hit.coverage) == (0.9, 0.88, 0.5)
        assert hit.relevance == probability(evidence(hit.reading, hit.score, hit.passage.language != QUESTION.language))
    best = ranked[0].reading
    assert best is not None and ranked[0].text[best.start : best.end] == "gold"


def _crowd(size: int, answering: int | None) -> list[Hit]:
    return [
        _hit(f"The answer is {'gold' if n == answering else 'unknown'}, note {n}.", uri=f"a:{n}", rank=n + 1)
        for n in range(size)
    ]


def test_more_than_four_passages_are_read_only_if_the_first_four_do_not_answer() -> None:
    pairs = ScriptedPairs({"gold": 40.0})
    hits = _crowd(16, 2)
    ranked = MultilingualReader(pairs, 0.2).rerank(QUESTION, hits)
    assert [len(call) for call in pairs.calls] == [4] and ranked[0].article.uri == "a:2"
    assert [hit.article.uri for hit in ranked[4:]] == [f"a:{n}" for n in range(4, 16)]
    assert all(hit.reading is None and hit.relevance is None for hit in ranked[4:])
    assert [hit.rank for hit in ranked] == list(range(1, 17))


@pytest.mark.parametrize(
    ("size", "answering", "calls"), [(16, 5, [4, 4]), (20, 11, [4, 4, 4]), (10, None, [4, 4, 2]), (3, 0, [3])]
)
def test_passages_are_read_four_at_a_time_until_one_answers(size: int, answering: int | None, calls: list[int]) -> None:
    pairs = ScriptedPairs({"gold": 40.0})
    hits = _crowd(size, answering)
    ranked = MultilingualReader(pairs, 0.2).rerank(QUESTION, hits)
    assert [len(call) for call in pairs.calls] == calls
    assert sorted(hit.article.uri for hit in ranked) == sorted(hit.article.uri for hit in hits)
    assert answering is None or ranked[0].article.uri == f"a:{answering}"


def test_no_hits_are_no_work() -> None:
    pairs = ScriptedPairs({})
    assert MultilingualReader(pairs, 0.2).rerank(QUESTION, []) == [] and pairs.calls == []


def test_a_passage_is_read_under_its_title_unless_it_begins_with_it() -> None:
    pairs = ScriptedPairs({})
    titled, untitled = (
        _hit("It cost 48 million.", title="New library"),
        _hit("It cost 48 million.", title="It cost 48…"),
    )
    MultilingualReader(pairs, 0.2).rerank(QUESTION, [titled, untitled])
    assert pairs.calls == [[("New library", "It cost 48 million."), ("", "It cost 48 million.")]]


def test_reranked_hits_make_an_answer() -> None:
    reader = MultilingualReader(ScriptedPairs({"48 million kroner": 40.0}), 0.2)
    hits = reader.rerank(QUESTION, [_hit(LASAGNE, uri="a:1"), _hit(LIBRARY, uri="a:2")])
    draft = reader.read(QUESTION, hits)
    assert _lines(draft) == ["48 million kroner [1]"] and draft.confidence > 0.99
    assert draft.citations[0].quote == "It cost 48 million kroner, twice the first estimate."


def test_probability_rises_with_what_the_model_says_and_stays_within_zero_and_one() -> None:
    weak, strong = Reading(-1.0, -2.0, 0, 1), Reading(2.0, 3.0, 0, 1)
    assert logit(weak) < logit(strong) and evidence(weak, 0.8, False) < evidence(strong, 0.8, False)
    assert 0 <= probability(evidence(weak, 0.8, True)) < probability(evidence(strong, 0.8, True)) <= 1
    assert 0 <= probability(-500) < 1e-9 and 1 - 1e-9 < probability(500) <= 1


# How a question and a passage are laid out for the model


@pytest.fixture(scope="module")
def tokenizer(pairs: OnnxPairReader) -> Any:  # noqa: ANN401 - the tokenizers library has no precise types
    return e5.load_tokenizer(e5.unpacked(print))


def _ids(tokenizer: Any, text: str) -> list[int]:  # noqa: ANN401
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def test_a_window_is_the_question_the_title_and_the_passage(tokenizer: Any) -> None:  # noqa: ANN401
    first, second = windows("Who built it?", [("New library", LIBRARY), ("", BRIDGE)], tokenizer)
    question, title = _ids(tokenizer, "Who built it?"), _ids(tokenizer, "New library.")
    assert first.ids == [0, *question, 2, 2, *title, *_ids(tokenizer, LIBRARY), 2] and first.passage == 0
    assert second.ids == [0, *question, 2, 2, *_ids(tokenizer, BRIDGE), 2] and second.passage == 1
    assert first.first == 3 + len(question) + len(title) and second.first == 3 + len(question)


@pytest.mark.parametrize("text", [LIBRARY, BRIDGE, "El tranvía costó 8,3 millones de euros en 2024."])
def test_offsets_give_back_the_text_under_each_token(tokenizer: Any, text: str) -> None:  # noqa: ANN401
    (window,) = windows("Who?", [("Title", text)], tokenizer)
    tokens = window.ids[window.first : -1]
    assert len(tokens) == len(window.offsets)
    for token, (start, end) in zip(tokens, window.offsets.tolist(), strict=True):
        assert text[start:end] == tokenizer.id_to_token(token).removeprefix("▁")


@given(text=st.text(_CHARACTERS, max_size=200))
@example(text="ﬁne ½ ① ＡＢＣ１２ हिन्दी \x00 \u200b 北京是中国的首都。")
@settings(max_examples=100, deadline=None)
def test_offsets_stay_within_any_text(tokenizer: Any, text: str) -> None:  # noqa: ANN401
    for window in windows("Who?", [("", text)], tokenizer):
        assert len(window.offsets) == len(window.ids) - window.first - 1
        assert all(0 <= start <= end <= len(text) for start, end in window.offsets.tolist())


@pytest.mark.parametrize("size", [0, 1, 60, 64, 65, 150, 200, 250, 256, 300, 2000])
@pytest.mark.parametrize("question", ["Who?", "who built it and why " * 2000])
def test_every_token_and_every_short_answer_is_whole_in_some_window(
    tokenizer: Any,  # noqa: ANN401
    size: int,
    question: str,
) -> None:
    text = " ".join(["the"] * size)
    found = list(windows(question, [("A title " * 50, text)], tokenizer))
    assert all(len(window.ids) <= WINDOW for window in found)
    opening = 3 + min(len(_ids(tokenizer, question)), MOST_QUESTION) + MOST_TITLE
    assert all(window.first == opening and window.ids[0] == 0 and window.ids[-1] == 2 for window in found)
    stretches = [(int(w.offsets[0, 0]) // 4, int(w.offsets[-1, 0]) // 4) for w in found if len(w.offsets)]
    assert stretches == sorted(stretches) and (bool(stretches) or size == 0) and len(found) >= 1
    covered = {n for low, high in stretches for n in range(low, high + 1)}
    assert covered == set(range(size))
    assert all(b[0] <= a[1] - 48 and b[1] > a[1] for a, b in pairwise(stretches))


def test_a_passage_without_text_is_one_window_without_offsets(tokenizer: Any) -> None:  # noqa: ANN401
    found = list(windows("Who?", [("Title", ""), ("", " \n")], tokenizer))
    assert [(w.passage, w.offsets.shape) for w in found] == [(0, (0, 2)), (1, (0, 2))]
    assert list(windows("Who?", [], tokenizer)) == []


def test_the_windows_of_several_passages_are_told_apart(tokenizer: Any) -> None:  # noqa: ANN401
    found: list[Window] = list(windows("Who?", [("", "the " * 400), ("", LIBRARY), ("", "the " * 300)], tokenizer))
    numbers = [w.passage for w in found]
    assert numbers == sorted(numbers) and set(numbers) == {0, 1, 2} and numbers.count(1) == 1 and numbers.count(0) > 1


# The model itself: easy cases, which any trained weights should pass

EASY = [
    ("How much did the library cost?", "New library in Elverum", LIBRARY, "48 million kroner"),
    ("Who designed the building?", "New library in Elverum", LIBRARY, "Jonas Brekke"),
    ("Сколько стоило строительство моста?", "Мост через Томь", BRIDGE, "12 миллиардов"),
    ("Когда открыли мост?", "Мост через Томь", BRIDGE, "31 мая"),
    ("Сколько стоила библиотека?", "New library in Elverum", LIBRARY, "48 million kroner"),
    ("Кто спроектировал здание библиотеки?", "New library in Elverum", LIBRARY, "Jonas Brekke"),
]
DRIFT = (
    0.5  # of a logit: int8 scales its numbers by what else is in the batch; it was .1 at most where there is an answer
)


@pytest.mark.parametrize(("question", "title", "text", "answer"), EASY)
def test_an_obvious_answer_is_found_and_its_passage_preferred(
    pairs: OnnxPairReader, question: str, title: str, text: str, answer: str
) -> None:
    read, unrelated = pairs.read(question, [(title, text), ("Lasagne", LASAGNE)])
    assert answer in text[read.start : read.end] and read.end - read.start <= len(answer) + 20
    assert read.relevance > unrelated.relevance and read.margin > unrelated.margin


def test_a_passage_reads_the_same_alone_and_in_company(pairs: OnnxPairReader) -> None:
    question, title, text, _ = EASY[0]
    company = [("Lasagne", LASAGNE), (title, text), ("Мост", BRIDGE), ("", LIBRARY * 6), ("", "")]
    alone, together = pairs.read(question, [(title, text)])[0], pairs.read(question, company)[1]
    assert (alone.start, alone.end) == (together.start, together.end)
    assert alone.relevance == pytest.approx(together.relevance, abs=DRIFT)
    assert alone.margin == pytest.approx(together.margin, abs=3 * DRIFT)
    assert pairs.read(question, company) == pairs.read(question, company)


def test_an_answer_at_the_end_of_three_thousand_words_is_found(pairs: OnnxPairReader) -> None:
    filler = "The committee met again and talked about the weather, the roads and the school holidays for a while. "
    text = filler * 170 + "The new library cost 48 million kroner."
    assert len(text.split()) > 3000
    (read,) = pairs.read("How much did the new library cost?", [("Minutes of the council", text)])
    assert "48 million" in text[read.start : read.end]


@pytest.mark.parametrize(
    "question",
    [
        "Who?",
        "",
        "x" * 10_000,
        "what does it cost " * 600,
        "😀",
        "\x00",
        "\ud800 what".encode("utf-8", "replace").decode(),
    ],
)
def test_odd_questions_and_passages_are_read_without_an_error(pairs: OnnxPairReader, question: str) -> None:
    passages = [
        ("", LIBRARY),
        ("Title", ""),
        ("", ""),
        ("😀", "😀😀 \x00\x00 \u200b"),
        ("\x00", "\x00"),
        ("T" * 5000, "? "),
    ]
    readings = pairs.read(question, passages)
    assert len(readings) == len(passages)
    for reading, (_, text) in zip(readings, passages, strict=True):
        assert 0 <= reading.start <= reading.end <= len(text)
        assert math.isfinite(reading.relevance) and math.isfinite(reading.margin)


def test_reading_nothing_gives_nothing(pairs: OnnxPairReader) -> None:
    assert pairs.read("Who?", []) == []


def test_torch_reads_as_onnxruntime_does(pairs: OnnxPairReader) -> None:
    by_torch = TorchPairReader(print, device="cpu")
    by_torch.warm_up()
    same = 0
    for question, title, text, answer in EASY:
        passages = [(title, text), ("Lasagne", LASAGNE)]
        ours, theirs = pairs.read(question, passages)[0], by_torch.read(question, passages)
        assert answer in text[theirs[0].start : theirs[0].end] and theirs[0].relevance > theirs[1].relevance
        same += (ours.start, ours.end) == (theirs[0].start, theirs[0].end)
        assert ours.relevance == pytest.approx(theirs[0].relevance, abs=DRIFT)
        assert ours.margin == pytest.approx(theirs[0].margin, abs=3 * DRIFT)
    assert same >= len(EASY) - 1  # "Jonas Brekke" or "Architect Jonas Brekke"
    assert by_torch.read("Who?", []) == [] and len(by_torch.read("Who?", [("", ""), ("", LIBRARY * 9)])) == 2


def test_reading_on_the_cpu_imports_no_torch(pairs: OnnxPairReader) -> None:
    program = (
        "import sys, json; from rag.reader.pair_reader import OnnxPairReader; "
        f"reading, = OnnxPairReader(print).read('Who designed it?', [('', {LIBRARY!r})]); "
        "print(json.dumps([m for m in ('torch', 'transformers', 'onnx', 'sklearn') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=SUBPROCESS, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


# Its weights


@pytest.fixture(scope="module")
def base() -> e5.E5File:
    return e5.source_file()


def _trained(seed: int) -> dict[str, Floats]:
    chance = np.random.default_rng(seed)
    matrix = chance.normal(size=(384, 384)).astype(np.float32)
    matrix[:, 7] *= 50  # a loud column
    matrix[3] = 0
    return {
        "l11.q.w": matrix,
        "l11.q.b": chance.normal(size=384).astype(np.float32),
        "rel0.w": chance.normal(size=(384, 384)).astype(np.float32),
        "span.b": chance.normal(size=2).astype(np.float32),
    }


def test_saved_weights_come_back_within_half_a_step_of_their_block(tmp_path: Path, base: e5.E5File) -> None:
    trained = _trained(1)
    facts = facts_of({"pairs": 7, "seed": 1, "by": "hand"})
    save_weights(trained, tmp_path / "new" / "reader.safetensors", facts)
    read = ReaderWeights(base, tmp_path / "new" / "reader.safetensors")
    matrix = trained["l11.q.w"]
    largest = np.abs(matrix.reshape(384, 12, 32)).max(axis=2)
    steps = np.repeat(largest / 127, 32, axis=1)
    assert (np.abs(read.matrix("l11.q.w", 384) - matrix) <= 0.6 * steps).all()  # half, and what float16 rounds off
    for name in ("l11.q.b", "rel0.w", "span.b"):
        assert (read.vector(name) == trained[name].reshape(-1)).all()
    with safe_open(tmp_path / "new" / "reader.safetensors", "numpy") as file:
        assert file.metadata() == {"pairs": "7", "seed": "1", "by": "hand"}
    digest = hashlib.sha256((tmp_path / "new" / "reader.safetensors").read_bytes()).hexdigest()
    assert (tmp_path / "new" / "reader.sha256").read_text().split() == [digest, "reader.safetensors"]


def test_what_was_not_trained_is_the_embedding_models(tmp_path: Path, base: e5.E5File) -> None:
    save_weights(_trained(2), tmp_path / "reader.safetensors", {})
    read = ReaderWeights(base, tmp_path / "reader.safetensors")
    assert (read.matrix("l0.q.w", 384) == base.matrix("l0.q.w", 384)).all()
    assert (read.vector("emb.pos") == base.vector("emb.pos")).all()
    assert not (read.matrix("l11.q.w", 384) == base.matrix("l11.q.w", 384)).all()
    sizes = ("hidden", "layers", "heads", "feed_forward", "epsilon")
    assert [getattr(read, name) for name in sizes] == [getattr(base, name) for name in sizes]


def test_a_missing_or_cut_off_file_of_weights_says_what_to_do(tmp_path: Path, base: e5.E5File) -> None:
    with pytest.raises(ModelUnavailable, match=r"none\.safetensors.*install rag-articles again"):
        ReaderWeights(base, tmp_path / "none.safetensors")
    save_weights(_trained(3), tmp_path / "reader.safetensors", {})
    whole = (tmp_path / "reader.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"not weights at all", b""):
        (tmp_path / "reader.safetensors").write_bytes(content)
        with pytest.raises(ModelUnavailable, match="install rag-articles again"):
            ReaderWeights(base, tmp_path / "reader.safetensors")


def test_the_installed_weights_are_those_that_their_checksum_was_taken_of() -> None:
    verify_file()
    assert len(expected_sha256()) == 64


def test_missing_weights_or_a_missing_checksum_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_weights, "FILE", tmp_path / "reader.safetensors")
    with pytest.raises(ModelUnavailable, match=r"weights are missing.*install rag-articles again"):
        verify_file()
    with pytest.raises(ModelUnavailable, match=r"weights are missing.*install rag-articles again"):
        expected_sha256()
    (tmp_path / "reader.sha256").write_text("")
    with pytest.raises(ModelUnavailable, match="weights are missing"):
        expected_sha256()


def test_damaged_weights_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (reader_weights.FILE, reader_weights.FILE.with_suffix(".sha256")):
        shutil.copy(file, tmp_path)
    whole = (tmp_path / "reader.safetensors").read_bytes()
    (tmp_path / "reader.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(reader_weights, "FILE", tmp_path / "reader.safetensors")
    monkeypatch.setenv("RAG_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelUnavailable, match=r"reader\.safetensors is damaged \(wrong SHA-256\); install"):
        OnnxPairReader(print).warm_up()
    assert not list((tmp_path / "cache").glob("*"))


def test_weights_damaged_after_they_were_unpacked_are_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: OnnxPairReader
) -> None:
    pairs.warm_up()
    for file in (reader_weights.FILE, reader_weights.FILE.with_suffix(".sha256")):
        shutil.copy(file, tmp_path)
    whole = (tmp_path / "reader.safetensors").read_bytes()
    (tmp_path / "reader.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(reader_weights, "FILE", tmp_path / "reader.safetensors")
    for reader in (OnnxPairReader(print), TorchPairReader(print, "cpu")):
        with pytest.raises(ModelUnavailable, match="is damaged"):
            reader.warm_up()


def test_unpacking_the_reader_is_announced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: OnnxPairReader
) -> None:
    embedding_model = e5.unpacked(print)
    (tmp_path / embedding_model.name).symlink_to(embedding_model)
    monkeypatch.setenv("RAG_CACHE", str(tmp_path))
    said: list[str] = []
    first = OnnxPairReader(said.append).read("Who designed it?", [("", LIBRARY)])
    assert said == ["Unpacking the reader (once) …"]
    again = OnnxPairReader(said.append).read("Who designed it?", [("", LIBRARY)])
    assert len(said) == 1 and again == first == pairs.read("Who designed it?", [("", LIBRARY)])
    (folder,) = tmp_path.glob("reader-*")
    assert e5.verify_unpacked(folder) == [] and expected_sha256()[:12] in folder.name
