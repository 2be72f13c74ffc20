"""Public question sets: what becomes of their questions and articles, and what is refused."""

import io
import json
import sys
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.formats import FORMATS, Document, GoldSet, read_gold_set
from eval.gold import Evidence, GoldQuestion, named_articles
from index.errors import BadRequest

LAMPS = "The museum of Tarn shows 410 lamps. The oldest was made in 1790, says Dr. Lund.\nIt came from Oslo by ship."


def _squad(folder: Path, *paragraphs: dict[str, Any], name: str = "lamps.json") -> str:
    path = folder / name
    path.write_text(json.dumps({"version": "2", "data": [{"title": "Lamp_museum", "paragraphs": paragraphs}]}))
    return f"squad:{path}"


def _asked(number: str, question: str, *answers: tuple[str, int], **more: object) -> dict[str, object]:
    return {"id": number, "question": question, "answers": [{"text": t, "answer_start": s} for t, s in answers], **more}


def _lines(path: Path, *rows: object) -> Path:
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    return path


# SQuAD


def test_a_squad_answer_is_evidenced_by_its_sentence(tmp_path: Path) -> None:
    asked = _asked("a", "How many lamps does the museum show?", ("410", 25), ("410 lamps", 25))
    found = read_gold_set(_squad(tmp_path, {"context": LAMPS, "qas": [asked]}))
    assert found == GoldSet(
        (
            GoldQuestion(
                "squad:lamps/a",
                "How many lamps does the museum show?",
                "en",
                ("410", "410 lamps"),
                (Evidence("squad:lamps/0/0", "The museum of Tarn shows 410 lamps."),),
                "fact",
            ),
        ),
        (Document("squad:lamps/0/0", "Lamp museum", LAMPS.replace("\n", " ")),),
    )
    assert found.questions[0].place == "lamps.json, paragraph 0/0"


def test_squad_answers_in_several_sentences_are_alternatives_and_one_across_two_needs_both(tmp_path: Path) -> None:
    where = _asked("a", "Where is the lamp from?", ("Tarn", 14), ("Oslo", LAMPS.index("Oslo")))
    across = _asked("b", "What is said of the oldest lamp?", ("says Dr. Lund.\nIt came", LAMPS.index("says")))
    found = read_gold_set(_squad(tmp_path, {"context": LAMPS, "qas": [where, across]})).questions
    assert [e.quote for e in found[0].evidence] == [
        "The museum of Tarn shows 410 lamps.",
        "It came from Oslo by ship.",
    ]
    assert [e.quote for e in found[1].evidence] == [
        "The oldest was made in 1790, says Dr. Lund. It came from Oslo by ship."
    ]
    assert found[1].answers == ("says Dr. Lund. It came",)


def test_a_word_that_stands_there_twice_is_taken_where_the_set_says(tmp_path: Path) -> None:
    context = "The  first \tlamp is from Oslo. The second lamp is from Oslo too."
    asked = _asked("a", "Where is the second lamp from?", ("Oslo", context.rindex("Oslo")))
    (question,) = read_gold_set(_squad(tmp_path, {"context": context, "qas": [asked]})).questions
    assert question.evidence[0].quote == "The second lamp is from Oslo too."


def test_impossible_squad_questions_have_neither_answers_nor_evidence(tmp_path: Path) -> None:
    asked = _asked("a", "Who lit the oldest lamp?", is_impossible=True, plausible_answers=[{"text": "Dr. Lund"}])
    found = read_gold_set(_squad(tmp_path, {"context": LAMPS, "qas": [asked]}, {"context": " \n", "qas": []}))
    assert len(found.documents or ()) == 1  # an empty paragraph is no article
    (question,) = found.questions
    assert (question.kind, question.answers, question.evidence) == ("unanswerable", (), ())


