import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, SUBPROCESS, ScriptedPairs, TinyEmbedder, make_article, open_index, write_notes
from servers import FaultyServer, Reply, SmolServer

import rag.cli
from eval.command import Asked, index_of, prepare
from eval.formats import GoldSet
from eval.gold import Evidence, GoldQuestion, read_gold
from eval.records import Record, read_json, read_records
from eval.run import Asker, RunFolder, described, fingerprint
from index.article_index import ArticleIndex, Chunked
from index.embed import OnnxE5
from index.errors import BadRequest
from index.types import EVERYTHING, Article, Span, Where
from rag.assistant import Assistant
from rag.cli import main
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import OnnxPairReader
from rag.settings import Settings
from rag.types import Answer, Turn

pytest_plugins = ("servers",)

GOLD = SAMPLES.parent / "gold.jsonl"
CORK = "How many street lights will Cork replace?"
RUN_FILES = {"run.lock", "run.json", "records.jsonl", "summary.json", "report.html"}


def _lines(path: Path, *questions: dict[str, Any] | str) -> Path:
    """Write gold questions; a text is a line as it is."""
    written = (q if isinstance(q, str) else json.dumps(q, ensure_ascii=False) for q in questions)
    path.write_text("".join(f"{line}\n" for line in written), "utf-8")
    return path


def _gold(count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLD.read_text("utf-8").split("\n")[:count]]


def _question(**changed: object) -> dict[str, object]:
    article, quote = "cork-lights.txt", "The council will replace 11,500 lights."
    question = {"id": "a", "question": CORK, "language": "en", "answers": ["11,500"], "kind": "number"}
    return {**question, "evidence": [{"article": article, "quote": quote}], **changed}


def _evidence(article: str, quote: str) -> list[dict[str, str]]:
    return [{"article": article, "quote": quote}]


def _outcomes(records: list[Record]) -> list[Record]:
    """Give records without what differs from one time to the next."""
    return [replace(record, timings={}) for record in records]


def _steady(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: summary[name] for name in ("questions", "failed", "figures", "curve")}


@pytest.fixture(scope="module")
def sample_index(sample_index_folder: Path, embedder: OnnxE5) -> ArticleIndex:
    return open_index(sample_index_folder, embedder)


@pytest.fixture(scope="module")
def assistant(sample_index: ArticleIndex, pairs: OnnxPairReader) -> Assistant:
    reader = MultilingualReader(pairs, Settings().min_confidence)
    return Assistant(sample_index, reader, reader, Settings())


@pytest.fixture
def small_index(tmp_path: Path) -> ArticleIndex:
    """Give an index of one article; nothing in it needs a model."""
    return _with_articles(
        tmp_path / "small-index",
        make_article(
            "file:///news/cork-lights.txt", "The council will replace 11,500 lights. More. And more. And more."
        ),
    )


def _with_articles(folder: Path, *articles: Article, name: str = "tiny-words") -> ArticleIndex:
    index = open_index(folder, TinyEmbedder(name))
    with index.writing():
        for article in articles:
            spans = [Span(0, len(article.text), article.language)]
            index.add([Chunked(article, spans, "file:///news")])
    return index


