"""Words of pairs put into another language: what is read of the dictionaries, what is replaced, what stays."""

import gzip
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.reader.code_switching import Dictionary, Spans, read_dictionaries, switch, switched
from rag.reader.pairs import Pair

FILES = {
    "freedict-eng-deu.dict.dz": """\
00-database-short
English-German FreeDict Dictionary

cost /kɒst/
Kosten <pl>, Ausgaben <pl> [econ.]
         Note: für etw.
      "the full cost"  - alle Kosten, jegliche Kosten
 see: {costs}

the cost /ðə kɒst/
Preis

city /sˈɪti/
Stadt <fem>; Großstadt <fem>, Weltstadt <fem>
climate /klˈaɪmət/
Klima <neut>
climate change /klˈaɪmət tʃˈeɪndʒ/
Klimawandel <masc> [envir.]
climate change act /klˈaɪmət tʃˈeɪndʒ ˈakt/
Klimaschutzgesetz <neut>
change /tʃˈeɪndʒ/
Änderung (an etw. (auch: in etw.)) <fem>, ein Wechsel in der Lage
bake /bˈeɪk/
backen
walk /wˈɔːk/
gehen
of /ɒv/
von
how /hˈaʊ/
auf welche Weise
""",
    "mueller7.dict.dz": """\
00-database-short
     Mueller English-Russian Dictionary
memory
   [↗mɛmɜrɪ] _n.
   1) память; in memory of smb., smth. в память кого-л., чего-л.; to the best
   of my memory насколько я помню
   2) воспоминание, восхищение (и т.п.)
   3) _тех. машинная память, накопитель информации
brandish
   [↗brændɪʃ] _v. махать, размахивать (мечом, палкой)
city
   [↗sɪtɪ]
   1. _n. город
   2. _a.
      1) городской; city council = городской совет
of
   [ɘv] _prep. из
""",
    "cedict_1_0_ts_utf-8_mdbg.txt.gz": """\
# CC-CEDICT
# 傳統 传统 [chuan2 tong3] /never read/
#! entries=5
傳統 传统 [chuan2 tong3] /tradition/traditional/convention/CL:個|个[ge4]/
開始 开始 [kai1 shi3] /to begin/beginning (of sth), start/
圖書館 图书馆 [tu2 shu1 guan3] /library/CL:家[jia1],個|个[ge4]/
圖書 图书 [tu2 shu1] /books (in a library or bookstore)/
高 高 [Gao1] /surname Gao/
的 的 [de5] /of/
""",
}
LETTERS = {"en": "bcdfé ’-.1\n", "zh": "図A 。,1\n"}  # of words that no dictionary below knows
KNOWN = {"en": ["castle", "old castle", "town", "river"], "zh": ["城", "城堡", "河流", "河"]}


def _write(folder: Path) -> Path:
    for name, text in FILES.items():
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.write(text)
    return folder


@pytest.fixture(scope="module")
def dictionaries(tmp_path_factory: pytest.TempPathFactory) -> list[Dictionary]:
    return read_dictionaries(_write(tmp_path_factory.mktemp("dictionaries")))


@pytest.fixture(scope="module")
def german(dictionaries: list[Dictionary]) -> Dictionary:
    return dictionaries[0]


@pytest.fixture(scope="module")
def russian(dictionaries: list[Dictionary]) -> Dictionary:
    return dictionaries[1]


@pytest.fixture(scope="module")
def chinese(dictionaries: list[Dictionary]) -> Dictionary:
    return dictionaries[2]


def _all_replaced(text: str, dictionary: Dictionary, kept: Spans = ()) -> str:
    return switch(text, kept, dictionary, 1.0, Random(1))[0]


# What is read of the files


def test_the_dictionaries_lead_from_english_and_from_chinese(dictionaries: list[Dictionary]) -> None:
    assert [(d.source, d.target) for d in dictionaries] == [("en", "de"), ("en", "ru"), ("zh", "en")]


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("cost", {"Kosten", "Ausgaben"}),
        ("the cost", {"Preis"}),
        ("climate change", {"Klimawandel"}),
        ("change", {"Änderung"}),  # no remarks within remarks, and no translation that is a phrase of four words
    ],
)
def test_a_line_of_german_translations_follows_its_headword(german: Dictionary, word: str, wanted: set[str]) -> None:
    assert set(german.entries[word]) == wanted


