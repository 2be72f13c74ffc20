"""Feedback: nothing that was reported as kept is lost, no two lines mix, and approved answers become gold questions."""

import json
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import SAMPLES, SUBPROCESS, make_article, open_index
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from eval.gold import named_articles, problems, read_gold
from index.articles import list_files
from index.build import add_articles
from index.embed import OnnxE5
from index.errors import BadRequest, IndexLocked, IndexProblem
from index.types import Article
from rag.assistant import Assistant
from rag.feedback import LONGEST_COMMENT, Feedback, FeedbackBook, Quoted, Summary, as_gold, export
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import OnnxPairReader
from rag.settings import Settings

ARTICLE = make_article("https://ex.org/pier", "The old pier of Norwell reopens in May.\n", "Pier to reopen")
QUOTED = Quoted(ARTICLE.id, ARTICLE.uri, ARTICLE.title, 0, 39, ARTICLE.text[:39], "May")
FEEDBACK = Feedback(
    id="f1",
    answer_id="a1",
    at="2025-05-31T10:00:00+00:00",
    verdict="up",
    comment="",
    question="And when?",
    standalone="When does the pier reopen?",
    answer="May [1]",
    status="answered",
    language="en",
    answerer="reader",
    citations=(QUOTED,),
)
WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from rag.feedback import FeedbackBook
from test_rag_feedback import FEEDBACK

name, comment = sys.argv[2], sys.argv[3] * 2000
book = FeedbackBook(Path(sys.argv[1]))
for number in range(int(sys.argv[4])):
    book.add(replace(FEEDBACK, answer_id=f"{name}-{number}", comment=comment))
    print(number, flush=True)