def test_squad_questions_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    good = _asked("a", "How many lamps does the museum show?", ("410", 25))
    qas = [
        good,
        _asked("b", "How many?", ("410", 26)),
        _asked("c", "How many?", (".", -1)),
        _asked("d", "When?"),
        _asked("e", "When?", ("\u200b", 0)),
        _asked("f", "?", ("410", 25)),
        good,
    ]
    found = read_gold_set(_squad(tmp_path, {"context": LAMPS, "qas": qas}))
    assert [question.id for question in found.questions] == ["squad:lamps/a"]
    assert found.left_out == (
        "squad:lamps/b: its answers do not stand where they are said to",
        "squad:lamps/c: its answers do not stand where they are said to",
        "squad:lamps/d: no answer is given",
        "squad:lamps/e: no answer is given",
        "squad:lamps/f: it has no words",
        "squad:lamps/a: another question has this id",
    )


def test_a_question_too_short_to_tell_its_language_has_that_of_the_others(tmp_path: Path) -> None:
    context = "Das Museum in Tarn zeigt 410 Lampen, und die älteste Lampe stammt aus dem Jahr 1790."
    qas = [
        _asked("a", "Wie viele Lampen zeigt das Museum in Tarn?", ("410", 25)),
        _asked("b", "Woher stammt die älteste Lampe des Museums?", ("Tarn", 14)),
        _asked("c", "Wer?", ("Museum", 4)),  # alone it would be taken for English
    ]
    found = read_gold_set(_squad(tmp_path, {"context": context, "qas": qas}))
    assert [question.language for question in found.questions] == ["de", "de", "de"]


def test_questions_in_another_language_than_their_articles_keep_it(tmp_path: Path) -> None:
    context = "Das Museum in Tarn zeigt 410 Lampen, und die älteste Lampe stammt aus dem Jahr 1790."
    asked = _asked("a", "How many lamps does the museum in Tarn show?", ("410", 25))
    (question,) = read_gold_set(_squad(tmp_path, {"context": context, "qas": [asked]})).questions
    assert question.language == "en"


@settings(max_examples=200, deadline=None)
@given(
    context=st.text(alphabet="ab Z.?1é\u0301\u00a0\n\t\u200b。文Жж\U0001f600", min_size=1, max_size=60),
    ends=st.tuples(st.integers(0, 59), st.integers(1, 20)),
)
def test_a_squad_quote_holds_its_answer_and_stands_in_its_document(
    tmp_path_factory: pytest.TempPathFactory, context: str, ends: tuple[int, int]
) -> None:
    start = ends[0] % len(context)
    answer = context[start : start + ends[1]]
    asked = [_asked("a", "Is it so?", is_impossible=True), _asked("b", "What is it?", (answer, start))]
    found = read_gold_set(_squad(tmp_path_factory.mktemp("squad"), {"context": context, "qas": asked}))
    assert len(found.questions) + len(found.left_out) == 2
    texts = {document.url: document.text for document in found.documents or ()}
    for question in found.questions:
        for evidence in question.evidence:
            assert evidence.quote in texts[evidence.article]
            assert evidence.quote == evidence.quote.strip() != ""
            assert question.answers[0] in evidence.quote


# ClapNQ

SENTENCES = ["A lamp gives light .", "It needs oil .", "Oil is dear .", "Candles are cheaper ."]


def _clapnq(number: str, question: str, *outputs: tuple[str, list[str]]) -> dict[str, object]:
    return {
        "id": number,
        "input": question,
        "passages": [{"title": "Lamp", "text": " ".join(SENTENCES) + " ", "sentences": SENTENCES}],
        "output": [{"answer": answer, "selected_sentences": selected, "meta": {}} for answer, selected in outputs],
    }


