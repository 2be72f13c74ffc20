import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.claims import ClaimStream, claims_of, is_refusal
from rag.types import Claim

PASSAGES = 8
MOST_CLAIMS = 30
LONGEST = 8_000  # characters of an answer that are read

Said = list[tuple[str, tuple[int, ...]]]


def _said(answer: str, language: str = "en", passages: int = PASSAGES) -> Said:
    return [(claim.text, claim.passages) for claim in claims_of(answer, language, passages)]


def _streamed(pieces: Iterable[str], language: str = "en") -> list[Claim]:
    stream = ClaimStream(language, PASSAGES)
    claims = [claim for piece in pieces for claim in stream.take(piece)]
    return [*claims, *stream.end()]


def _cut(text: str, places: Iterable[int]) -> list[str]:
    edges = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def _fails(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, reason=reason)


@pytest.mark.parametrize(
    ("marker", "passages"),
    [
        (" [1]", (1,)),
        ("[1]", (1,)),
        (" [1, 2]", (1, 2)),
        (" [1;3]", (1, 3)),
        (" [1] [3]", (1, 3)),
        (" [1][2][3]", (1, 2, 3)),
        (" [3] [1] [3]", (3, 1)),
        (" [1-3]", (1, 2, 3)),
        (" [1–3, 5]", (1, 2, 3, 5)),
        (" [ 2 ]", (2,)),
        ("【1】", (1,)),
        (" ［2］", (2,)),
        ("【2†source】", (2,)),
        (" [^1]", (1,)),
        (" (1)", (1,)),
        (" (1, 2)", (1, 2)),
        ("（2）", (2,)),
        (" [Source 1]", (1,)),
        (" (Source 1)", (1,)),
        (" [source: 2]", (2,)),
        (" [passages 1, 2]", (1, 2)),
        (" [passages 1 and 2]", (1, 2)),
        (" [Источник 2]", (2,)),
        (" [источник №2]", (2,)),
        (" [Quelle 1]", (1,)),
        (" [Fuente 3]", (3,)),
        ("[来源1]", (1,)),
        (" [1](http://example.org/a)", (1,)),
        (" **[1]**", (1,)),
        (" [0] [9] [2]", (2,)),
        (" [7-12]", (7, 8)),
        (" [9]", ()),
        (" [3-1]", ()),
        pytest.param(" ([1])", (1,), marks=_fails("the space before round brackets about a marker stays")),
        pytest.param(" ([1], [2])", (1, 2), marks=_fails("round brackets about markers stay, with the comma")),
        pytest.param(" [1], [2]", (1, 2), marks=_fails("the comma between two markers stays")),
        pytest.param(" *[1]*", (1,), marks=_fails("the asterisks about a marker stay")),
        pytest.param(" [источник № 2]", (2,), marks=_fails("a space after № is not expected")),
        pytest.param(" \\[1\\]", (1,), marks=_fails("an escaped bracket is not read")),
        pytest.param(" [1](http://x.org/a(b)c)", (1,), marks=_fails("an address with brackets stays in the sentence")),
        pytest.param(" <sup>1</sup>", (1,), marks=_fails("a raised number stays as a number of the sentence")),
        pytest.param("¹", (1,), marks=_fails("a raised number is not read")),
    ],
)
def test_a_marker_is_read_in_any_form_and_leaves_no_trace(marker: str, passages: tuple[int, ...]) -> None:
    assert _said(f"The pier reopens in May{marker}.") == [("The pier reopens in May.", passages)]
    assert _said(f"The pier reopens in May{marker}. It cost 2 million [4].") == [
        ("The pier reopens in May.", passages),
        ("It cost 2 million.", (4,)),
    ]


