import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ScriptedPairs, make_article, open_index

from index.embed import OnnxE5
from index.types import EVERYTHING, Passage, Where
from rag import messages
from rag.assistant import Assistant
from rag.reader.multilingual_reader import MultilingualReader
from rag.settings import Settings
from rag.terminal import converse, followed, origin_of, print_answer
from rag.types import Answer, Checking, Citation, Done, Event, Hit, Progress, Rewritten, Sentence, Turn

ARTICLE = make_article(
    "https://ex.org/pier",
    "The old pier of Norwell reopens in May.\nIt cost 2 million pounds, said the mayor.\n",
    "Pier to reopen",
    published="2024-03-05",
)
HIT = Hit(Passage(1, ARTICLE.id, 0, 0, len(ARTICLE.text), "en"), ARTICLE, 0.9, 1, 0.9, 0.5, None, 0.9)
QUOTE = Citation(
    1, ARTICLE.id, ARTICLE.title, ARTICLE.uri, ARTICLE.published, "en", 0, 39, ARTICLE.text[:39], 0, 39
)  # fmt: skip
QUESTION = "When does the pier reopen?"
ANSWER = Answer(
    question=QUESTION,
    standalone=QUESTION,
    text="May [1]",
    status="answered",
    confidence=0.876,
    citations=(QUOTE,),
    hits=(HIT,),
    language="en",
    as_of="2024-03-05",
    sentences=(Sentence("May", (QUOTE,), "supported"),),
)
NO_ANSWER = replace(ANSWER, text=messages.no_answer("en"), status="abstained", citations=(), sentences=(), as_of=None)


def _printed(answer: Answer, capsys: pytest.CaptureFixture[str]) -> str:
    print_answer(answer)
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_answer_comes_first_then_its_quote_then_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(ANSWER, capsys).splitlines() == [
        "May [1]",
        "",
        "  [1] “The old pier of Norwell reopens in May.”",
        "      Pier to reopen",
        "      2024-03-05, https://ex.org/pier, characters 0-39",
        "",
        "As of 2024-03-05. Confidence 87%; quoted word for word.",
    ]


def test_a_completed_question_is_shown_above(capsys: pytest.CaptureFixture[str]) -> None:
    out = _printed(replace(ANSWER, question="And when?", standalone="The pier: when?"), capsys)
    assert out.startswith("→ The pier: when?\n\nMay [1]\n")


def test_an_unsure_reader_says_so_and_a_chat_model_says_who_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    unsure = _printed(replace(ANSWER, status="partial"), capsys)
    assert unsure.startswith("Not sure, but this comes closest:\nMay [1]\n")
    written = _printed(replace(ANSWER, status="partial", answerer="openai:qwen3"), capsys)
    assert written.startswith("May [1]\n") and written.endswith(
        "As of 2024-03-05. Written by openai:qwen3; every sentence above was checked against its quote.\n"
    )
    undated = _printed(replace(ANSWER, as_of=None), capsys)
    assert undated.endswith("\nConfidence 87%; quoted word for word.\n")


