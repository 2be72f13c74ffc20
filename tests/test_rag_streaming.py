import asyncio
import statistics
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from conftest import ScriptedPairs, open_index

from index.embed import OnnxE5
from index.errors import BadRequest, ChatModelFailed
from index.language import sentence_spans
from index.types import Where
from rag.assistant import Assistant
from rag.reader.multilingual_reader import MultilingualReader
from rag.settings import Settings
from rag.types import (
    Answer,
    Checked,
    Checking,
    Done,
    Event,
    Hit,
    Progress,
    Question,
    Retrieved,
    Rewritten,
    Turn,
)
from rag.verify import Verifier
from rag.writing import Writer

FAILS = ChatModelFailed("openai:test is overloaded (503); try again")
Piece = str | ChatModelFailed | float  # text, a failure, or seconds of silence


class ScriptedChat:
    """A chat model that gives the pieces it was given, one list a request, and notes how each request ended."""

    name = "openai:test"
    prompt_tokens = 6000

    def __init__(self, *replies: Sequence[Piece]) -> None:
        self._replies = replies
        self.requests: list[str] = []
        self.ended: list[str] = []
        self._streams: list[Generator[str, None, None]] = []  # held, for to be forgotten would end them as well

    def count_tokens(self, text: str) -> int:
        return len(text) // 3

    def stream(self, rules: str, request: str) -> Generator[str, None, None]:
        self._streams.append(self._pieces(self._reply(request)))
        return self._streams[-1]

    def _pieces(self, reply: Sequence[Piece]) -> Generator[str, None, None]:
        ending = "closed"
        try:
            for piece in reply:
                if isinstance(piece, float):
                    time.sleep(piece)
                elif isinstance(piece, ChatModelFailed):
                    ending = "failed"
                    raise piece
                else:
                    yield piece
            ending = "finished"
        finally:
            self.ended.append(ending)

    async def astream(self, rules: str, request: str) -> AsyncGenerator[str, None]:
        reply = self._reply(request)
        ending = "closed"
        try:
            for piece in reply:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                elif isinstance(piece, ChatModelFailed):
                    ending = "failed"
                    raise piece
                else:
                    yield piece
            ending = "finished"
        except asyncio.CancelledError:
            ending = "cancelled"
            raise
        finally:
            self.ended.append(ending)

    def _reply(self, request: str) -> Sequence[Piece]:
        self.requests.append(request)
        return self._replies[min(len(self.requests), len(self._replies)) - 1]


QUESTION = "How many street lights will Cork replace?"
LIGHTS = "Cork is to replace 11,500 street lights with dimmable LEDs by the summer of 2025"
CONTRACT = "The €19.6 million contract was awarded to Lee Lumen, a company based in Ballincollig"
REPAIR = "Lee Lumen must repair any failed light within 72 hours"
INVENTED = "Cork is to replace 99,000 street lights with gas lamps by the summer of 2031"
FOREIGN = "The lights will be paid for by the mayor of Dublin, Zoltan Kovacs"

Opened = Callable[..., Assistant]


@pytest.fixture(scope="module")
def opened(sample_index_folder: Path, embedder: OnnxE5) -> Opened:
    """Give a function that makes an assistant on the sample articles whose reader finds one figure in Cork's."""
    index, verifier = open_index(sample_index_folder, embedder), Verifier(embedder)
    reader = MultilingualReader(ScriptedPairs({"11,500": 40.0}), 0.5)

    def make(chat: ScriptedChat | None, settings: Settings = Settings()) -> Assistant:  # noqa: B008 - it is frozen
        return Assistant(index, reader, reader, settings, Writer(chat, verifier) if chat else None)

    return make


def _words(*sentences: str) -> list[Piece]:
    """Give sentences, each marked as from the first passage, in the pieces that models write."""
    return [f"{word} " for sentence in sentences for word in f"{sentence} [1].".split()]


def _answer(events: Sequence[Event]) -> Answer:
    assert isinstance(events[-1], Done) and not any(isinstance(event, Done) for event in events[:-1])
    return events[-1].answer


def _stages(events: Sequence[Event]) -> list[str]:
    return [event.stage if isinstance(event, Progress) else type(event).__name__ for event in events]