# What is wrong is said in a line, before anything is asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "rag: name gold questions and a folder to write into: --gold questions.jsonl --out run-1"),
        (["--out", "run"], "rag: name gold questions and a folder"),
        (["--gold", "gold.jsonl"], "rag: name gold questions and a folder"),
        (["--gold", "gold.jsonl", "--out", "run", "--limit", "0"], "--limit has to be 1 or more"),
        (["--gold", "gold.jsonl", "--out", "run", "--limit", "-3"], "cannot ask -3 questions"),
        (["--gold", "none.jsonl", "--out", "run"], "rag: none.jsonl: no such file; sets of other formats"),
        (["--gold", "squad:none.json", "--out", "run"], "cannot read the question set none.json"),
        (["--gold", "sqad:none.json", "--out", "run"], "squad:PATH, clapnq:PATH"),
        (["--gold", "empty.jsonl", "--out", "run"], "rag: empty.jsonl holds no questions"),
        (["--gold", "gold.jsonl", "--out", "run", "--index", "none"], "no index in none; make one: rag add"),
        (["--gold", "gold.jsonl", "--out", "run", "--judge", "nonsense"], "rag: the judge cannot be used"),
        (["compare", "none", "other"], "rag: none holds no run that can be read"),
        (["ablate"], "rag: name gold questions and a folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _lines(tmp_path / "gold.jsonl", _question())
    (tmp_path / "empty.jsonl").write_text("\n\n")
    assert main(["eval", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and shown.out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: no JSON object"),
        ("[]", "line 2: no JSON object"),
        ({k: v for k, v in _question().items() if k != "answers"}, "line 2: an unanswerable question has no answers"),
        (_question(kind="facts"), "line 2: kind has to be 'fact', 'list'"),
        (_question(answer="11,500"), "line 2: answer is no field"),
        (_question(question=" … "), "line 2: question: it has no words"),
        (_question(as_of="yesterday"), "line 2: as_of: 'yesterday' is no day"),
        (_question(evidence=[]), "line 2: an unanswerable question has no answers and no evidence"),
        (_question(kind="unanswerable"), "line 2: an unanswerable question has no answers and no evidence"),
        (_question(evidence=[{"article": "a.txt"}]), "line 2: evidence.0.quote is missing"),
    ],
)
def test_a_wrong_line_of_gold_is_named(
    line: dict[str, Any] | str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = _lines(tmp_path / "gold.jsonl", _question(), line)
    assert main(["eval", "--gold", str(gold), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"{gold}, " in error and said in error.replace("Invalid", "invalid") and error.count("\n") == 1


def test_what_is_missing_of_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(rag.cli, "find_spec", lambda name: None if name == "matplotlib" else object())
    gold = _lines(tmp_path / "gold.jsonl", _question())
    for command in (
        ["eval", "--gold", str(gold), "--out", str(tmp_path / "run")],
        ["eval", "compare", "a", "b"],
        ["eval", "ablate", "--gold", str(gold), "--out", "parts"],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err == "rag: evaluation needs matplotlib: pip install 'rag-articles[eval]'\n"


def test_a_set_that_brings_its_articles_takes_no_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    squad = _squad(tmp_path / "set.json")
    assert main(["eval", "--gold", f"squad:{squad}", "--out", str(tmp_path / "run"), "--articles", str(SAMPLES)]) == 2
    assert "brings its own articles: leave --articles out" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["set.json"]


# Which questions are asked


def _prepared(
    path: Path, index: ArticleIndex, *questions: dict[str, Any], lenient: bool = False, limit: int | None = None
) -> tuple[list[str], tuple[str, ...]]:
    gold = _lines(path / "gold.jsonl", *questions)
    asked = Asked(str(gold), limit=limit, lenient=lenient)
    prepared = prepare(asked, GoldSet(tuple(read_gold(gold)), None), index)
    return [question.id for question in prepared.questions], prepared.left_out


def test_evidence_that_the_index_does_not_hold_is_refused_by_line(small_index: ArticleIndex, tmp_path: Path) -> None:
    wrong = [
        _question(id="b", question="Two?", evidence=_evidence("cork-lights.txt", "will replace 11,500 lamps")),
        _question(id="c", question="Three?", answers=["more"], evidence=_evidence("cork-lights.txt", "more")),
        _question(id="d", question="Four?", evidence=_evidence("linz.txt", "11,500")),
    ]
    with pytest.raises(BadRequest) as refused:
        _prepared(tmp_path, small_index, _question(), *wrong)
    said = str(refused.value).split("\n")
    assert said[0] == (
        f"{tmp_path / 'gold.jsonl'} does not fit the articles in {small_index.folder} "
        "(--lenient leaves such questions out):"
    )
    assert "gold.jsonl, line 2: b: the quote is not in cork-lights.txt: 'will replace 11,500 lamps'" in said
    assert "gold.jsonl, line 3: c: the quote stands 2 times in cork-lights.txt; quote more of it: 'more'" in said
    assert "gold.jsonl, line 4: d: there is no article, or more than one, called linz.txt" in said
    assert not any("line 1" in line for line in said)


def test_lenient_leaves_them_out_with_one_reason_each(small_index: ArticleIndex, tmp_path: Path) -> None:
    evidence = [*_evidence("cork-lights.txt", "nowhere"), *_evidence("linz.txt", "nowhere")]
    wrong = _question(id="b", question="Two?", evidence=evidence)
    again = _question(id="a", question="Three?")  # the first of two that share an id is asked
    ids, left_out = _prepared(tmp_path, small_index, _question(), wrong, again, lenient=True)
    assert ids == ["a"]
    assert left_out == (
        "gold.jsonl, line 2: b: the quote is not in cork-lights.txt: 'nowhere'",
        "gold.jsonl, line 3: a: the id is there already (gold.jsonl, line 1)",
    )


def test_an_index_of_other_articles_is_named_with_what_to_do(small_index: ArticleIndex, tmp_path: Path) -> None:
    elsewhere = _question(evidence=_evidence("linz.txt", "11,500"))
    for lenient in (False, True):
        with pytest.raises(BadRequest) as refused:
            _prepared(tmp_path, small_index, elsewhere, lenient=lenient)
        said = str(refused.value)
        assert said.startswith("none of the articles that ") and str(small_index.folder) in said
        assert "--index" in said and "--articles" in said and "\n" not in said


def test_questions_without_evidence_fit_any_index(small_index: ArticleIndex, tmp_path: Path) -> None:
    unanswerable = _question(kind="unanswerable", answers=[], evidence=[])
    assert _prepared(tmp_path, small_index, unanswerable) == (["a"], ())
    with pytest.raises(BadRequest, match=r"line 2: b: the question is there already \(gold\.jsonl, line 1\)"):
        _prepared(tmp_path, small_index, unanswerable, {**unanswerable, "id": "b"})


def test_a_limit_takes_the_first_and_checks_no_others(small_index: ArticleIndex, tmp_path: Path) -> None:
    elsewhere = _question(id="b", question="Two?", evidence=_evidence("linz.txt", "11,500"))
    assert _prepared(tmp_path, small_index, _question(), elsewhere, limit=1) == (["a"], ())
    assert _prepared(tmp_path, small_index, _question(), limit=9) == (["a"], ())


def test_the_index_of_a_run_holds_the_articles_named_and_no_others(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_notes(first, [1, 2])
    write_notes(second, [2, 3])  # the second note is in both
    out = tmp_path / "run"
    for _ in range(2):
        made = index_of(Asked("gold.jsonl", [first]), GoldSet((), None), out, Settings())
        assert made == out / "index"
        assert {each.uri for each in ArticleIndex.open(made).articles()} == {p.as_uri() for p in first.iterdir()}
    with pytest.raises(BadRequest, match="was made of other articles, or they have changed since"):
        index_of(Asked("gold.jsonl", [second]), GoldSet((), None), out, Settings())
    write_notes(first, [4])
    with pytest.raises(BadRequest, match="was made of other articles, or they have changed since"):
        index_of(Asked("gold.jsonl", [first]), GoldSet((), None), out, Settings())
    assert len(list(ArticleIndex.open(out / "index").articles())) == 2


def test_an_index_of_the_users_own_is_never_written_to(sample_index_folder: Path, tmp_path: Path) -> None:
    write_notes(tmp_path / "notes", [1])
    shutil.copytree(sample_index_folder, tmp_path / "mine" / "index")
    with pytest.raises(BadRequest, match="is another index: name a new folder with --out"):
        index_of(Asked("gold.jsonl", [tmp_path / "notes"]), GoldSet((), None), tmp_path / "mine", Settings())
    assert ArticleIndex.open(tmp_path / "mine" / "index").status().articles == 28


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    lost = tmp_path / "lost.txt"
    with pytest.raises(BadRequest, match=r"no such file or folder: .*lost\.txt"):
        index_of(Asked("gold.jsonl", [lost]), GoldSet((), None), tmp_path / "run", Settings())


# Asking


def _asked(assistant: Assistant, *wanted: str, gold: Path = GOLD) -> dict[str, Record]:
    questions = [question for question in read_gold(gold) if question.id in wanted]
    prepared = prepare(Asked(str(gold)), GoldSet(tuple(questions), None), assistant.index)
    asker = Asker(assistant, prepared.articles)
    return {question.id: asker.ask(question) for question in prepared.questions}


def test_a_record_says_what_was_asked_found_said_and_cited(assistant: Assistant) -> None:
    record = _asked(assistant, "g-ru-004")["g-ru-004"]
    assert record.question == record.standalone == "Сколько народу влезает в одну «Каму-3»?"
    assert record.status in ("answered", "partial") and record.answerer == "reader" and record.error == ""
    assert "212" in record.short and record.short in record.text and record.cited[0].answer == record.short
    assert record.first == record.cited[0] and record.cited[0].is_verbatim and record.cited[0].is_right
    piece = record.evidence[0]
    article = next(a for a in assistant.index.articles() if a.uri == piece.uri)
    assert article.text[piece.start : piece.end] == piece.quote and piece.uri.endswith("/izhevsk-tram-2024.txt")
    assert record.needs == ((0,),) and 0 in record.found[0].pieces and len(record.found) <= 10
    assert record.scores["right"] == 1.0 and record.scores["recall@1"] == 1.0
    stages = sum(ms for stage, ms in record.timings.items() if stage != "total_ms")
    assert 0 < stages <= record.timings["total_ms"] + 1


def test_a_follow_up_is_asked_after_the_questions_before_it(assistant: Assistant) -> None:
    asker = Asker(assistant, {})
    follow_up = GoldQuestion("f", "and in Linz?", "en", (), (), "unanswerable", history=(CORK,))
    assert asker.ask(follow_up).standalone == "How many street lights will Linz replace?"
    assert asker.ask(replace(follow_up, history=())).standalone == "and in Linz?"


def test_the_time_of_a_follow_up_is_that_of_its_own_answer(assistant: Assistant, pairs: OnnxPairReader) -> None:
    histories: list[list[Turn]] = []

    class Slow(Assistant):
        def ask(
            self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
        ) -> Answer:
            histories.append(list(history))
            time.sleep(0.2)
            return super().ask(question, where, history, today)

    reader = MultilingualReader(pairs, Settings().min_confidence)
    slow = Slow(assistant.index, reader, reader, Settings())
    lone = GoldQuestion("f", "and in Linz?", "en", (), (), "unanswerable")
    record = Asker(slow, {}).ask(replace(lone, history=(CORK, "and in Cork?", "and in Linz?")))
    waited = record.timings["total_ms"] - sum(ms for stage, ms in record.timings.items() if stage != "total_ms")
    assert 199 <= waited < 600, "of the 800 ms that all four questions waited"
    assert [len(history) for history in histories] == [0, 1, 2, 3]
    assert [turn.question for turn in histories[3][:1]] == [CORK] and all(turn.answer for turn in histories[3])


def test_a_question_is_asked_on_the_day_that_it_is_about(tmp_path: Path) -> None:
    texts = {"2024-02-10": "The tram will cost 50 million.", "2024-03-10": "The tram will cost 66 million."}
    articles = [make_article(f"file:///{day}.txt", text, published=day) for day, text in texts.items()]
    reader = MultilingualReader(ScriptedPairs({"50 million": 9.0, "66 million": 9.0}), 0.5)
    assistant = Assistant(_with_articles(tmp_path / "index", *articles), reader, reader, Settings())
    question = GoldQuestion(
        "t", "What did articles from last month say the tram will cost?", "en", (), (), "unanswerable"
    )
    found = {
        day: [hit.uri for hit in Asker(assistant, {}).ask(replace(question, as_of=day)).found]
        for day in ("2024-03-20", "2024-04-20")
    }
    assert found == {"2024-03-20": ["file:///2024-02-10.txt"], "2024-04-20": ["file:///2024-03-10.txt"]}


def test_a_question_that_the_reader_answers_for_a_chat_model_that_is_down_has_failed(
    sample_index_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FaultyServer([Reply(status=500)]) as server:
        settings = Settings(llm="openai:down", base_url=server.base_url, llm_retries=0)
        assistant = Assistant.open(sample_index_folder, settings)
        record = Asker(assistant, {}).ask(GoldQuestion("q", CORK, "en", (), (), "unanswerable"))
    assert record.status == "failed" and record.error and record.text == "" and not record.cited


def test_what_would_have_been_quoted_is_noted_where_nothing_was(tmp_path: Path) -> None:
    article = make_article("file:///a.txt", "The tram will cost 50 million.")
    reader = MultilingualReader(ScriptedPairs({"50 million": -3.0}), 0.5)
    assistant = Assistant(_with_articles(tmp_path / "index", article), reader, reader, Settings())
    question = GoldQuestion(
        "t", "What will the tram cost?", "en", ("50 million",), (Evidence("a", article.text),), "fact"
    )
    record = Asker(assistant, {"a": article}).ask(question)
    assert record.status == "abstained" and record.short == "" and record.cited == ()
    assert record.first is not None and record.first.answer == "50 million" and record.first.is_right
    assert record.scores["right"] == 0.0 and record.scores["recall@1"] == 1.0


def test_a_judge_is_asked_of_answers_alone(assistant: Assistant) -> None:
    judged: list[str] = []

    def judge(record: Record) -> float:
        judged.append(record.id)
        return 1.0

    asker = Asker(assistant, {}, judge)
    refused = asker.ask(GoldQuestion("r", "Who won the chess world championship?", "en", (), (), "unanswerable"))
    assert refused.status == "abstained" and judged == [] and "judged" not in refused.scores
    prepared = prepare(Asked(str(GOLD), limit=4), GoldSet(tuple(read_gold(GOLD)), None), assistant.index)
    answered = Asker(assistant, prepared.articles, judge).ask(prepared.questions[3])
    assert judged == ["g-ru-004"] and answered.scores["judged"] == 1.0


def test_a_question_that_cannot_be_asked_is_noted_with_its_error(assistant: Assistant) -> None:
    record = Asker(assistant, {}).ask(GoldQuestion("x", "And when?", "en", (), (), "follow-up", history=("?",)))
    assert record.status == "failed" and record.error.startswith("the question is empty")
    assert record.text == record.answerer == "" and not record.found and not record.cited and record.first is None


# What a run is told from another by


def test_a_run_is_described_so_that_it_can_be_repeated(sample_index: ArticleIndex) -> None:
    questions = read_gold(GOLD)[:3]
    run = described("gold.jsonl", questions, sample_index, Settings(passages=8))
    assert run["gold"]["name"] == "gold.jsonl" and run["gold"]["questions"] == 3
    assert run["index"]["articles"] == 28 and run["index"]["embedder"] == sample_index.embedder.name
    assert run["settings"]["passages"] == 8 and run["versions"]["python"] == sys.version.split()[0]
    assert run["machine"]["cores"] >= 1 and run["machine"]["processor"]
    assert json.loads(json.dumps(run)) == run

    def key(asked: list[GoldQuestion]) -> str:
        return str(described("other name", asked, sample_index, Settings())["gold"]["sha256"])

    same = run["gold"]["sha256"]
    assert key([replace(question, place="elsewhere") for question in questions]) == same
    assert key(questions[:2]) != same
    assert key([*questions[:2], replace(questions[2], as_of="2020-01-01")]) != same
    assert key([*questions[:2], replace(questions[2], answers=("another",))]) != same


def test_no_key_of_a_chat_model_is_written_down(sample_index: ArticleIndex) -> None:
    settings = Settings(llm="openai:m", base_url="http://user:secret@host/v1", llm_key_file="/keys/secret")
    assert "secret" not in json.dumps(described("gold.jsonl", [], sample_index, settings)["settings"])


def test_a_fingerprint_stands_for_articles_and_embedder_in_any_order(tmp_path: Path) -> None:
    one, two = make_article("file:///1", "One."), make_article("file:///2", "Two.")
    made = fingerprint(_with_articles(tmp_path / "a", one, two))
    assert fingerprint(_with_articles(tmp_path / "b", two, one)) == made and len(made) == 16
    assert fingerprint(_with_articles(tmp_path / "c", one)) != made
    assert fingerprint(_with_articles(tmp_path / "d", one, make_article("file:///2", "Two!"))) != made
    assert fingerprint(_with_articles(tmp_path / "e", one, two, name="other")) != made


# The folder of a run

RUN = {
    "gold": {"sha256": "g"},
    "index": {"fingerprint": "i"},
    "versions": {"rag-articles": "1"},
    "settings": {"passages": 16, "llm": ""},
    "judge": "",
}
QUESTIONS = [GoldQuestion(f"q{n}", f"Question {n}?", "en", (), (), "unanswerable") for n in range(5)]


def _answered(question: GoldQuestion) -> Record:
    return Record(
        id=question.id,
        question=question.question,
        language=question.language,
        kind=question.kind,
        history=(),
        answers=(),
        evidence=(),
        needs=(),
        standalone=question.question,
        status="abstained",
        confidence=0.1,
        answerer="reader",
        text="Статьи молчат",
        short="",
        found=(),
        cited=(),
        first=None,
        timings={},
    )


def _ask_some(folder: RunFolder, count: int) -> list[str]:
    asked: list[str] = []

    def ask(question: GoldQuestion) -> Record:
        if len(asked) == count:
            raise KeyboardInterrupt
        asked.append(question.id)
        return _answered(question)

    with suppress(KeyboardInterrupt):
        list(folder.ask_all(QUESTIONS, ask))
    return asked


def test_every_record_is_on_disk_when_it_is_given(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run", RUN)
    for number, record in enumerate(folder.ask_all(QUESTIONS, _answered), 1):
        on_disk = list(read_records(tmp_path / "deep" / "run" / "records.jsonl"))
        assert len(on_disk) == number and on_disk[-1] == record
    assert folder.records == [_answered(question) for question in QUESTIONS]


def test_what_was_begun_goes_on_and_what_is_done_is_not_asked(tmp_path: Path) -> None:
    assert _ask_some(RunFolder(tmp_path / "run", RUN), 2) == ["q0", "q1"]
    assert _ask_some(RunFolder(tmp_path / "run", {**RUN, "started": "later"}), 2) == ["q2", "q3"]
    last = RunFolder(tmp_path / "run", RUN)
    assert "started" not in last.run, "the run is described as it was begun"
    assert _ask_some(last, 9) == ["q4"]
    assert _ask_some(RunFolder(tmp_path / "run", RUN), 9) == []
    assert [record.id for record in read_records(tmp_path / "run" / "records.jsonl")] == [q.id for q in QUESTIONS]


@pytest.mark.parametrize("left", [-1, -2, -20, 1, 0])
def test_half_a_line_at_the_end_is_asked_again(left: int, tmp_path: Path) -> None:
    _ask_some(RunFolder(tmp_path / "run", RUN), 3)
    path = tmp_path / "run" / "records.jsonl"
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[: last + left] if left >= 0 else whole[:left])
    assert _ask_some(RunFolder(tmp_path / "run", RUN), 1) == ["q2"]
    assert path.read_bytes() == whole


def test_a_line_cut_within_a_character_is_asked_again(tmp_path: Path) -> None:
    _ask_some(RunFolder(tmp_path / "run", RUN), 1)
    path = tmp_path / "run" / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index("Статьи".encode()) + 1])
    assert _ask_some(RunFolder(tmp_path / "run", RUN), 1) == ["q0"]
    assert path.read_bytes() == whole


def test_a_broken_line_in_the_middle_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    _ask_some(RunFolder(tmp_path / "run", RUN), 3)
    path = tmp_path / "run" / "records.jsonl"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], lines[1][:40], lines[2], ""]))
    before = path.read_bytes()
    with pytest.raises(BadRequest, match=r"records\.jsonl, line 2: not a record"):
        RunFolder(tmp_path / "run", RUN)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gold": {"sha256": "other"}}, "other questions: name a new folder with --out"),
        ({"index": {"fingerprint": "other"}}, "other articles:"),
        ({"versions": {"rag-articles": "2"}}, "other version of rag:"),
        ({"settings": {"passages": 8, "llm": ""}}, "other passages (16 there, 8 now):"),
        ({"settings": {"passages": 16, "llm": "openai:m"}}, "other llm ('' there, 'openai:m' now):"),
        ({"judge": "openai:m"}, "other judge ('' there, 'openai:m' now):"),
        ({"gold": {"sha256": "x"}, "judge": "m"}, "other questions, judge ('' there, 'm' now):"),
    ],
)
def test_another_run_is_refused_by_what_differs(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    _ask_some(RunFolder(tmp_path / "run", RUN), 2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(BadRequest) as refused:
        RunFolder(tmp_path / "run", {**RUN, **changed})
    assert str(refused.value).startswith(f"{tmp_path / 'run'} holds another run, with other ")
    assert said in str(refused.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("dear diary")
    with pytest.raises(BadRequest, match=r"holds other files, such as notes\.txt: name a new folder with --out"):
        RunFolder(tmp_path / "mine", RUN)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(BadRequest, match=r"notes\.txt is a file: name a folder with --out"):
        RunFolder(tmp_path / "mine" / "notes.txt", RUN)
    with pytest.raises(BadRequest, match=r"cannot use .*/run for a run"):
        RunFolder(tmp_path / "mine" / "notes.txt" / "run", RUN)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "dear diary"


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_a_broken_run_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadRequest):
        RunFolder(tmp_path, RUN)


# The whole command


@pytest.fixture(scope="module")
def gold_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give six questions: a good part of them answered, one refused, one that cannot be asked."""
    failing = {"id": "fails", "question": "When?", "language": "en", "answers": [], "evidence": [], "history": ["?"]}
    unknown = {"id": "none", "question": "Who wrote Middlemarch?", "language": "en", "answers": [], "evidence": []}
    others = [{**question, "kind": "unanswerable"} for question in (failing, unknown)]
    return _lines(tmp_path_factory.mktemp("gold") / "gold.jsonl", *_gold(4), *others)


@pytest.fixture(scope="module")
def finished(gold_file: Path, sample_index_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main(["eval", "--gold", str(gold_file), "--out", str(out), "--index", str(sample_index_folder)]) == 1
    return out


def test_a_run_writes_records_figures_and_a_report(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == RUN_FILES
    records = list(read_records(finished / "records.jsonl"))
    assert [r.id for r in records] == ["g-ru-001", "g-ru-002", "g-ru-003", "g-ru-004", "fails", "none"]
    summary = read_json(finished / "summary.json")
    assert summary["questions"] == 6 and summary["failed"] == 1 and summary["run"] == read_json(finished / "run.json")
    assert summary["memory_mb"] > 100 and summary["seconds"] > 0
    figures = {(f["figure"], f["group"]): f for f in summary["figures"]}
    assert figures["recall@5", "all"]["value"] == 1.0 and figures["recall@5", "all"]["count"] == 4
    assert {f["group"] for f in summary["figures"]} >= {"all", "language ru", "kind temporal", "pair ru→ru"}
    failed = next(r for r in records if r.id == "fails")
    assert failed.status == "failed" and failed.error.startswith("the question is empty")
    assert "the question is empty" in (finished / "report.html").read_text("utf-8")


def test_a_finished_run_is_reported_anew_and_nothing_is_asked(
    finished: Path,
    gold_file: Path,
    sample_index_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "report.html").unlink()
    (out / "summary.json").unlink()

    asked: list[str] = []
    ask = Asker.ask

    def noted(self: Asker, gold: GoldQuestion) -> Record:
        asked.append(gold.id)
        return ask(self, gold)

    monkeypatch.setattr(Asker, "ask", noted)
    assert main(["eval", "--gold", str(gold_file), "--out", str(out), "--index", str(sample_index_folder)]) == 1
    shown = capsys.readouterr().out
    assert f"{out} holds 6 of 6 answers already" in shown and "could not be asked: 1" in shown
    assert "recall@5" in shown and f"report: {out / 'report.html'}" in shown
    assert {path.name for path in out.iterdir()} == RUN_FILES
    assert asked == ["fails"], "what failed is asked again, and nothing else"
    assert (out / "records.jsonl").read_bytes().startswith((finished / "records.jsonl").read_bytes())
    assert _steady(read_json(out / "summary.json")) == _steady(read_json(finished / "summary.json"))

    arguments = [
        "eval",
        "--gold",
        str(gold_file),
        "--limit",
        "3",
        "--out",
        str(out),
        "--index",
        str(sample_index_folder),
    ]
    assert main(arguments) == 2
    assert "holds another run, with other questions" in capsys.readouterr().err


def test_a_real_chat_model_answers_and_judges(
    smollm2: SmolServer, sample_index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, value in (
        ("PASSAGES", "4"),
        ("LLM_CONTEXT", "800"),
        ("LLM_ANSWER", "24"),
    ):  # so that it does not take long
        monkeypatch.setenv(f"RAG_{name}", value)
    gold = _lines(tmp_path / "gold.jsonl", *_gold(1))
    model = ["--llm", "openai:smollm2", "--base-url", smollm2.base_url]
    judge = ["--judge", "openai:smollm2", "--judge-url", smollm2.base_url]
    where = ["--gold", str(gold), "--index", str(sample_index_folder), "--out", str(tmp_path / "run")]
    assert main(["eval", *where, *model, *judge]) == 0
    records = list(read_records(tmp_path / "run" / "records.jsonl"))
    assert [record.answerer for record in records] == ["openai:smollm2"]
    assert all(record.status != "failed" for record in records)
    run = read_json(tmp_path / "run" / "run.json")
    assert run["settings"]["llm"] == "openai:smollm2" and run["judge"] == f"openai:smollm2 {smollm2.base_url}"


def test_an_index_that_changes_while_it_is_asked_is_noticed(
    gold_file: Path,
    sample_index_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(sample_index_folder, tmp_path / "index")
    (note,) = write_notes(tmp_path / "notes", [1])
    ask = Asker.ask

    def adding(self: Asker, gold: GoldQuestion) -> Record:
        if gold.id == "none":
            assert main(["add", str(note), "--index", str(tmp_path / "index")]) == 0
        return ask(self, gold)

    monkeypatch.setattr(Asker, "ask", adding)
    out = tmp_path / "run"
    assert main(["eval", "--gold", str(gold_file), "--out", str(out), "--index", str(tmp_path / "index")]) == 2
    assert "changed while it was asked" in capsys.readouterr().err
    assert not (out / "summary.json").exists()


def _begun(arguments: list[str], out: Path, is_enough: Callable[[int], bool]) -> subprocess.Popen[str]:
    """Start a run in a process of its own, and wait until so many questions are answered."""
    command = [sys.executable, "-m", "rag", "eval", *arguments, "--out", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=SUBPROCESS,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    records = out / "records.jsonl"
    for _ in range(24_000):
        if process.poll() is not None or (records.is_file() and is_enough(records.read_bytes().count(b"\n"))):
            break
        time.sleep(0.005)
    return process


def test_a_run_stopped_and_then_killed_goes_on_to_the_same_result(
    finished: Path,
    gold_file: Path,
    sample_index_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, out = ["--gold", str(gold_file), "--index", str(sample_index_folder)], tmp_path / "run"
    stopped = _begun(arguments, out, lambda count: count >= 1)
    stopped.send_signal(signal.SIGINT)
    shown, error = stopped.communicate(timeout=60)
    assert stopped.returncode == 130 and error == "rag: stopped; what was reported as done is kept\n"
    assert "Traceback" not in shown + error
    after_stop = (out / "records.jsonl").read_bytes()
    assert 1 <= after_stop.count(b"\n") < 6

    killed = _begun(arguments, out, lambda count: count > after_stop.count(b"\n"))
    killed.kill()
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    kept = (out / "records.jsonl").read_bytes()
    assert kept.startswith(after_stop)
    assert not (out / "summary.json").exists()
    with (out / "records.jsonl").open("ab") as file:
        file.write(b'{"id": "g-ru-0')  # as if it had been killed while it wrote

    asked: list[str] = []
    ask = Asker.ask

    def noted(self: Asker, gold: GoldQuestion) -> Record:
        asked.append(gold.id)
        return ask(self, gold)

    monkeypatch.setattr(Asker, "ask", noted)
    assert main(["eval", *arguments, "--out", str(out)]) == 1
    done = kept.count(b"\n")
    assert f"{out} holds {done} of 6 answers already" in capsys.readouterr().out
    whole = list(read_records(finished / "records.jsonl"))
    assert asked == [record.id for record in whole][done:]
    assert (out / "records.jsonl").read_bytes().startswith(kept)
    assert _outcomes(list(read_records(out / "records.jsonl"))) == _outcomes(whole)
    assert _steady(read_json(out / "summary.json")) == _steady(read_json(finished / "summary.json"))


def test_two_runs_are_compared_question_by_question(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    better = tmp_path / "better"
    shutil.copytree(finished, better)
    lines = (finished / "records.jsonl").read_text("utf-8").split("\n")
    worse = json.loads(lines[3])
    assert worse["scores"]["right"] == 1.0
    worse["scores"] |= {"right": 0.0, "containment": 0.0}
    (better / "records.jsonl").write_text("\n".join([*lines[:3], json.dumps(worse), *lines[4:]]), "utf-8")
    assert main(["eval", "compare", str(finished), str(better)]) == 0
    shown = capsys.readouterr().out
    assert f"A: {finished}, B: {better}; 6 questions" in shown
    assert "1 became wrong:\n  g-ru-004: Сколько народу влезает в одну «Каму-3»?" in shown
    assert "0 became right" in shown and "They differ in" not in shown
    containment = next(line for line in shown.split("\n") if line.startswith("containment "))
    assert "-0.250" in containment


def _squad(path: Path) -> Path:
    context = "The harbour of Linz was opened in 1962. Its cranes lift 40 tonnes each, and it employs 215 people."
    opened, employs = ([{"text": text, "answer_start": start}] for text, start in (("1962", 34), ("215", 3)))
    asked = [
        {"id": "1", "question": "When was the harbour of Linz opened?", "answers": opened},
        {"id": "2", "question": "Who wrote the novel Middlemarch?", "answers": [], "is_impossible": True},
        {"id": "3", "question": "How many work there?", "answers": employs},
    ]
    article = {"title": "Harbour_of_Linz", "paragraphs": [{"context": context, "qas": asked}]}
    path.write_text(json.dumps({"version": "2", "data": [article]}), "utf-8")
    return path


def test_a_public_set_is_asked_of_its_own_articles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    squad, out = _squad(tmp_path / "set.json"), tmp_path / "run"
    assert main(["eval", "--gold", f"squad:{squad}", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert f"questions: 2; articles: 1, in {out / 'index'}" in shown
    assert "left out: 1, for example squad:set/3: its answers do not stand where they are said to" in shown
    by_id = {record.id: record for record in read_records(out / "records.jsonl")}
    right, refused = by_id["squad:set/1"], by_id["squad:set/2"]
    assert right.short == "1962" and right.cited[0].quote == "The harbour of Linz was opened in 1962."
    assert right.scores["exact_match"] == 1.0 and right.scores["citation_precision"] == 1.0
    assert refused.status == "abstained" and refused.scores == {"right": 1.0}
    assert {path.name for path in out.iterdir()} == RUN_FILES | {"articles.sha256", "index"}
    run = read_json(out / "run.json")
    assert "set.json" in run["gold"]["name"] and len(run["gold"]["left_out"]) == 1