"""


def _writer(folder: Path, name: str, comment: str, count: int) -> "subprocess.Popen[str]":
    """Start a process that adds feedback and says of each when it is kept."""
    arguments = [sys.executable, "-c", WRITER, str(folder), name, comment, str(count)]
    return subprocess.Popen(arguments, env=SUBPROCESS, stdout=subprocess.PIPE, text=True)


def _find(article_id: str) -> Article | None:
    return ARTICLE if article_id == ARTICLE.id else None


def test_what_was_said_is_read_back_as_it_was(tmp_path: Path) -> None:
    FeedbackBook(tmp_path).add(FEEDBACK)
    assert list(FeedbackBook(tmp_path)) == [FEEDBACK]


def test_an_index_that_nobody_spoke_about_has_no_feedback(tmp_path: Path) -> None:
    book = FeedbackBook(tmp_path)
    assert list(book) == []
    assert book.summary() == Summary(up=0, down=0, commented=0, bad_lines=0)


def test_a_change_of_mind_replaces_what_was_said_and_comes_last(tmp_path: Path) -> None:
    book = FeedbackBook(tmp_path)
    changed = replace(FEEDBACK, id="f3", verdict="down", comment="No: June")
    other = replace(FEEDBACK, id="f2", answer_id="a2")
    for feedback in (FEEDBACK, other, changed):
        book.add(feedback)
    assert list(book) == [other, changed]
    assert book.summary() == Summary(up=1, down=1, commented=1, bad_lines=0)


HOSTILE = st.text(st.characters() | st.sampled_from('\n\r\u2028\u2029\x85\x00\x1e"\\{}\ud800\udfff'))


@given(HOSTILE, HOSTILE)
def test_no_comment_breaks_its_line_or_another(
    tmp_path_factory: pytest.TempPathFactory, comment: str, title: str
) -> None:
    book = FeedbackBook(tmp_path_factory.mktemp("book"))
    hostile = replace(FEEDBACK, comment=comment, citations=(replace(QUOTED, title=title),))
    other = replace(FEEDBACK, answer_id="a2")
    book.add(hostile)
    book.add(other)
    first, second = book
    assert first.comment == comment.encode("utf-8", "replace").decode()
    assert first.citations[0].title == title.encode("utf-8", "replace").decode()
    assert second == other
    assert book.path.read_bytes().count(b"\n") == 2


def test_a_comment_may_not_be_a_book(tmp_path: Path) -> None:
    book = FeedbackBook(tmp_path)
    longest = replace(FEEDBACK, comment="x" * LONGEST_COMMENT)
    book.add(longest)
    with pytest.raises(BadRequest, match="4,001 characters"):
        book.add(replace(FEEDBACK, comment="x" * (LONGEST_COMMENT + 1)))
    assert list(book) == [longest]


def test_feedback_has_an_id_and_a_time_of_its_own(sample_answers: "Answers") -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    first, second = (Feedback.on(sample_answers.approved[0], "a", "up") for _ in range(2))
    assert first.id != second.id
    assert before <= datetime.fromisoformat(first.at) <= datetime.now(UTC)
    assert first.answer.startswith("11,500 [1]")


def test_a_line_torn_anywhere_is_passed_over_and_the_next_stands_alone(tmp_path: Path) -> None:
    book = FeedbackBook(tmp_path)
    book.add(FEEDBACK)
    whole = book.path.read_bytes()
    book.add(replace(FEEDBACK, answer_id="torn", comment="я"))
    both = book.path.read_bytes()
    last = replace(FEEDBACK, answer_id="last")
    for end in range(len(whole), len(both), 7):
        book.path.write_bytes(both[:end])
        book.add(last)
        assert list(book) == [FEEDBACK, last]
        assert book.summary().bad_lines == (end > len(whole))


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b"7",
        b"{}",
        b"[" * 100_000,
        b'"\xff"',
        json.dumps({"id": "f9", "answer_id": "a9"}).encode(),
    ],
)
def test_a_line_that_is_no_feedback_is_counted_and_passed_over(tmp_path: Path, line: bytes) -> None:
    book = FeedbackBook(tmp_path)
    book.path.write_bytes(line + b"\n\n")
    book.add(FEEDBACK)
    assert list(book) == [FEEDBACK]
    assert book.summary().bad_lines == 1


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "feedback.jsonl").mkdir()
    with pytest.raises(IndexProblem, match=r"cannot write to .*feedback\.jsonl"):
        FeedbackBook(tmp_path).add(FEEDBACK)
    with pytest.raises(IndexProblem, match=r"cannot read .*feedback\.jsonl"):
        FeedbackBook(tmp_path).read()


def test_who_cannot_have_the_lock_is_told_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.feedback._PATIENCE", 0.1)
    book = FeedbackBook(tmp_path)
    is_refused = pytest.raises(IndexLocked, match="another process is writing")
    with FileLock(tmp_path / "feedback.lock"), ThreadPoolExecutor(1) as other, is_refused:
        other.submit(book.add, FEEDBACK).result()
    assert list(book) == []


def test_a_killed_process_loses_nothing_that_it_said_was_kept(tmp_path: Path) -> None:
    kept: list[str] = []
    for life, after in enumerate((1, 20, 77, 150)):
        process = _writer(tmp_path, f"life{life}", "я\n", 100_000)
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.kill()
        said = after + len(process.stdout.read().split())
        process.wait()
        kept += [f"life{life}-{number}" for number in range(said)]
    contents = FeedbackBook(tmp_path).read()
    found = {feedback.answer_id for feedback in contents.records}
    assert set(kept) <= found
    assert len(found) <= len(kept) + 4  # of each life one line more may have been written but not reported
    assert contents.bad_lines <= 4
    assert {feedback.comment for feedback in contents.records} == {"я\n" * 2000}


def test_processes_and_threads_that_append_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    processes = [_writer(tmp_path, name, name, 100) for name in "ab"]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # both are at it
    book = FeedbackBook(tmp_path)

    def add_some(name: str) -> None:
        for number in range(50):
            book.add(replace(FEEDBACK, answer_id=f"{name}-{number}", comment=name * 2000))

    threads = [threading.Thread(target=add_some, args=(name,)) for name in "cd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    contents = book.read()
    assert contents.bad_lines == 0
    assert Counter(f.comment for f in contents.records) == {c * 2000: 100 if c in "ab" else 50 for c in "abcd"}
    assert all(f.answer_id[0] == f.comment[0] for f in contents.records)


# Gold questions


def test_an_approved_answer_becomes_a_fact_under_its_completed_question() -> None:
    gold = as_gold([FEEDBACK], _find)
    assert gold.questions == [
        {
            "id": "feedback-f1",
            "question": "When does the pier reopen?",
            "language": "en",
            "answers": ["May"],
            "evidence": [{"article": "https://ex.org/pier", "quote": "The old pier of Norwell reopens in May."}],
            "kind": "fact",
        }
    ]
    assert gold.drafts == []


def test_of_a_question_approved_twice_the_newest_answer_counts() -> None:
    again = replace(FEEDBACK, id="f2", answer_id="a2", standalone="when does THE pier reopen?")
    assert [row["id"] for row in as_gold([FEEDBACK, again], _find).questions] == ["feedback-f2"]


def test_the_same_quote_and_answer_cited_twice_stand_once() -> None:
    (row,) = as_gold([replace(FEEDBACK, citations=(QUOTED, QUOTED))], _find).questions
    assert (len(row["answers"]), len(row["evidence"])) == (1, 1)


@pytest.mark.parametrize(
    "feedback",
    [
        replace(FEEDBACK, verdict="down", comment="June"),
        replace(FEEDBACK, answer="May [1]\nJune [2]"),
        replace(FEEDBACK, citations=()),
        replace(FEEDBACK, citations=(replace(QUOTED, article_id="gone"),)),
        replace(FEEDBACK, citations=(replace(QUOTED, quote="The old pier closes."),)),
        replace(FEEDBACK, citations=(replace(QUOTED, quote="", answer=""),)),
        replace(FEEDBACK, status="abstained", verdict="down", citations=()),
    ],
)
def test_what_is_not_known_to_be_right_is_a_draft_that_no_check_accepts_as_it_is(
    tmp_path: Path, feedback: Feedback
) -> None:
    gold = as_gold([feedback], _find)
    assert gold.questions == []
    (draft,) = gold.drafts
    assert (draft["shown"], draft["comment"], draft["answers"]) == (feedback.answer, feedback.comment, [])
    with pytest.raises(BadRequest, match="is no field; there are id, question"):
        read_gold(export(gold, tmp_path)[1])


class Answers:
    """Answers of the sample index: some with quotes, one a follow-up, one an abstention; and its articles."""

    def __init__(self, assistant: Assistant) -> None:
        self.index = assistant.index
        first = assistant.ask("How many street lights will Cork replace?")
        follow_up = assistant.ask("and in Linz?", history=[first.turn])
        others = map(
            assistant.ask,
            (
                "Какую фирму участники «Световода» выбрали управлять кластером?",
                "Where is the ocean technology cluster TideGate?",
            ),
        )
        self.approved = [first, follow_up, *others]
        self.refused = assistant.ask("Who won the chess championship in Reykjavik in 1972?")


@pytest.fixture(scope="module")
def sample_answers(sample_index_folder: Path, embedder: OnnxE5, pairs: OnnxPairReader) -> Answers:
    settings = Settings()
    reader = MultilingualReader(pairs, settings.min_confidence)
    return Answers(Assistant(open_index(sample_index_folder, embedder), reader, reader, settings))


def test_approved_answers_of_a_real_index_pass_the_check_over_its_articles(
    tmp_path: Path, sample_answers: Answers
) -> None:
    book = FeedbackBook(tmp_path)
    answers = [*sample_answers.approved, sample_answers.refused]
    for number, answer in enumerate(answers):
        book.add(Feedback.on(answer, f"a{number}", "up"))
    gold = as_gold(book, sample_answers.index.article)
    assert gold.drafts == []
    questions = read_gold(export(gold, tmp_path)[0])
    assert list(problems(questions, named_articles(SAMPLES))) == []
    assert [question.kind for question in questions] == ["fact", "fact", "fact", "fact", "unanswerable"]
    assert questions[0].answers == ("11,500",)
    assert questions[1].question == "How many street lights will Linz replace?"
    named = {evidence.article.partition(":")[0] for question in questions for evidence in question.evidence}
    assert named == {"file", "https"}  # TideGate is from a line of wire.jsonl with a URL of its own


def test_an_article_that_changed_since_makes_a_draft_of_what_cited_it(
    tmp_path: Path, embedder: OnnxE5, sample_answers: Answers
) -> None:
    (tmp_path / "news").mkdir()
    cork = next(f for f in list_files([SAMPLES]) if isinstance(f, Path) and f.name.startswith("cork"))
    changed = cork.read_text("utf-8").replace("11,500", "12,600")
    (tmp_path / "news" / cork.name).write_text(changed, "utf-8")
    index = open_index(tmp_path / "index", embedder)
    add_articles(index, [tmp_path / "news"])
    feedback = Feedback.on(sample_answers.approved[0], "a", "up")
    assert len(as_gold([feedback], sample_answers.index.article).questions) == 1
    assert len(as_gold([feedback], index.article).drafts) == 1


def test_gold_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot write"):
        export(as_gold([], _find), tmp_path / "none")