@pytest.mark.parametrize(
    ("answer", "language", "said"),
    [
        ("The pier reopens. [1] It is long. [2]", "en", [("The pier reopens.", (1,)), ("It is long.", (2,))]),
        ("The pier reopens.[1] It is long.[2]", "en", [("The pier reopens.", (1,)), ("It is long.", (2,))]),
        ("The pier reopens. (1)\nIt is long. (2)", "en", [("The pier reopens.", (1,)), ("It is long.", (2,))]),
        ("- [1] The pier reopens.\n- [2] It is long.", "en", [("The pier reopens.", (1,)), ("It is long.", (2,))]),
        ("[1] The pier reopens.\n[2] It is long.", "en", [("The pier reopens.", (1,)), ("It is long.", (2,))]),
        ("The pier [1] reopens and is long [2].", "en", [("The pier reopens and is long.", (1, 2))]),
        ("The pier reopens [1]", "en", [("The pier reopens", (1,))]),
        ("According to [2], the pier reopens.", "en", [("the pier reopens.", (2,))]),
        ("Согласно [2], пирс откроют.", "ru", [("пирс откроют.", (2,))]),
        (
            "Пирс откроют в мае. [1] Он стоил 2 млн. [2]",
            "ru",
            [("Пирс откроют в мае.", (1,)), ("Он стоил 2 млн.", (2,))],
        ),
        ("码头五月开放【1】。它花了两百万[2]。", "zh", [("码头五月开放。", (1,)), ("它花了两百万。", (2,))]),
        pytest.param(
            "码头五月开放。[1]它花了两百万。[2]",
            "zh",
            [("码头五月开放。", (1,)), ("它花了两百万。", (2,))],
            marks=_fails("without a space after it, a marker behind a full stop goes to the next sentence"),
        ),
        pytest.param(
            "The pier reopens.\n[1]\nIt is long.\n[2]",
            "en",
            [("The pier reopens.", (1,)), ("It is long.", (2,))],
            marks=_fails("a marker on a line of its own goes to the sentence after it"),
        ),
    ],
)
def test_a_marker_belongs_to_the_sentence_it_ends_or_opens(answer: str, language: str, said: Said) -> None:
    assert _said(answer, language) == said


@pytest.mark.parametrize(
    "sentence",
    [
        "It was founded in the spring (2024).",
        "The crew were all there (12).",
        "The pier (2) reopens in May.",
        "Rule [a] stands.",
        "The list [see below] is long.",
        "It is 5 < 7 and 8 > 3.",
        "The score was 2-1 (after extra time).",
    ],
)
def test_brackets_that_name_no_passage_belong_to_the_sentence(sentence: str) -> None:
    assert _said(sentence) == [(sentence, ())]


@pytest.mark.parametrize(
    "line", ["Sources: [1]", "Sources: [1], [2]", "Источники: [1]", "Quellen: [1] [2]", "来源：[1]"]
)
def test_a_line_of_sources_is_no_claim(line: str) -> None:
    assert _said(f"The pier reopens in May.\n\n{line}") == [("The pier reopens in May.", ())]


def test_sentences_without_markers_name_no_passages() -> None:
    assert _said("The pier reopens in May. It is long.") == [("The pier reopens in May.", ()), ("It is long.", ())]
    assert _said("") == _said(" \n\n ") == _said("[1]") == _said("... [1] !") == []


def test_a_sentence_is_claimed_once_however_often_it_is_said() -> None:
    assert _said("It is wide [1]. It is long [1]. It is wide [2]. IT IS WIDE. It is  wide [1].") == [
        ("It is wide.", (1,)),
        ("It is long.", (1,)),
    ]