def test_the_two_most_frequent_translations_are_kept_and_the_likelier_comes_first(
    german: Dictionary, chinese: Dictionary
) -> None:
    assert german.entries["city"] == ["Stadt", "Großstadt"]
    assert chinese.entries["传统"] == ["traditional", "convention"]


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("memory", {"память", "воспоминание"}),  # no examples, and no phrases
        ("brandish", {"махать", "размахивать"}),
        ("city", {"город", "городской"}),
    ],
)
def test_russian_senses_are_read_without_marks_asides_and_examples(
    russian: Dictionary, word: str, wanted: set[str]
) -> None:
    assert set(russian.entries[word]) == wanted


def test_senses_beside_the_most_frequent_are_read_too(tmp_path: Path) -> None:
    text = "memory\n   [↗mɛmɜrɪ] _v.\n   1) воспоминание, восхищение (и т.п.)\n"
    with gzip.open(_write(tmp_path) / "mueller7.dict.dz", "wt", encoding="utf-8") as file:
        file.write(text)
    assert set(read_dictionaries(tmp_path)[1].entries["memory"]) == {"воспоминание", "восхищение"}


def test_chinese_words_are_read_in_both_scripts_and_comments_are_passed_over(chinese: Dictionary) -> None:
    both = {("傳統", "传统"), ("開始", "开始"), ("圖書館", "图书馆"), ("圖書", "图书")}
    for traditional, simplified in both:
        assert chinese.entries[traditional] == chinese.entries[simplified]
    assert set(chinese.entries["开始"]) <= {"begin", "beginning", "start"}  # without the "to" of the infinitive
    assert chinese.entries["图书"] == ["books"] and chinese.entries["图书馆"] == ["library"]
    assert "高" not in chinese.entries  # which is a surname, and nothing else
    assert not any("never" in t or "CL" in t for translations in chinese.entries.values() for t in translations)


def test_what_a_dictionary_only_explains_is_left_out(dictionaries: list[Dictionary]) -> None:
    for dictionary in dictionaries:
        assert not {"of", "的"} & dictionary.entries.keys()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("de", {"what": "was", "who": "wer", "when": "wann", "where": "wo", "why": "warum", "which": "welche"}),
        ("de", {"how": "wie", "how many": "wie viele", "how much": "wie viel"}),
        ("ru", {"what": "что", "who": "кто", "when": "когда", "where": "где", "why": "почему", "which": "какой"}),
        ("ru", {"how": "как", "how many": "сколько", "how much": "сколько"}),
        ("en", {"什么": "what", "什麼": "what", "谁": "who", "誰": "who", "哪里": "where", "哪裡": "where"}),
        ("en", {"何时": "when", "何時": "when", "什么时候": "when", "什麼時候": "when", "哪一年": "what year"}),
        ("en", {"哪": "which", "哪个": "which", "哪個": "which", "为什么": "why", "為什麼": "why"}),
        ("en", {"多少": "how many", "几": "how many", "幾": "how many"}),
        ("en", {"如何": "how", "怎么": "how", "怎麼": "how"}),
    ],
)
def test_what_questions_are_asked_with_is_known_whatever_the_files_say(
    dictionaries: list[Dictionary], target: str, words: dict[str, str]
) -> None:
    entries = next(d.entries for d in dictionaries if d.target == target)
    assert {word: entries[word] for word in words} == {word: [translation] for word, translation in words.items()}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_os_error(tmp_path: Path, name: str) -> None:
    (_write(tmp_path) / name).unlink()
    with pytest.raises(OSError, match=re.escape(name)):
        read_dictionaries(tmp_path)


# What is replaced


def test_every_known_word_is_replaced_at_a_share_of_one_and_none_at_zero(german: Dictionary) -> None:
    text = "How many people walk in the climate of Bergen?"
    assert _all_replaced(text, german) == "wie viele people gehen in the Klima of Bergen?"
    assert switch(text, (), german, 0.0, Random(1)) == (text, ())


def test_about_the_share_asked_for_is_replaced(german: Dictionary) -> None:
    text, _ = switch(" ".join(["climate"] * 2000), (), german, 0.35, Random(1))
    assert text.count("Klima") == pytest.approx(700, abs=70) and text.count("climate") + text.count("Klima") == 2000


