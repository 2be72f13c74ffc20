import time

import pytest
from conftest import TinyEmbedder, make_article
from hypothesis import given, settings
from hypothesis import strategies as st

from index.chunk import chunk, passage_input
from index.embed import OnnxE5
from index.language import sentence_spans
from index.types import Span

TINY = TinyEmbedder()
TARGET = 20
MAX_TOKENS = 60  # with an empty title: room for 44

_WORDS = st.text("abcdeйцукéüß", min_size=1, max_size=9)
_SENTENCES = st.builds(
    lambda words, end: " ".join(words).capitalize() + end,
    st.lists(_WORDS, min_size=1, max_size=70),
    st.sampled_from([".", "!", "?", "", ",", " …"]),
)
_PROSE = st.builds(
    "".join, st.lists(st.tuples(_SENTENCES, st.sampled_from([" ", "\n", "\n\n"])).map("".join), max_size=25)
)
_ANYTHING = st.text(st.sampled_from("ab .,;:\n\t。，、中日がกข1Жй \u3000"), max_size=700)

ZH = (
    "无锡市政府表示，这条线路将于六月开通。全长十二公里，共设十五站！总投资为一亿八千万元。市民可以用手机购票吗？可以。"
    * 12
)
JA = (
    "市は新しい路面電車の計画を発表した。全長は十二キロである。駅は十五か所に設けられる。総工費は百億円と見込まれている。"
    * 12
)
TH = "เทศบาลเมืองเชียงใหม่ประกาศโครงการรถรางสายใหม่ความยาวสิบสองกิโลเมตร มีสถานีสิบห้าแห่ง ใช้งบประมาณหนึ่งพันล้านบาท " * 40
RU = "Проект трамвайной линии утвердили в г. Ижевске. Она пройдет через четыре квартала. Длина составит 11,4 км. " * 20


def _spans(text: str, title: str = "") -> list[Span]:
    return chunk(make_article("file:///a.txt", text, title), TINY.count_tokens, MAX_TOKENS, TARGET)


def _assert_passages_tile(text: str, spans: list[Span]) -> None:
    at = 0
    for span in spans:
        passage = text[span.start : span.end]
        assert span.start >= at and span.end > span.start
        assert passage == passage.strip()
        assert not text[at : span.start].strip()
        at = span.end
    assert not text[at:].strip()


@given(st.one_of(_PROSE, _ANYTHING))
@settings(max_examples=150, deadline=None)
def test_passages_are_in_order_apart_trimmed_and_leave_out_only_white_space(text: str) -> None:
    _assert_passages_tile(text, _spans(text))


@given(_PROSE)
@settings(max_examples=120, deadline=None)
def test_a_sentence_that_fits_is_never_cut(text: str) -> None:
    room = MAX_TOKENS - 16
    for span in _spans(text):
        for start, end in sentence_spans(text, "en"):
            if TINY.count_tokens([text[start:end]])[0] <= room:
                assert not start < span.start < end
                assert not start < span.end < end


@given(st.one_of(_PROSE, _ANYTHING))
@settings(max_examples=150, deadline=None)
def test_no_passage_has_more_tokens_than_there_is_room_for(text: str) -> None:
    room = MAX_TOKENS - 16
    assert all(size <= room for size in TINY.count_tokens([text[s.start : s.end] for s in _spans(text)]))


def test_one_long_word_before_many_short_ones_gives_no_passage_beyond_the_room() -> None:
    text = "a" * 4000 + " b" * 200
    sizes = TINY.count_tokens([text[s.start : s.end] for s in _spans(text)])
    assert sum(sizes) >= 201
    assert max(sizes) <= MAX_TOKENS - 16


def test_no_piece_of_a_cut_sentence_begins_with_the_space_it_was_cut_at() -> None:
    for length in range(1, 60):
        for glue in (" ", ", ", "x " * 3 + ",  "):
            text = glue.join(["x" * length] * 120)
            _assert_passages_tile(text, _spans(text))


def test_sentences_are_gathered_up_to_the_target_and_no_further() -> None:
    sentence = "One two three four five six seven eight. "  # 8 tokens
    text = (sentence * 5).strip()
    assert [(s.start, s.end) for s in _spans(text)] == [(0, 81), (82, 163), (164, 204)]