def test_clapnq_evidence_is_each_run_of_adjacent_selected_sentences(tmp_path: Path) -> None:
    outputs = [
        ("A lamp burns oil,\nand candles are cheaper.", [SENTENCES[3], SENTENCES[0], SENTENCES[1]]),
        ("It burns oil.", [SENTENCES[1]]),
        ("", []),
    ]
    path = _lines(tmp_path / "set.jsonl", _clapnq("7", "what does a lamp need to give light", *outputs))
    found = read_gold_set(f"clapnq:{path}")
    assert found == GoldSet(
        (
            GoldQuestion(
                "clapnq:7",
                "what does a lamp need to give light",
                "en",
                ("A lamp burns oil, and candles are cheaper.", "It burns oil."),
                (
                    Evidence("clapnq:0", "A lamp gives light . It needs oil ."),
                    Evidence("clapnq:0", "Candles are cheaper ."),
                    Evidence("clapnq:0", "It needs oil ."),
                ),
                "definition",
            ),
        ),
        (Document("clapnq:0", "Lamp", " ".join(SENTENCES)),),
    )
    assert found.questions[0].place == "set.jsonl, line 1"


def test_a_clapnq_folder_gives_both_files_and_a_passage_once(tmp_path: Path) -> None:
    answer = ("It burns oil.", [SENTENCES[1]])
    other = _clapnq("5", "what is cheaper than oil", ("Candles.", ["Candles are cheap ."]))
    unknown = [
        _clapnq("2", "who invented the lamp and when", ("", [])),
        _clapnq("3", "who sells oil"),
        _clapnq("4", "what is cheaper than oil", ("Candles.", ["Candles are cheap ."])),
        other | {"passages": [{"title": "Lamp", "text": " ".join(SENTENCES), "sentences": ["Candles are cheap ."]}]},
    ]
    _lines(tmp_path / "clapnq_answerable.jsonl", _clapnq("1", "what does a lamp need", answer))
    _lines(tmp_path / "clapnq_unanswerable.jsonl", *unknown)
    _lines(tmp_path / "other.jsonl", {"not": "read"})
    found = read_gold_set(f"clapnq:{tmp_path}")
    assert [(q.id, q.kind) for q in found.questions] == [("clapnq:1", "definition"), ("clapnq:2", "unanswerable")]
    assert found.documents == (Document("clapnq:0", "Lamp", " ".join(SENTENCES)),)
    assert found.left_out == (
        "clapnq:3: no answer is given",
        "clapnq:4: none of the selected sentences stands in a passage",
        "clapnq:5: none of the selected sentences stands in a passage",
    )


# RGB


def _rgb(number: int, question: str, answer: object, positive: list[Any], *negative: str) -> dict[str, object]:
    wrong = ["The museum of Tarn shows 999 lamps."]
    return {
        "id": number,
        "query": question,
        "answer": answer,
        "positive": positive,
        "negative": negative,
        "positive_wrong": wrong,
        "fakeanswer": "999",
    }


def test_rgb_evidence_is_every_sentence_that_holds_an_answer_as_a_word_of_its_own(tmp_path: Path) -> None:
    positive = [
        "Tarn is far.\r\t It shows 410 lamps to all who come.",
        "Of 1,410 and 2.410, of 410.5, 410,200 and 4105 lamps few are lit. On display are four hundred and ten.",
        "410 ... The museum is open.",
    ]
    row = _rgb(3, "How many lamps does Tarn show?", [["410", "FOUR hundred and ten"]], positive, "Candles are cheap.")
    path = _lines(tmp_path / "en_lamps.jsonl", row)
    found = read_gold_set(f"rgb:{path}")
    assert found == GoldSet(
        (
            GoldQuestion(
                "rgb:en_lamps/3",
                "How many lamps does Tarn show?",
                "en",
                ("410", "FOUR hundred and ten"),
                (
                    Evidence("rgb:en_lamps/0", "It shows 410 lamps to all who come."),
                    Evidence("rgb:en_lamps/1", "On display are four hundred and ten."),
                ),
                "fact",
            ),
        ),
        (
            Document("rgb:en_lamps/0", "", "Tarn is far. It shows 410 lamps to all who come."),
            Document("rgb:en_lamps/1", "", positive[1]),
            Document("rgb:en_lamps/2", "", positive[2]),
            Document("rgb:en_lamps/3", "", "Candles are cheap."),
        ),
    )