def test_each_translation_has_its_turn(german: Dictionary) -> None:
    counts = [_all_replaced(" ".join(["cost"] * 400), german).count(word) for word in ("Kosten", "Ausgaben")]
    assert sum(counts) == 400 and min(counts) > 140


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("climate change act", "Klimaschutzgesetz"),
        ("The Climate Change of climate, change", "The Klimawandel of Klima, Änderung"),
        ("climate changes", "Klimawandel"),
        ("climate\nchange", "Klima\nÄnderung"),
        ("how, many", "wie, many"),
    ],
)
def test_the_longest_phrase_known_comes_first(german: Dictionary, text: str, wanted: str) -> None:
    assert _all_replaced(text, german) == wanted


def test_the_longest_chinese_word_comes_first_and_stands_apart(chinese: Dictionary) -> None:
    assert _all_replaced("图书馆,图书", chinese) == " library , books "
    assert _all_replaced("圖書館是哪一年建的?", chinese) == " library 是 what year 建的?"
    assert _all_replaced("什么时候?什么?", chinese) == " when ? what ?"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cities", "Stadt"),
        ("city's", "Stadt"),
        ("climates", "Klima"),
        ("walked", "gehen"),
        ("baked", "backen"),
        ("walking", "gehen"),
        ("baking", "backen"),
        ("CHANGES", "Änderung"),
    ],
)
def test_english_endings_are_seen_through(german: Dictionary, text: str, wanted: str) -> None:
    assert _all_replaced(text, german) in (wanted, wanted.replace("Stadt", "Großstadt"))


@pytest.mark.parametrize("text", ["does", "Does", "what does"])
def test_an_ending_makes_no_noun_of_a_verb_that_is_left_out(text: str) -> None:
    doe = Dictionary("en", "de", {"doe": ["Ricke"]})
    assert _all_replaced(text, doe) == text


def test_letters_between_accented_ones_are_no_word() -> None:
    letter = Dictionary("en", "de", {"d": ["Des"], "ric": ["Rick"]})
    assert _all_replaced("Frédéric", letter) == "Frédéric"


@pytest.mark.parametrize("text", ["", "Nobody lives here, 12 of them!\n\n  Really.", "Кто живёт в городе?", "在北京"])
def test_a_text_without_known_words_stays_as_it_is(dictionaries: list[Dictionary], text: str) -> None:
    kept = ((0, len(text)),) if text else ()
    for dictionary in dictionaries:
        assert switch(text, (), dictionary, 1.0, Random(1)) == (text, ())
        assert switch(text, kept, dictionary, 1.0, Random(1)) == (text, kept)


def test_what_touches_a_kept_span_stays_and_what_is_beside_it_does_not(german: Dictionary) -> None:
    text = "climate change walk climate"
    start = text.index("change")
    assert switch(text, ((start, start + 3),), german, 1.0, Random(1)) == (
        "climate change gehen Klima",
        ((start, start + 3),),
    )
    assert switch(text, ((14, 15), (20, 23)), german, 1.0, Random(1)) == (
        "Klimawandel gehen climate",
        ((11, 12), (18, 21)),
    )


@st.composite
def _texts(draw: st.DrawFn) -> tuple[str, str, Spans, float, int]:
    """Give a language, a text of known and unknown words in it, spans of the text, a share, and a seed."""
    source = draw(st.sampled_from(["en", "zh"]))
    part = st.sampled_from(KNOWN[source]) | st.text(LETTERS[source], max_size=4)
    text = draw(st.sampled_from(["", " "])).join(draw(st.lists(part, min_size=1, max_size=15)))
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(lambda both: (min(both), max(both)))
    spans = draw(st.lists(places.filter(lambda span: span[0] < span[1]), max_size=4)) if text else []
    return source, text, tuple(spans), draw(st.sampled_from([0.0, 0.35, 0.8, 1.0])), draw(st.integers(0, 999))


@given(_texts())
def test_kept_spans_stay_verbatim_and_are_found_where_they_have_moved(case: tuple[str, str, Spans, float, int]) -> None:
    source, text, kept, share, seed = case
    marked = {word: [f"«{word}»", f"«{word}» »»"] for word in KNOWN[source]}  # as long as no two words are
    changed, moved = switch(text, kept, Dictionary(source, "de", marked), share, Random(seed))
    assert [changed[low:high] for low, high in moved] == [text[low:high] for low, high in kept]
    padding = " ?" if source == "zh" else ""
    original = re.sub(f"{padding}«([^»]*)»( »»)?{padding}", r"\1", changed)
    assert original == text  # nothing else is lost, added, or put elsewhere
    assert share or changed == text