def test_a_paragraph_that_nearly_fills_a_passage_ends_it() -> None:
    paragraph = "One two three four five six seven. Eight nine ten eleven twelve thirteen."  # 13 of 20 tokens
    text = f"{paragraph}\nOne two three four five.\n{paragraph}"
    assert [text[s.start : s.end] for s in _spans(text)] == [paragraph, f"One two three four five.\n{paragraph}"]


def test_a_last_passage_of_a_few_words_joins_the_one_before() -> None:
    text = "One two three four five six seven eight nine ten. " * 2 + "The end."
    assert [(s.start, s.end) for s in _spans(text)] == [(0, len(text))]


def test_the_title_does_not_shift_the_offsets() -> None:
    text = "Alpha beta gamma delta. " * 20
    with_title = _spans(text.strip(), title="A title of five words")
    assert [(s.start, s.end) for s in with_title] == [(s.start, s.end) for s in _spans(text.strip())]
    assert with_title[0].start == 0


def test_a_passage_is_embedded_with_its_title_unless_it_begins_with_it() -> None:
    assert passage_input("Trams", "They are late.") == "Trams. They are late."
    assert passage_input("", "They are late.") == "They are late."
    assert passage_input("They are…", "They are late.") == "They are late."


@pytest.mark.parametrize(("language", "text"), [("zh", ZH), ("ja", JA), ("th", TH), ("ru", RU)])
def test_passages_of_every_script_fit_the_real_model_and_end_with_sentences(
    embedder: OnnxE5, language: str, text: str
) -> None:
    text = text.strip()
    spans = chunk(make_article("file:///a.txt", text, "城市", language), embedder.count_tokens, embedder.max_tokens)
    _assert_passages_tile(text, spans)
    sizes = embedder.count_tokens([text[s.start : s.end] for s in spans])
    assert len(spans) > 1
    assert max(sizes) <= (embedder.max_tokens - 16 if language == "th" else 200)
    assert {s.language for s in spans} == {language}
    if language != "th":  # Thai ends its sentences with nothing but a space
        edges = list(sentence_spans(text, language))
        assert {s.start for s in spans} <= {a for a, _ in edges}
        assert {s.end for s in spans} <= {b for _, b in edges}


def test_a_million_characters_without_a_space_are_passages_within_seconds(embedder: OnnxE5) -> None:
    text = "abcdefghij" * 100_000
    started = time.perf_counter()
    spans = chunk(make_article("file:///a.txt", text, "Data"), embedder.count_tokens, embedder.max_tokens)
    assert time.perf_counter() - started < 15
    _assert_passages_tile(text, spans)
    assert max(embedder.count_tokens([text[s.start : s.end] for s in spans])) <= embedder.max_tokens - 16


def test_text_that_grows_dense_in_the_middle_of_a_line_still_fits_the_real_model(embedder: OnnxE5) -> None:
    text = "the city council met and the people of the town were there " * 60 + "😀🚋🏙️🧪" * 200
    spans = chunk(make_article("file:///a.txt", text, "Data"), embedder.count_tokens, embedder.max_tokens)
    _assert_passages_tile(text, spans)
    assert max(embedder.count_tokens([text[s.start : s.end] for s in spans])) <= embedder.max_tokens - 16


def test_a_title_of_any_length_leaves_the_whole_passage_within_the_model(embedder: OnnxE5) -> None:
    title = "Minutes of the meeting of the committee on lighting and roads " * 60
    text = " ".join(f"The committee bought {n} lamps for street number {n}." for n in range(100))
    spans = chunk(make_article("file:///a.txt", text, title), embedder.count_tokens, embedder.max_tokens)
    inputs = [passage_input(title, text[s.start : s.end]) for s in spans]
    assert max(embedder.count_tokens(inputs)) <= embedder.max_tokens - 2


def test_an_empty_article_has_no_passages() -> None:
    assert _spans("") == []
    assert _spans(" \n\n ") == []


def test_a_passage_in_another_language_than_its_article_is_marked_so() -> None:
    english = "The river froze early this year, and the ferry could not leave the harbour before noon on any day. " * 2
    russian = "Река в этом году замерзла рано, и паром не мог выйти из гавани до полудня ни в один из дней недели. " * 2
    spans = _spans(f"{english.strip()}\n{russian.strip()}")
    assert (spans[0].language, spans[-1].language) == ("en", "ru")