def test_rgb_parts_of_an_answer_are_all_needed_each_from_the_sentence_nearest_to_the_question(tmp_path: Path) -> None:
    positive = [
        ["有人在1月3日点灯。灯会于1月3日开幕，观众很多。", "灯会1月3日开幕。"],
        ["灯会共有8盏灯参展，一共展出18天。"],
    ]
    row = _rgb(0, "灯会什么时候开幕，有多少灯参展？", ["1月3日", ["8", "八盏"]], positive)
    found = read_gold_set(f"rgb:{_lines(tmp_path / 'zh_int.jsonl', row)}")
    (question,) = found.questions
    assert (question.kind, question.language) == ("multi-article", "zh")
    assert question.answers == ("1月3日, 8", "1月3日, 八盏")
    assert question.evidence == (
        Evidence("rgb:zh_int/0", "灯会于1月3日开幕，观众很多。"),
        Evidence("rgb:zh_int/2", "灯会共有8盏灯参展，一共展出18天。"),
    )


def test_rgb_questions_without_evidence_are_named_and_their_passages_kept(tmp_path: Path) -> None:
    rows = [
        _rgb(0, "Where is the museum of lamps?", "Tarn", ["The museum of lamps is in Tarn."]),
        _rgb(1, "Where is the other museum?", "Oslo", ["It is in the north."], "The museum of lamps is in Tarn."),
        _rgb(2, "When did it open, and where?", ["1790", ["Rome", "Roma"]], ["It opened in 1790."]),
        _rgb(3, "Why did it open?", [], ["It opened in 1790."]),
    ]
    found = read_gold_set(f"rgb:{_lines(tmp_path / 'en.jsonl', *rows)}")
    assert [question.id for question in found.questions] == ["rgb:en/0"]
    assert found.left_out == (
        "rgb:en/1: no positive passage holds Oslo",
        "rgb:en/2: no positive passage holds Rome or Roma",
        "rgb:en/3: no answer is given",
    )
    assert [document.text for document in found.documents or ()] == [
        "The museum of lamps is in Tarn.",
        "It is in the north.",
        "It opened in 1790.",
    ]


# ru_rag_test

PAGE = """Музей ламп стоит в Тарне с давних времён.


== История ==
Музей открыт  в 1790 году по приказу короля.
Там горят 410 ламп. Вход туда по средам свободный.
"""