@given(_texts())
def test_one_seed_gives_the_same_text(case: tuple[str, str, Spans, float, int]) -> None:
    source, text, kept, share, seed = case
    dictionary = Dictionary(source, "de", {word: ["Burg", "Schloss", "Fluss"] for word in KNOWN[source]})
    once, again = (switch(text, kept, dictionary, share, Random(seed)) for _ in range(2))
    assert once == again


def test_another_seed_gives_another_text(german: Dictionary) -> None:
    texts = {switch("climate walk " * 20, (), german, 0.5, Random(seed))[0] for seed in range(10)}
    assert len(texts) == 10


# Pairs

QUESTION, TEXT, ANSWER = (
    "How many cities walk?",
    "The cost of climate change is 48 million kroner a city.",
    "48 million",
)
ANSWERS = ((TEXT.index(ANSWER), TEXT.index(ANSWER) + len(ANSWER)),)


def _pairs(languages: str, count: int, answers: Spans = ANSWERS) -> list[Pair]:
    asking, telling = languages.split(">")
    question = "哪一年开始?" if asking.startswith("zh") else QUESTION
    text = TEXT if not telling.startswith("zh") else "图书馆的成本是4800万克朗。"
    kept = answers if text == TEXT else ()
    return [Pair(question, "Bergen", text, kept, languages, "gold", "set/Bergen", f"{n}") for n in range(count)]


def _changed(before: Sequence[Pair], after: Sequence[Pair]) -> tuple[float, float]:
    """Give which share of the pairs have another question, and another text."""
    both = list(zip(before, after, strict=True))
    return float(np.mean([a.question != b.question for b, a in both])), float(
        np.mean([a.text != b.text for b, a in both])
    )


@pytest.mark.parametrize(
    ("languages", "questions", "texts"),
    [
        ("en>en", 0.3, 0.08),
        ("en>es", 0.3, 0),
        ("es>en", 0, 0),
        ("es>es", 0, 0),
        ("zh>zh", 0.4, 0),
        ("zht>zht", 0.4, 0),
    ],
)
def test_some_questions_and_some_english_texts_are_switched(
    dictionaries: list[Dictionary], languages: str, questions: float, texts: float
) -> None:
    before = _pairs(languages, 3000)
    found = _changed(before, list(switched(before, dictionaries, Random(1))))
    # A pair whose turn it is may still stay as it is, where no word is drawn: seldom of questions, often of texts.
    assert questions * 0.8 <= found[0] <= questions + 0.03
    assert texts * 0.5 <= found[1] <= texts + 0.02 and bool(texts) == bool(found[1])


def test_answers_and_all_else_of_a_switched_pair_stay_as_they_are(dictionaries: list[Dictionary]) -> None:
    before = _pairs("en>en", 2000)
    after = list(switched(before, dictionaries, Random(1)))
    for was, now in zip(before, after, strict=True):
        assert [now.text[low:high] for low, high in now.answers] == [ANSWER]
        assert replace(now, question=was.question, text=was.text, answers=was.answers) == was
        assert was.question == now.question or was.text == now.text  # never both, so that one language holds on
    for letters in ("[А-Яа-я]", "Kosten|Ausgaben|Stadt|Klimawandel"):
        assert any(re.search(letters, pair.text) for pair in after)
    assert {pair.answers for pair in after} > {ANSWERS}


def test_what_is_switched_does_not_tell_whether_there_is_an_answer(dictionaries: list[Dictionary]) -> None:
    with_one, without = _pairs("en>en", 3000), _pairs("en>en", 3000, ())
    one, none = (list(switched(pairs, dictionaries, Random(1))) for pairs in (with_one, without))
    assert [(p.question, p.text) for p in one] == [(p.question, p.text) for p in none]
    assert not any(pair.answers for pair in none)

    mixed = [pair for both in zip(with_one, without, strict=True) for pair in both]
    after = list(switched(mixed, dictionaries, Random(2)))
    answered, unanswered = (_changed(mixed[n::2], after[n::2]) for n in range(2))
    assert answered == pytest.approx(unanswered, abs=0.03) and min(*answered, *unanswered) > 0.03


def test_one_seed_switches_the_same_pairs_and_another_others(dictionaries: list[Dictionary]) -> None:
    pairs = [*_pairs("en>en", 50), *_pairs("zh>zh", 50)]
    first, again, other = (list(switched(pairs, dictionaries, Random(seed))) for seed in (1, 1, 2))
    assert first == again != other and first != pairs