def test_unsupported_sentences_and_notes_stand_apart_below(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Sentence("It cost 3 million pounds.", (), "other number", "3 million pounds")
    unlike = Sentence("The mayor wept.", (), "other meaning")
    answer = replace(
        ANSWER, answerer="openai:qwen3", unsupported=(wrong, unlike), notes=("A newer article says June.",)
    )
    assert _printed(answer, capsys).splitlines()[6:] == [
        "Written by the language model, but not found in the articles:",
        "  ✗ It cost 3 million pounds. (other number: 3 million pounds)",
        "  ✗ The mayor wept. (other meaning)",
        "",
        "A newer article says June.",
        "",
        "As of 2024-03-05. Written by openai:qwen3; every sentence above was checked against its quote.",
    ]


def test_without_an_answer_the_closest_articles_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(replace(NO_ANSWER, hits=(HIT, HIT)), capsys).splitlines() == [
        "The articles do not answer this question.",
        "",
        "Closest, but not an answer:",
        "  - Pier to reopen (2024-03-05, https://ex.org/pier)",
    ]
    assert _printed(replace(NO_ANSWER, hits=()), capsys).endswith("\n\nNo article passes the filters.\n")


def test_a_quote_in_another_language_names_it_and_long_lines_are_folded(capsys: pytest.CaptureFixture[str]) -> None:
    quote = replace(QUOTE, language="de", quote="Der Pier öffnet " * 20, end=320)
    out = _printed(replace(ANSWER, citations=(quote,), language="ru", text="май " * 60), capsys)
    assert "(язык цитаты: немецкий)" in out and "As of 2024-03-05." in out
    assert max(map(len, out.splitlines())) <= 100
    assert "\n      Pier öffnet" in out or "\n      Der" in out or "\n      öffnet" in out


def test_an_address_is_readable() -> None:
    assert origin_of(None, "file:///news/%D0%BF%D0%B8%D1%80%D1%81.txt") == "date unknown, /news/пирс.txt"
    assert origin_of("2024", "https://ex.org/a\x1b[0m") == "2024, https://ex.org/a[0m"


EVENTS: Sequence[Event] = (
    Progress("rewriting"),
    Rewritten(QUESTION),
    Progress("searching", 12345),
    Progress("writing", 8),
    Checking("The old pier of Norwell reopens in May. " * 5),
    Done(ANSWER),
)


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_what_is_being_done_in_one_line_and_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    assert followed(EVENTS) is ANSWER
    shown = screen.getvalue().split("\r\033[K")
    assert shown[1:4] == [
        "completing the question …",
        "searching 12,345 passages …",
        "the language model writes from 8 passages …",
    ]
    assert shown[4].startswith("checking: The old pier") and len(shown[4]) <= 80 and shown[5] == ""
    assert "\n" not in screen.getvalue()


def test_what_is_piped_shows_nothing_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert followed(EVENTS) is ANSWER
    assert capsys.readouterr() == ("", "")


def test_where_the_work_fails_the_line_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> Iterator[Event]:
        yield Progress("reading", 16)
        raise RuntimeError

    screen = _Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(RuntimeError):
        followed(failing())
    assert screen.getvalue().endswith("reading up to 16 of them …\r\033[K")


class Watched(Assistant):
    """An assistant that remembers what it was asked, with which history and filter."""

    asked: list[tuple[str, tuple[Turn, ...], Where]]

    def stream(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: object = None
    ) -> Iterator[Event]:
        self.asked.append((question, tuple(history), where))
        return super().stream(question, where, history)


@pytest.fixture
def assistant(sample_index_folder: Path, embedder: OnnxE5) -> Watched:
    reader = MultilingualReader(ScriptedPairs({"11,500": 40.0, "Lee Lumen": 30.0}), 0.5)
    watched = Watched(open_index(sample_index_folder, embedder), reader, reader, Settings(passages=8))
    watched.asked = []
    return watched


LIGHTS = "How many street lights will Cork replace?"
HELP = "/quit         leave (or Ctrl-D)"


def _converse(assistant: Assistant, monkeypatch: pytest.MonkeyPatch, *lines: str, where: Where = EVERYTHING) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return converse(assistant, where)


def test_a_conversation_completes_follow_ups_until_the_lines_end(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = Where(languages=("en",))
    assert _converse(assistant, monkeypatch, LIGHTS, "And who got the contract?", where=where) == 0
    out, err = capsys.readouterr()
    assert out.startswith("11,500 [1]\n") and "\n→ " in out and err == ""
    assert ">" not in out.splitlines()[0] and HELP not in out  # no prompt and no help where lines are piped
    (first, before, _), (second, history, _) = assistant.asked
    assert (first, before, second) == (LIGHTS, (), "And who got the contract?")
    assert history == (Turn(LIGHTS, "11,500 [1]", ("Cork to fit 11,500 street lights with bat-friendly amber LEDs",)),)
    assert all(asked[2] == where for asked in assistant.asked)


def test_new_starts_again(assistant: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _converse(assistant, monkeypatch, LIGHTS, "/new", "And who got the contract?") == 0
    assert [history for _, history, _ in assistant.asked] == [(), ()]


def test_as_asks_what_stands_there_and_is_remembered(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (LIGHTS, "/as And who got the contract?", "And when?")
    assert _converse(assistant, monkeypatch, *lines) == 0
    assert [(question, len(history)) for question, history, _ in assistant.asked] == [
        (LIGHTS, 0),
        ("And who got the contract?", 0),
        ("And when?", 2),
    ]
    assert assistant.asked[2][1][1].question == "And who got the contract?"
    assert "→ And who" not in capsys.readouterr().out


@pytest.mark.parametrize("word", ["/quit", "/exit", " /quit "])
def test_quit_leaves(assistant: Watched, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    assert _converse(assistant, monkeypatch, word, LIGHTS) == 0 and assistant.asked == []


@pytest.mark.parametrize("line", ["/x", "/help", "/newer", "/asking", "/", "/as"])
def test_an_unknown_command_shows_the_help(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert _converse(assistant, monkeypatch, line, LIGHTS) == 0
    assert HELP in capsys.readouterr().out and [question for question, _, _ in assistant.asked] == [LIGHTS]


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_an_empty_line_is_passed_over(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert _converse(assistant, monkeypatch, line, LIGHTS, line) == 0
    out, err = capsys.readouterr()
    assert out.startswith("11,500 [1]") and err == "" and len(assistant.asked) == 1


def test_a_line_that_cannot_be_asked_does_not_end_it(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _converse(assistant, monkeypatch, LIGHTS, "?!", "And who got the contract?") == 0
    out, err = capsys.readouterr()
    assert err == "rag: the question is empty: ask something in words, in any language\n"
    assert len(assistant.asked) == 3 and len(assistant.asked[2][1]) == 1 and out.count("word for word") == 2


def test_stopping_an_answer_goes_on_with_the_next_question(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = assistant.stream
    stopped: list[str] = []

    def stopping(question: str, where: Where, history: Sequence[Turn]) -> Iterator[Event]:
        if stopped:
            return plain(question, where, history)
        stopped.append(question)
        raise KeyboardInterrupt

    monkeypatch.setattr(assistant, "stream", stopping)
    assert _converse(assistant, monkeypatch, LIGHTS, LIGHTS) == 0
    out, err = capsys.readouterr()
    assert err == "stopped\n" and out.startswith("11,500 [1]") and assistant.asked[0][1] == ()


def test_an_answer_out_of_nothing_is_part_of_the_conversation(
    assistant: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("Who won the chess world championship in 1985?", LIGHTS)
    assert _converse(assistant, monkeypatch, *lines, where=Where(published_to="1999")) == 0
    assert capsys.readouterr().out.count("No article passes the filters.") == 2
    assert [question for question, _, _ in assistant.asked] == list(lines)