def _archive(path: Path, pages: dict[str, bytes]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as members:
        folder = tarfile.TarInfo("docs")
        folder.type = tarfile.DIRTYPE
        members.addfile(folder)
        for name, contents in pages.items():
            member = tarfile.TarInfo(f"docs/{name}")
            member.size = len(contents)
            members.addfile(member, io.BytesIO(contents))
    path.write_bytes(zstandard.compress(packed.getvalue()))


def _ru_rag_test(folder: Path, *asked: tuple[str, str, str]) -> Path:
    _archive(folder / "docs.tar.zst", {"12.txt": PAGE.encode(), "7.txt": "Лампа даёт свет, и это хорошо.".encode()})
    rows = [
        {"id": n, "question": question, "answers": ["1790"], "gold_paragraph": paragraph, "gold_doc": page}
        for n, (question, paragraph, page) in enumerate(asked)
    ]
    return _lines(folder / "questions.jsonl", *rows)


def test_a_gold_paragraph_is_quoted_as_its_page_has_it(tmp_path: Path) -> None:
    paragraph = "Музей открыт в 1790 году по приказу  короля. Там горят 410 ламп."
    path = _ru_rag_test(tmp_path, ("Когда открыт музей?", paragraph, "12.txt"))
    found = read_gold_set(f"ru_rag_test:{path}")
    quote = "Музей открыт в 1790 году по приказу короля.\nТам горят 410 ламп."
    text = f"Музей ламп стоит в Тарне с давних времён.\n\n== История ==\n{quote} Вход туда по средам свободный."
    assert found == GoldSet(
        (
            GoldQuestion(
                "ru_rag_test:0",
                "Когда открыт музей?",
                "ru",
                ("1790",),
                (Evidence("ru_rag_test:12.txt", quote),),
                "fact",
            ),
        ),
        (
            Document("ru_rag_test:12.txt", "", text),
            Document("ru_rag_test:7.txt", "", "Лампа даёт свет, и это хорошо."),
        ),
    )
    assert read_gold_set(f"ru_rag_test:{tmp_path}") == found


def test_questions_whose_paragraph_the_page_has_not_are_left_out(tmp_path: Path) -> None:
    _ru_rag_test(
        tmp_path,
        ("Когда открыт музей?", "Музей открыт в 1790 году", "12.txt"),
        ("Кем открыт музей?", "Музей открыт королём.", "12.txt"),
        ("Где музей?", "Музей ламп", "13.txt"),
        ("Зачем музей?", " ", "12.txt"),
    )
    found = read_gold_set(f"ru_rag_test:{tmp_path}")
    assert [question.id for question in found.questions] == ["ru_rag_test:0"]
    assert found.left_out == (
        "ru_rag_test:1: its paragraph does not stand in 12.txt",
        "ru_rag_test:2: there is no page 13.txt",
        "ru_rag_test:3: its paragraph does not stand in 12.txt",
    )


def _nothing(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _not_packed(path: Path) -> None:
    path.write_bytes(b"docs")


def _no_archive(path: Path) -> None:
    path.write_bytes(zstandard.compress(b"docs" * 300))


def _no_text(path: Path) -> None:
    _archive(path, {"12.txt": b"\xff\xfe\xff"})


@pytest.mark.parametrize("damage", [_nothing, _cut, _not_packed, _no_archive, _no_text])
def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    _ru_rag_test(tmp_path, ("Когда открыт музей?", "Музей открыт в 1790 году", "12.txt"))
    damage(tmp_path / "docs.tar.zst")
    with pytest.raises(BadRequest, match=r"cannot read the pages in .*docs\.tar\.zst"):
        read_gold_set(f"ru_rag_test:{tmp_path}")


def test_the_package_that_unpacks_the_pages_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ru_rag_test(tmp_path, ("Когда открыт музей?", "Музей открыт в 1790 году", "12.txt"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(BadRequest, match="pip install zstandard"):
        read_gold_set(f"ru_rag_test:{tmp_path}")


# All of them


def test_quotes_still_stand_in_the_articles_once_an_index_has_cleaned_them(tmp_path: Path) -> None:
    page = (
        "Share\nThe museum of Cafe\u0301 Tarn\u00a0shows\u200b 410 lamps.\nPrint\n\n\n© Tarn\nIt is open\ton Mondays."
    )
    squad = _asked("a", "Which museum shows lamps?", ("410", page.index("410")), ("open\ton", page.index("open")))
    passage = {"title": "Lamps", "text": page, "sentences": page.split("\n")}
    output = {"answer": "It shows lamps on Mondays.", "selected_sentences": [page.split("\n")[1]]}
    clapnq = {"id": "1", "input": "what does it show", "passages": [passage], "output": [output]}
    rgb = _rgb(1, "How many lamps are shown?", "410 lamps", [page.replace("\n", "\r \t")])
    _ru_rag_test(tmp_path, ("Когда открыт музей?", "приказу короля. Там горят 410 ламп.", "12.txt"))
    sets = [
        _squad(tmp_path, {"context": page, "qas": [squad]}),
        f"clapnq:{_lines(tmp_path / 'clapnq.jsonl', clapnq)}",
        f"rgb:{_lines(tmp_path / 'rgb.jsonl', rgb)}",
        f"ru_rag_test:{tmp_path}",
    ]
    (tmp_path / "articles").mkdir()
    for name in sets:
        found = read_gold_set(name)
        lines = [{"url": d.url, "title": d.title, "text": d.text} for d in found.documents or ()]
        _lines(tmp_path / "articles" / "documents.jsonl", *lines)
        articles = named_articles(tmp_path / "articles")
        quotes = [(evidence.article, evidence.quote) for question in found.questions for evidence in question.evidence]
        assert quotes
        for article, quote in quotes:
            assert quote in articles[article].text
            assert unicodedata.is_normalized("NFC", quote)


def test_a_path_alone_is_a_file_of_our_own_about_articles_of_ones_own(tmp_path: Path) -> None:
    row = {"id": "1", "question": "Who?", "language": "en", "answers": [], "evidence": [], "kind": "unanswerable"}
    path = _lines(tmp_path / "gold:en.jsonl", row)
    found = read_gold_set(str(path))
    assert found == GoldSet((GoldQuestion("1", "Who?", "en", (), (), "unanswerable"),), None)


def test_a_name_that_is_no_file_is_answered_with_the_formats() -> None:
    with pytest.raises(BadRequest, match=r"^sqad:en\.json: no such file") as refused:
        read_gold_set("sqad:en.json")
    assert all(f"{form}:PATH" in str(refused.value) for form in FORMATS)


GOOD_ROWS: dict[str, dict[str, Any]] = {
    "clapnq": _clapnq("1", "what does a lamp need", ("Oil.", [SENTENCES[1]])),
    "rgb": _rgb(1, "Where is it?", "Tarn", ["It is in Tarn."]),
    "ru_rag_test": {"id": 1, "question": "Где?", "answers": ["Там"], "gold_paragraph": "Там.", "gold_doc": "1.txt"},
}


@pytest.mark.parametrize("form", GOOD_ROWS)
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{", r"Invalid JSON: .* at column 1"),
        (b"\xff{}", "Invalid JSON"),
        (b"[]", "object"),
        (b"{}", "id: Field required"),
        (json.dumps({"id": [1]}).encode(), r"id\.int: "),
        (json.dumps({"data": []}).encode(), "id: Field required"),
    ],
)
def test_a_line_that_is_no_question_is_named_with_its_number_and_the_reason(
    tmp_path: Path, form: str, bad: bytes, says: str
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(json.dumps(GOOD_ROWS[form]).encode() + b"\n\n" + bad + b"\n")
    with pytest.raises(BadRequest, match=rf"set\.jsonl, line 3: not a question in the \w+ format \(.*{says}"):
        read_gold_set(f"{form}:{path}")


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ("", "Invalid JSON: EOF"),
        ('{"data":\n [}', "Invalid JSON: .* at line 2 column 3"),
        ('{"id": "1", "input": "x"}', "data: Field required"),
        ('{"data": [{"paragraphs": [{"context": "x"}]}]}', r"data\.0\.paragraphs\.0\.qas: Field required"),
    ],
)
def test_a_file_that_is_not_of_squads_format_is_refused(tmp_path: Path, contents: str, says: str) -> None:
    (tmp_path / "set.json").write_text(contents)
    with pytest.raises(BadRequest, match=rf"set\.json: not a question set in the SQuAD format \({says}"):
        read_gold_set(f"squad:{tmp_path / 'set.json'}")


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_is_not_there_is_named(tmp_path: Path, form: str) -> None:
    with pytest.raises(BadRequest, match=r"cannot read .*none\.json: No such file"):
        read_gold_set(f"{form}:{tmp_path / 'none.json'}")


def test_a_set_without_a_question_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(BadRequest, match=r"^rgb:.*empty\.jsonl: no question in it$"):
        read_gold_set(f"rgb:{tmp_path / 'empty.jsonl'}")
    with pytest.raises(BadRequest, match="no question in it; left out 1, the first being squad:lamps/b: no answer"):
        read_gold_set(_squad(tmp_path, {"context": LAMPS, "qas": [_asked("b", "When?")]}))
    with pytest.raises(BadRequest, match=r"no file in it is named \*answerable\.jsonl"):
        read_gold_set(f"clapnq:{tmp_path}")