async def _collected(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


def _without_timings(events: Sequence[Event]) -> list[Event]:
    return [Done(replace(event.answer, timings={})) if isinstance(event, Done) else event for event in events]


def test_events_come_in_the_order_of_the_work(opened: Opened) -> None:
    chat = ScriptedChat(_words(LIGHTS, INVENTED, CONTRACT))
    assistant = opened(chat)
    events = list(assistant.stream(QUESTION))
    before = ["rewriting", "Rewritten", "searching", "reading", "Retrieved", "writing"]
    assert _stages(events) == [*before, *["Checking", "Checked"] * 3, "Done"]
    progress = [event.count for event in events if isinstance(event, Progress)]
    assert progress == [0, assistant.index.count_passages(), 16, 8]
    assert events[1] == Rewritten(QUESTION)
    retrieved = next(event for event in events if isinstance(event, Retrieved))
    answer = _answer(events)
    assert retrieved.hits == answer.hits and len(retrieved.hits) == 16 and "cork" in retrieved.hits[0].article.uri
    checked = [event.sentence for event in events if isinstance(event, Checked)]
    assert [sentence.is_supported for sentence in checked] == [True, False, True]
    assert tuple(s for s in checked if s.is_supported) == answer.sentences
    assert tuple(s for s in checked if not s.is_supported) == answer.unsupported
    assert answer.text.startswith(f"{LIGHTS}. [1]") and "repair" not in answer.text and answer.status == "partial"
    assert answer.answerer == "openai:test" and answer.notes == () and answer.as_of == "2023-09-28"
    assert chat.ended == ["finished"]


def test_a_sentence_is_announced_checked_and_shown_while_the_one_after_it_is_written(opened: Opened) -> None:
    said: list[str] = []

    class Watched(ScriptedChat):
        def stream(self, rules: str, request: str) -> Generator[str, None, None]:
            for piece in super().stream(rules, request):
                said.append(piece)
                yield piece

    shown = 0
    announced = ""
    for event in opened(Watched(_words(LIGHTS, CONTRACT, REPAIR))).stream(QUESTION):
        if isinstance(event, Checking):
            announced = event.text
        if isinstance(event, Checked):
            assert event.sentence.text == announced
            shown += 1
            written = len("".join(said).split("]. ")) - 1
            assert shown <= written <= shown + 1
    assert shown == 3


def test_an_answer_that_is_all_supported_is_sure_where_its_source_is(opened: Opened) -> None:
    answer = opened(ScriptedChat(_words(LIGHTS, CONTRACT))).ask(QUESTION)
    assert answer.status == "answered" and answer.confidence > 0.8 and answer.unsupported == ()
    assert [citation.marker for citation in answer.citations] == [1, 2]
    assert answer.turn == Turn(QUESTION, answer.text, (answer.citations[0].title,) * 2)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_first_event_comes_at_once(opened: Opened, is_async: bool) -> None:
    assistant = opened(ScriptedChat(_words(LIGHTS)))

    async def first() -> Event:
        events = assistant.astream(QUESTION)
        event = await anext(events)
        await events.aclose()
        return event

    waits = []
    for _ in range(20):
        started = time.perf_counter()
        event = asyncio.run(first()) if is_async else next(iter(assistant.stream(QUESTION)))
        waits.append(time.perf_counter() - started)
        assert event == Progress("rewriting")
    print(f"first event: {1000 * statistics.median(waits):.1f} ms")
    assert statistics.median(waits) < 0.3


REPLIES: list[list[Piece]] = [
    _words(LIGHTS, CONTRACT),
    _words(INVENTED),
    ["NOT_IN_PASSAGES"],
    [FAILS],
    [*_words(LIGHTS, CONTRACT), "And ", FAILS],
    [*_words(INVENTED, FOREIGN), "And ", FAILS],
]


@pytest.mark.parametrize(
    "reply", REPLIES, ids=["supported", "invented", "not found", "fails", "breaks off", "fails late"]
)
def test_async_events_are_those_of_sync(opened: Opened, reply: list[Piece]) -> None:
    sync, asynchronous = ScriptedChat(reply), ScriptedChat(reply)
    events = list(opened(sync).stream(QUESTION))
    also = asyncio.run(_collected(opened(asynchronous).astream(QUESTION)))
    assert _without_timings(also) == _without_timings(events)
    assert asynchronous.requests == sync.requests and asynchronous.ended == sync.ended
    alone = asyncio.run(opened(ScriptedChat(reply)).aask(QUESTION))
    assert replace(alone, timings={}) == replace(_answer(events), timings={}) and set(alone.timings) == {
        *("rewrite_ms", "retrieve_ms", "rerank_ms", "answer_ms")
    }


def _upto(events: Iterator[Event], kind: type[Event]) -> None:
    next(event for event in events if isinstance(event, kind))


@pytest.mark.parametrize("kind", [Checking, Checked])
def test_closing_the_generator_ends_the_request(opened: Opened, kind: type[Event]) -> None:
    chat = ScriptedChat(_words(LIGHTS, CONTRACT, REPAIR))
    events = opened(chat).stream(QUESTION)
    _upto(events, kind)
    assert chat.ended == []
    cast(Generator[Event, None, None], events).close()
    assert chat.ended == ["closed"] and len(chat.requests) == 1


def test_closing_before_anything_is_written_makes_no_request(opened: Opened) -> None:
    chat = ScriptedChat(_words(LIGHTS))
    events = opened(chat).stream(QUESTION)
    _upto(events, Retrieved)
    cast(Generator[Event, None, None], events).close()
    assert chat.requests == [] and list(events) == []


@pytest.mark.parametrize("kind", [Checking, Checked])
def test_closing_the_async_generator_ends_the_request(opened: Opened, kind: type[Event]) -> None:
    chat = ScriptedChat(_words(LIGHTS, CONTRACT, REPAIR))

    async def leave() -> None:
        events = opened(chat).astream(QUESTION)
        async for event in events:
            if isinstance(event, kind):
                break
        assert chat.ended == []
        await events.aclose()

    asyncio.run(leave())
    assert chat.ended == ["closed"]


def test_cancelling_the_task_while_the_model_writes_ends_the_request(opened: Opened) -> None:
    chat = ScriptedChat([*_words(LIGHTS), "And ", 3600.0, *_words(CONTRACT)])

    async def cancelled() -> float:
        task = asyncio.create_task(opened(chat).aask(QUESTION))
        while not chat.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.perf_counter() - started

    assert asyncio.run(cancelled()) < 1 and chat.ended == ["cancelled"]


def test_cancelling_the_task_while_passages_are_read_asks_the_model_nothing(
    sample_index_folder: Path, embedder: OnnxE5
) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    class Slow(MultilingualReader):
        def rerank(self, question: Question, hits: list[Hit]) -> list[Hit]:
            begun.set()
            go_on.wait(30)
            done.set()
            return super().rerank(question, hits)

    chat, reader = ScriptedChat(_words(LIGHTS)), Slow(ScriptedPairs({}), 0.5)
    index = open_index(sample_index_folder, embedder)
    assistant = Assistant(index, reader, reader, Settings(), Writer(chat, Verifier(embedder)))

    async def cancelled() -> float:
        task = asyncio.create_task(assistant.aask(QUESTION))
        await asyncio.to_thread(begun.wait)
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waited = time.perf_counter() - started
        go_on.set()
        return waited

    assert asyncio.run(cancelled()) < 1 and done.is_set() and chat.requests == []


def test_others_go_on_while_an_answer_is_made(opened: Opened) -> None:
    assistant = opened(ScriptedChat([*_words(LIGHTS), 0.1, *_words(CONTRACT)]))

    async def beats() -> tuple[Answer, int]:
        task, count = asyncio.create_task(assistant.aask(QUESTION)), 0
        while not task.done():
            await asyncio.sleep(0.005)
            count += 1
        return await task, count

    answer, count = asyncio.run(beats())
    assert len(answer.sentences) == 2 and count >= 10


@pytest.mark.parametrize(
    ("question", "note"),
    [
        (QUESTION, "The language model could not answer, so the articles are quoted instead: "),
        (
            "Сколько уличных фонарей заменят в Корке?",
            "Языковая модель не ответила, поэтому вместо неё цитируются статьи: ",
        ),
        (
            "Wie viele Straßenlaternen ersetzt die Stadt Cork?",
            "Das Sprachmodell konnte nicht antworten; stattdessen werden die Artikel zitiert: ",
        ),
    ],
)
def test_where_the_model_fails_the_reader_answers_with_a_note(opened: Opened, question: str, note: str) -> None:
    chat = ScriptedChat([FAILS])
    events = list(opened(chat).stream(question))
    answer = _answer(events)
    assert answer.answerer == "reader" and answer.text == "11,500 [1]" and answer.notes == (f"{note}{FAILS}",)
    assert replace(answer, notes=(), timings={}) == replace(opened(None).ask(question), timings={})
    assert _stages(events)[-3:] == ["writing", "Checked", "Done"] and chat.ended == ["failed"]


def test_where_the_model_breaks_off_what_is_supported_stays(opened: Opened) -> None:
    answer = opened(ScriptedChat([*_words(LIGHTS, INVENTED, CONTRACT), "And ", FAILS])).ask(QUESTION)
    assert answer.answerer == "openai:test" and answer.text == f"{LIGHTS}. [1]" and answer.status == "partial"


def test_where_the_model_breaks_off_a_note_says_so(opened: Opened) -> None:
    answer = opened(ScriptedChat([*_words(LIGHTS, INVENTED, CONTRACT), "And ", FAILS])).ask(QUESTION)
    assert answer.notes == (f"The language model broke off; what was checked until then is shown: {FAILS}",)


def test_where_the_model_breaks_off_after_one_sentence_it_stays(opened: Opened) -> None:
    answer = opened(ScriptedChat([*_words(LIGHTS), FAILS])).ask(QUESTION)
    assert answer.answerer == "openai:test" and answer.text == f"{LIGHTS}. [1]"


def test_where_the_model_breaks_off_half_a_sentence_is_not_shown(opened: Opened) -> None:
    half: list[Piece] = ["Lee Lumen ", "must ", "repair ", "any ", "failed "]
    answer = opened(ScriptedChat([*_words(LIGHTS, CONTRACT), *half, FAILS])).ask(QUESTION)
    assert answer.text.startswith(f"{LIGHTS}. [1]") and "repair" not in answer.text


def test_where_the_model_breaks_off_before_anything_is_supported_the_reader_answers(opened: Opened) -> None:
    events = list(opened(ScriptedChat([*_words(INVENTED, FOREIGN), "And ", FAILS])).stream(QUESTION))
    answer = _answer(events)
    assert answer.answerer == "reader" and answer.text == "11,500 [1]" and answer.unsupported == ()
    assert answer.notes[0].startswith("The language model could not answer") and len(answer.notes) == 1
    checked = [event.sentence.is_supported for event in events if isinstance(event, Checked)]
    assert checked[0] is False and checked[-1] is True  # the reader's quote comes as checked as well


@pytest.mark.parametrize("reply", ["NOT_IN_PASSAGES", "**Not in passages.**\n", "<think>Hm.</think>NOT_IN_PASSAGES"])
def test_where_the_model_finds_no_answer_there_is_none(opened: Opened, reply: str) -> None:
    events = list(opened(ScriptedChat([reply])).stream(QUESTION))
    answer = _answer(events)
    assert answer.status == "abstained" and answer.text == "The articles do not answer this question."
    assert not any((answer.citations, answer.sentences, answer.unsupported, answer.notes))
    assert answer.answerer == "openai:test" and len(answer.hits) == 16 and answer.as_of is None
    assert not any(isinstance(event, Checking | Checked) for event in events)


def test_where_nothing_is_supported_there_is_no_answer(opened: Opened) -> None:
    answer = opened(ScriptedChat(_words(INVENTED, FOREIGN))).ask(QUESTION)
    assert answer.status == "abstained" and answer.text == "The articles do not answer this question."
    assert not any((answer.citations, answer.sentences)) and answer.answerer == "openai:test"
    assert [(s.text, s.verdict) for s in answer.unsupported] == [
        (f"{INVENTED}.", "other number"),
        (f"{FOREIGN}.", "other name"),
    ]
    assert answer.unsupported[0].detail == "99,000"
    hidden = opened(ScriptedChat(_words(INVENTED)), Settings(show_unsupported=False)).ask(QUESTION)
    assert hidden.status == "abstained" and hidden.unsupported == ()


HISTORY = (Turn(QUESTION, "11,500 [1]", ("Cork to fit 11,500 street lights",)),)


def test_a_follow_up_is_rewritten_by_the_model(opened: Opened) -> None:
    chat = ScriptedChat(["Which company ", "got the contract for Cork's ", "street lights?"], _words(CONTRACT))
    events = list(opened(chat).stream("And who got the contract?", history=HISTORY))
    answer, standalone = _answer(events), "Which company got the contract for Cork's street lights?"
    assert events[0] == Progress("rewriting", 1) and events[1] == Rewritten(standalone)
    assert answer.question == "And who got the contract?" and answer.standalone == standalone == answer.turn.question
    rewriting, writing = chat.requests
    assert QUESTION in rewriting and "11,500 [1]" in rewriting and "And who got the contract?" in rewriting
    assert f"<question>{standalone}</question>" in writing and "And who got" not in writing
    assert answer.text == f"{CONTRACT}. [1]" and chat.ended == ["finished", "finished"]


@pytest.mark.parametrize("reply", ["I cannot do that.", "", "Who?\nWhat?", "NOT_IN_PASSAGES", "x" * 3000])
def test_what_is_no_question_is_not_searched_for(opened: Opened, reply: str) -> None:
    question = "And who got the contract?"
    answer = opened(ScriptedChat([reply], _words(CONTRACT))).ask(question, history=HISTORY)
    by_rules = opened(None).ask(question, history=HISTORY)
    assert answer.standalone == by_rules.standalone and "Cork" in answer.standalone
    assert answer.text == f"{CONTRACT}. [1]" and answer.notes == ()


def test_a_rewritten_question_is_without_control_characters(opened: Opened) -> None:
    chat = ScriptedChat(["Who got \x1b[2Jthe street light contract in Cork?"], _words(CONTRACT))
    assert opened(chat).ask("And who got the contract?", history=HISTORY).standalone.isprintable()


def test_where_rewriting_fails_rules_do_it_and_the_model_is_not_asked_again(opened: Opened) -> None:
    chat, question = ScriptedChat([FAILS], _words(CONTRACT)), "And who got the contract?"
    answer = opened(chat).ask(question, history=HISTORY)
    by_rules = opened(None).ask(question, history=HISTORY)
    assert len(chat.requests) == 1 and answer.answerer == "reader" and len(answer.notes) == 1
    assert answer.notes[0].startswith("The language model could not answer") and str(FAILS) in answer.notes[0]
    assert replace(answer, notes=(), timings={}) == replace(by_rules, timings={})


def test_without_history_nothing_is_rewritten(opened: Opened) -> None:
    chat = ScriptedChat(_words(LIGHTS))
    opened(chat).ask("And who got the contract?")
    assert len(chat.requests) == 1 and "<passage number" in chat.requests[0]


def test_markers_count_the_quotes_in_the_order_of_the_answer(opened: Opened) -> None:
    hits = opened(None).ask(QUESTION).hits
    numbers = [n for n, hit in enumerate(hits[:8], 1) if "linz" in hit.article.uri]
    linz = hits[numbers[0] - 1]
    start, end = next(sentence_spans(linz.text, "de"))
    sentence = linz.text[start:end]
    reply = f"{sentence} [{numbers[0]}] {CONTRACT} [1]. {LIGHTS} [1]. The contract went to Lee Lumen [1]."
    answer = opened(ScriptedChat([reply])).ask(QUESTION)
    assert [[c.marker for c in s.citations] for s in answer.sentences] == [[1], [2], [3], [2]]
    assert [c.marker for c in answer.citations] == [1, 2, 3]
    assert "linz" in answer.citations[0].uri and answer.citations[0].quote == sentence
    assert answer.text.endswith(f"{LIGHTS}. [3] The contract went to Lee Lumen. [2]")


def test_a_model_that_goes_on_for_ever_is_stopped(opened: Opened) -> None:
    chat = ScriptedChat([*_words(LIGHTS), *["And on and on " * 100] * 1000])
    answer = opened(chat).ask(QUESTION)
    assert chat.ended == ["closed"] and answer.sentences[0].text == f"{LIGHTS}."


def test_without_a_chat_model_nothing_is_asked_or_written(opened: Opened) -> None:
    events = list(opened(None).stream("And the street lights of Cork?", history=HISTORY))
    assert _stages(events) == ["rewriting", "Rewritten", "searching", "reading", "Retrieved", "Checked", "Done"]
    assert _answer(events).answerer == "reader" and _answer(events).notes == ()


def test_a_question_that_cannot_be_served_is_refused_at_the_first_step(opened: Opened) -> None:
    chat = ScriptedChat(_words(LIGHTS))
    with pytest.raises(BadRequest, match="the question is empty"):
        next(iter(opened(chat).stream("?!")))
    with pytest.raises(BadRequest, match="the question is empty"):
        asyncio.run(opened(chat).aask("?!"))
    assert chat.requests == []


def test_a_search_that_finds_nothing_asks_the_model_nothing(opened: Opened) -> None:
    chat = ScriptedChat(_words(LIGHTS))
    answer = opened(chat).ask(QUESTION, Where(published_to="1999"))
    assert chat.requests == [] and answer.status == "abstained" and answer.hits == ()


def test_eight_threads_and_eight_tasks_get_the_answer_that_one_gets(opened: Opened) -> None:
    chat = ScriptedChat(_words(LIGHTS, INVENTED, CONTRACT))
    assistant = opened(chat)
    alone = replace(assistant.ask(QUESTION), timings={})
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(assistant.ask, [QUESTION] * 8))

    async def tasks() -> list[Answer]:
        return await asyncio.gather(*(assistant.aask(QUESTION) for _ in range(8)))

    for answer in [*together, *asyncio.run(tasks())]:
        assert replace(answer, timings={}) == alone
    assert chat.ended == ["finished"] * 17