@pytest.mark.parametrize("tag", ["think", "thinking", "THINK"])
def test_thoughts_are_not_claims(tag: str) -> None:
    closed = f"<{tag}>The mayor lies [1].\nWhy?</{tag}>\n\nThe pier reopens [2]."
    assert _said(closed) == [("The pier reopens.", (2,))]
    assert _said(f"<{tag}>The mayor lies [1]. The pier reopens [2].") == []
    assert _said(f"<{tag}>Is it NOT_IN_PASSAGES? No.</{tag}>The pier reopens [2].") == [("The pier reopens.", (2,))]
    assert _streamed(closed) == claims_of(closed, "en", PASSAGES)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("The **pier** reopens in `May` [1].", "The pier reopens in May."),
        ("**The pier reopens in May [1].**", "The pier reopens in May."),
        ("__The pier__ reopens in May [1].", "The pier reopens in May."),
        ("# The pier reopens in May [1]", "The pier reopens in May"),
        ("- The pier reopens in May [1].", "The pier reopens in May."),
        ("  * The pier reopens in May [1].", "The pier reopens in May."),
        ("• The pier reopens in May [1].", "The pier reopens in May."),
        ("2. The pier reopens in May [1].", "The pier reopens in May."),
        ("2) The pier reopens in May [1].", "The pier reopens in May."),
        ("> The pier reopens in May [1].", "The pier reopens in May."),
        ("Answer: The pier reopens in May [1].", "The pier reopens in May."),
        ("**Answer:** The pier reopens in May [1].", "The pier reopens in May."),
        ("The [pier](http://evil.example/a) reopens in May [1].", "The pier reopens in May."),
        ("The pier reopens ![x](http://evil.example/log?q=it) in May [1].", "The pier reopens in May."),
        ("The <b>pier</b> reopens<br/>in May [1].", "The pier reopens in May."),
        ("<img src=x onerror=\"fetch('//evil.example/')\"> The pier reopens in May [1].", "The pier reopens in May."),
        ('The pier reopens in May<a href="javascript:alert(1)"></a> [1].', "The pier reopens in May."),
    ],
)
def test_markup_is_taken_off(answer: str, text: str) -> None:
    assert _said(answer) == [(text, (1,))]


@pytest.mark.parametrize(
    "answer",
    [
        "NOT_IN_PASSAGES",
        "not_in_passages.",
        "NOT IN PASSAGES",
        "Not in passages!",
        "**NOT_IN_PASSAGES**",
        "`NOT_IN_PASSAGES` [1]",
        "NOT\\_IN\\_PASSAGES",
        "The answer is NOT_IN_PASSAGES.",
        "<think>Nothing there.</think>\nNOT_IN_PASSAGES\n",
    ],
)
def test_not_found_is_understood_in_any_form_and_is_no_claim(answer: str) -> None:
    assert is_refusal(answer) and _said(answer) == []


@pytest.mark.parametrize("answer", ["The pier is not in passable order.", "It is in the passages [1].", "", "NOT_IN"])
def test_other_words_do_not_say_not_found(answer: str) -> None:
    assert not is_refusal(answer)


def test_not_found_beside_an_answer_leaves_the_answer() -> None:
    assert _said("NOT_IN_PASSAGES. The pier reopens in May [1].") == [("The pier reopens in May.", (1,))]


def test_a_model_that_repeats_itself_is_read_to_an_end() -> None:
    stream, claims, read = ClaimStream("en", PASSAGES), list[Claim](), 0
    for _ in range(1000):
        if stream.is_full:
            break
        claims += stream.take("The pier reopens in May, said the mayor [1]. ")
        read += 1
    claims += stream.end()
    assert stream.is_full and LONGEST <= read * 45 < LONGEST + 45
    assert claims[0] == Claim("The pier reopens in May, said the mayor.", "en", (1,))
    assert len(claims) <= 2  # the second one is cut off at the end of what is read


def test_no_more_than_thirty_sentences_are_waited_for() -> None:
    stream, claims, read = ClaimStream("en", PASSAGES), list[Claim](), 0
    while not stream.is_full and read < 4 * MOST_CLAIMS:
        claims += stream.take(f"Pier number {read} reopens in May [1]. ")
        read += 1
    assert len([*claims, *stream.end()]) == MOST_CLAIMS and read <= MOST_CLAIMS + 2


def test_no_more_than_thirty_sentences_of_a_stream_are_claimed() -> None:
    answer = "".join(f"Pier number {n} reopens in May [1]. " for n in range(100))
    first = [Claim(f"Pier number {n} reopens in May.", "en", (1,)) for n in range(MOST_CLAIMS)]
    assert _streamed([answer]) == _streamed(_cut(answer, range(0, len(answer), 7))) == first


def test_an_answer_is_read_up_to_its_limit() -> None:
    before, after, marker = "The pier reopens in May [1]. ", "It is long", " [2]."
    padding = " " * (LONGEST - len(before + after))
    first = ("The pier reopens in May.", (1,))
    assert _said(before + padding[len(marker) :] + after + marker) == [first, ("It is long.", (2,))]
    assert _said(before + padding + after + marker) == [first, ("It is long", ())]


@pytest.mark.parametrize(
    ("answer", "is_whole"),
    [
        ("The pier reopens in May. It is long", False),
        ("The pier reopens in May. It is long [", False),
        ("The pier reopens in May. It is long [2]", True),
        ("The pier reopens in May. It is long.\n", True),
        ("码头五月开放。", True),
        ("", False),
    ],
)
def test_a_stream_tells_whether_its_last_sentence_has_an_end(answer: str, is_whole: bool) -> None:
    stream = ClaimStream("en", PASSAGES)
    stream.take(answer)
    assert stream.is_whole is is_whole


def test_a_sentence_is_given_as_soon_as_the_next_one_begins() -> None:
    stream = ClaimStream("en", PASSAGES)
    assert stream.take("The pier reopens in May [1].") == []
    assert stream.take(" [2]") == []  # a marker may follow
    assert stream.take(" It is") == [] and stream.take(" long.") == [Claim("The pier reopens in May.", "en", (1, 2))]
    assert not stream.is_full
    assert stream.end() == [Claim("It is long.", "en", ())] and stream.end() == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            '<img alt="This picture is of a pier. It is a long one." src=x> The pier reopens [1]. It is long [2].',
            marks=_fails("a tag of which more than 40 characters have come is taken for text"),
        ),
        pytest.param(
            "See [the whole report of the harbour board. It is long](http://x.org/a). The pier reopens in May [1].",
            marks=_fails("a link of which more than 40 characters have come is taken for text"),
        ),
        pytest.param(
            "The pier reopens in May! [see here](http://x.org/a)",
            marks=_fails("a link's text opens a sentence until its address has come"),
        ),
        "The pier reopens (as the harbour master Edna Cole had announced in March and again in April. Yes) in May [1].",
        "The pier reopens [1](http://x.org/a). It is long [Source 2]. So it is said (1, 2).\n1. The end [3].",
        "According to [1], it is No. 5 on the list, e.g. there. Dr. Cole said so [2].\n\n**Sources:** [1], [2]",
    ],
)
def test_a_stream_gives_the_same_claims_wherever_it_is_cut_in_two(answer: str) -> None:
    whole = claims_of(answer, "en", PASSAGES)
    assert {at: streamed for at in range(len(answer)) if (streamed := _streamed(_cut(answer, [at]))) != whole} == {}


SENTENCES = {
    "en": [
        "The pier reopens in May",
        "It cost 2.4 million pounds",
        "Dr. Cole said so on 3 June",
        "The mayor, e.g., did not",
        "“It is No. 5 on our list”",
        "The **pier** is 45 m long",
        "See [the report](http://x.org/a) of 2024",
        "- The station <b>closes</b>",
        "2. The board meets",
        "NOT_IN_PASSAGES",
    ],
    "ru": [
        "Пирс откроют в мае",
        "Он обошёлся в 2,4 млн руб",
        "А. С. Иванов сказал это 3 июня",
        "В т. ч. и «Восточная дуга» (2024)",
        "- Станцию закроют",
    ],
    "zh": ["码头五月开放", "它花了2.4亿元", "市长说：“没有”"],
}
MARKERS = ["", " [1]", "[2]", " [1, 2]", "【3】", " (1)", " [Source 1]", "[1](http://x.org/a)", " [12]"]
ENDS = {"en": [". ", "! ", "? ", ".\n", "\n\n", " [2]. ", ". [2] "], "zh": ["。", "！", "。\n"]}
ENDS["ru"] = ENDS["en"]


@st.composite
def _answers(draw: st.DrawFn) -> tuple[str, str]:
    language = draw(st.sampled_from(sorted(SENTENCES)))
    parts = st.tuples(*map(st.sampled_from, (SENTENCES[language], MARKERS, ENDS[language])))
    thought = draw(st.sampled_from(["", "<think>It is long. Is it?</think>\n"]))
    return thought + "".join(map("".join, draw(st.lists(parts, max_size=8)))), language


@given(answer=_answers(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_stream_gives_the_same_claims_whatever_the_pieces(answer: tuple[str, str], data: st.DataObject) -> None:
    text, language = answer
    pieces = _cut(text, data.draw(st.lists(st.integers(0, len(text)), max_size=30)))
    assert _streamed(pieces, language) == claims_of(text, language, PASSAGES)


TEXT = st.text(st.sampled_from("aB1 .!?\n[]()<>/*-–#_【】（），。й码:;|\"'`\t\\\u200b\u0000😀")) | st.text()


@given(text=TEXT, language=st.sampled_from(["en", "ru", "zh", "und", "xx"]), passages=st.integers(0, 8))
@example("[99-1] [1-99] (1) [", "en", 8)
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_fail(text: str, language: str, passages: int) -> None:
    claims = claims_of(text, language, passages)
    assert len({claim.text.casefold() for claim in claims}) == len(claims)
    for claim in claims:
        assert any(map(str.isalnum, claim.text)) and not is_refusal(claim.text)
        assert set(claim.passages) <= set(range(1, passages + 1)) and len(set(claim.passages)) == len(claim.passages)
    stream = ClaimStream(language, passages)
    assert len([*stream.take(text), *stream.end()]) <= MOST_CLAIMS


def test_control_characters_become_spaces() -> None:
    assert _said("The\x00pier\x07 \x1b[0mreopens\u200b in May \u202e[1].") == [("The pier [0mreopens in May.", (1,))]


def test_half_a_character_as_json_can_carry_it_becomes_a_question_mark() -> None:
    assert _said("The pier reopens in May \ud83d [1].") == [("The pier reopens in May ?.", (1,))]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" " * 5000, id="spaces"),
        pytest.param("\t" * 5000, id="tabs"),
        pytest.param("\n" * 5000, id="newlines"),
        pytest.param("[1" + " " * 5000, id="unclosed marker"),
        pytest.param("a. [" * 5000, id="open brackets"),
        pytest.param("![" * 2500, id="open pictures"),
        pytest.param("<a" * 2500, id="open tags"),
        pytest.param("(" * 5000, id="open round brackets"),
        pytest.param("[1," * 1700, id="endless list"),
        pytest.param("[a](" * 1250, id="open links"),
        pytest.param("<think>" * 700, id="open thoughts"),
        pytest.param("*" * 5000, id="asterisks"),
        pytest.param("1" * 5000, id="digits"),
        pytest.param("." * 5000, id="full stops"),
        pytest.param("word " * 1000, id="one long sentence"),
        pytest.param("The pier opens. " * 300, id="many sentences"),
    ],
)
def test_no_text_takes_long(text: str) -> None:
    claims_of("The pier reopens.", "en", PASSAGES)
    started = time.process_time()
    claims_of(text, "en", PASSAGES)
    assert time.process_time() - started < 0.1  # seconds of the processor for 5,000 characters


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            ["The pier reopens in May [1]. "] * 300, marks=_fails("with every piece all is read again"), id="repetition"
        ),
        pytest.param(["\n"] * 400, id="newlines"),
        pytest.param(["word "] * 4000, id="one long sentence"),
    ],
)
def test_no_stream_takes_long(pieces: list[str]) -> None:
    started = time.process_time()
    _streamed(pieces)
    assert time.process_time() - started < 0.25  # seconds of the processor
