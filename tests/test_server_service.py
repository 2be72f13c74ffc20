"""The line before the assistant, and the service that the page and every door share."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conftest import SUBPROCESS, ScriptedPairs, TinyEmbedder, make_article, note, open_index, write_notes
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import FaultyServer, Reply

from index.article_index import ArticleIndex, Chunked
from index.build import Progress as Adding
from index.build import Report, add_articles
from index.chunk import chunk
from index.errors import BadRequest, IndexLocked, IndexMissing, TooBusy
from index.store import Store
from index.types import Where
from rag.assistant import Assistant
from rag.reader.multilingual_reader import MultilingualReader
from rag.server.line import Line
from rag.server.service import Fetching, Happening, Queued, Remembered, Service, _state
from rag.settings import Settings
from rag.types import Answer, Checked, Done, Progress, Reading, Retrieved, Rewritten, Turn

pytest_plugins = ("servers",)

T = TypeVar("T")

# The line


async def _served(line: Line, log: list[tuple[str, int]], name: str, until: asyncio.Event) -> None:
    async with line.place() as place:
        async for position in place.positions():
            log.append((name, position))
        log.append((name, 0))
        await until.wait()


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_comes_first_is_served_first_and_each_is_told_when_the_line_moves() -> None:
    async def run() -> list[tuple[str, int]]:
        line, log = Line(1, 8), list[tuple[str, int]]()
        leave = {name: asyncio.Event() for name in "abcd"}
        async with asyncio.TaskGroup() as people:
            for name, until in leave.items():
                people.create_task(_served(line, log, name, until))
            await _settled()
            assert line.waiting == 3
            for until in leave.values():
                log.append(("", 0))
                until.set()
                await _settled()
        assert line.waiting == 0
        return log

    told = " ".join(f"{name}{position}" if name else "|" for name, position in asyncio.run(run()))
    assert told == "a0 b1 c2 d3 | b0 c1 d2 | c0 d1 | d0 |"


def test_a_full_line_refuses_and_says_when_to_come_back() -> None:
    async def run() -> None:
        line, leave = Line(2, 3), asyncio.Event()
        async with asyncio.TaskGroup() as people:
            for _ in range(5):
                people.create_task(_served(line, [], "", leave))
            await _settled()
            with pytest.raises(TooBusy, match=r"3 are waiting; try again in 2 s") as refused:
                async with line.place():
                    pass
            assert refused.value.retry_after == 2  # a second each until told better: two more go before, two at once
            leave.set()
        async with line.place() as place:
            assert [position async for position in place.positions()] == []

    asyncio.run(run())


def test_a_line_in_which_nobody_may_wait_still_serves() -> None:
    async def run() -> None:
        line = Line(1, 0)
        async with line.place():
            with pytest.raises(TooBusy):
                async with line.place():
                    pass
        async with line.place():
            pass

    asyncio.run(run())


def test_the_time_to_come_back_follows_how_long_serving_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    async def serve(line: Line, seconds: float) -> None:
        async with line.place() as place:
            async for _ in place.positions():
                pass
            now[0] += seconds

    async def refused(line: Line) -> int:
        async with line.place():
            with pytest.raises(TooBusy) as error:
                async with line.place():
                    pass
        return error.value.retry_after

    async def run(seconds: float) -> int:
        line = Line(1, 0)
        for _ in range(30):
            await serve(line, seconds)
        return await refused(line)

    assert asyncio.run(run(9.9)) == 10
    assert asyncio.run(run(0.01)) == 1  # never "at once", which would be asked again and again


def test_the_line_may_move_while_someone_is_being_told_where_they_stand() -> None:
    async def run() -> list[int]:
        line, leave, told = Line(1, 8), asyncio.Event(), list[int]()
        first = asyncio.create_task(_served(line, [], "", leave))
        await _settled()
        async with line.place() as second:
            async for position in second.positions():
                told.append(position)
                leave.set()
                await first
        return told

    assert asyncio.run(asyncio.wait_for(run(), 5)) == [1]


@dataclass(frozen=True, slots=True)
class Visit:
    """Someone who comes to a line; all counts are turns of the event loop."""

    comes: int
    told_for: int  # how long being told a position takes
    served_for: int
    fails: bool
    cancelled: int | None  # so long after coming


VISITS = st.builds(
    Visit,
    comes=st.integers(0, 12),
    told_for=st.integers(0, 3),
    served_for=st.integers(0, 6),
    fails=st.booleans(),
    cancelled=st.none() | st.integers(0, 15),
)


@settings(max_examples=400, deadline=None)
@given(at_once=st.integers(1, 3), longest=st.integers(0, 6), visits=st.lists(VISITS, max_size=14))
def test_nobody_is_left_waiting_while_there_is_room_whoever_fails_or_goes_away(
    at_once: int, longest: int, visits: list[Visit]
) -> None:
    asyncio.run(_crowd(Line(at_once, longest), at_once, longest, visits))


async def _crowd(line: Line, at_once: int, longest: int, visits: list[Visit]) -> None:
    present: list[Visit] = []  # in order of arrival
    serving: list[Visit] = []

    async def turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def visit(who: Visit) -> None:
        is_full = len(present) >= at_once + longest
        try:
            async with line.place() as place:
                assert not is_full
                present.append(who)
                try:
                    told = []
                    async for position in place.positions():
                        assert position == list(map(id, present)).index(id(who)) - at_once + 1
                        told.append(position)
                        await turns(who.told_for)
                    assert told == sorted(set(told), reverse=True)
                    assert list(map(id, present)).index(id(who)) < at_once  # nobody who came later goes first
                    serving.append(who)
                    assert len(serving) <= at_once
                    await turns(who.served_for)
                    if who.fails:
                        raise ZeroDivisionError
                finally:
                    _leave(present, who)
                    _leave(serving, who)
        except TooBusy as refused:
            assert is_full and refused.retry_after >= 1

    tasks: list[tuple[Visit, asyncio.Task[None]]] = []
    for turn in range(30):
        tasks += [(v, asyncio.create_task(visit(v))) for v in map(replace, visits) if v.comes == turn]
        for who, task in tasks:
            if who.cancelled is not None and turn == who.comes + who.cancelled:
                task.cancel()
        await turns(1)
    await turns(500)
    assert all(task.done() for _, task in tasks)
    assert not present and line.waiting == 0
    for _, task in tasks:
        assert task.cancelled() or isinstance(task.exception(), ZeroDivisionError | None)


def _leave(people: list[Visit], who: Visit) -> None:
    people[:] = [other for other in people if other is not who]


# Asking


class WatchedPairs(ScriptedPairs):
    """A `ScriptedPairs` that reads only while it may."""

    def __init__(self) -> None:
        super().__init__({"rainy morning": 40.0})
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        self.may_read.wait(30)
        return super().read(question, passages)


@pytest.fixture
def words() -> WatchedPairs:
    return WatchedPairs()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    index = open_index(tmp_path / "index", TinyEmbedder())
    add_articles(index, write_notes(tmp_path / "notes", range(20)))
    index.close()
    return tmp_path / "index"


@pytest.fixture
def made(folder: Path, words: WatchedPairs, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Service]:
    """Give a maker of services over an index of notes, with quick stand-ins for the models."""

    def opened(settings: Settings, say: object = None) -> Assistant:
        store = Store(settings.index / "index.sqlite")
        index = ArticleIndex(settings.index, store, TinyEmbedder(store.meta("embedder")))
        reader = MultilingualReader(words, settings.min_confidence)
        return Assistant(index, reader, reader, settings)

    monkeypatch.setattr(Assistant, "open", opened)

    def make(at_once: int = 2, queue: int = 64, fetch_private: bool = False) -> Service:
        return Service(Settings(index=folder, at_once=at_once, queue=queue, fetch_private=fetch_private))

    return make


def _where(number: int) -> str:
    return f"Where did the marker{number:04} station open?"


def _cites(answer: Answer, number: int) -> bool:
    return answer.status == "answered" and f"marker{number:04}" in answer.citations[0].quote


async def _all(events: AsyncGenerator[T, None]) -> list[T]:
    return [event async for event in events]


def test_the_same_question_is_answered_from_memory_and_told_as_a_whole(
    made: Callable[..., Service], words: WatchedPairs
) -> None:
    async def run() -> None:
        service = made()
        answered: list[Answer] = []
        service.answered = answered.append
        first = await _all(service.events(_where(3)))
        again = await _all(service.events(f" {_where(3)}\n"))
        done = first[-1]
        assert isinstance(done, Done) and _cites(done.answer, 3) and again[-1] == done
        kinds = [type(event) for event in first if not isinstance(event, Progress)]
        assert kinds == [type(event) for event in again] == [Rewritten, Retrieved, Checked, Done]
        assert len(words.calls) == len(answered) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "other",
    [
        {"where": Where(languages=("en",))},
        {"history": [Turn("What opened?", "A station.")]},
        {"today": date(2020, 2, 2)},
        {"question": "WHERE did the marker0003 station open?"},
    ],
)
def test_what_is_asked_otherwise_is_answered_anew(
    made: Callable[..., Service], words: WatchedPairs, other: dict[str, Any]
) -> None:
    async def run() -> None:
        service = made()
        asked = {"question": _where(3), **other}
        assert (await service.ask(_where(3))).question == _where(3)
        assert (await service.ask(**asked)).question == asked["question"]
        assert len(words.calls) == 2
        await service.ask(**asked)
        assert len(words.calls) == 2

    asyncio.run(run())


def test_a_changed_index_is_asked_anew(made: Callable[..., Service], folder: Path, words: WatchedPairs) -> None:
    async def run() -> None:
        service = made()
        assert not _cites(await service.ask(_where(50)), 50)
        other = open_index(folder, TinyEmbedder())
        add_articles(other, write_notes(folder.parent / "more", [50]))
        assert _cites(await service.ask(_where(50)), 50)
        assert (await service.search(_where(50), 1))[0].text.count("marker0050") == 2

    asyncio.run(run())


def test_a_search_is_remembered_until_the_index_changes(made: Callable[..., Service], folder: Path) -> None:
    async def run() -> None:
        service = made()
        hits = await service.search("marker0003 maps", 5)
        assert hits == await service.search("marker0003 maps", 5) and "marker0003" in hits[0].text and len(hits) == 5
        await service.remove([hits[0].article.id])
        assert hits[0] not in await service.search("marker0003 maps", 5)
        assert len(await service.search("marker0003 maps", 4, rerank=True)) == 4

    asyncio.run(run())


async def _two(service: Service, leaves: Callable[[AsyncGenerator[Happening, None]], Awaitable[None]]) -> Answer:
    """Ask the same twice at once; the first goes away once something was found. Give the second one's answer."""
    first = service.events(_where(3))
    async for happening in first:
        if isinstance(happening, Retrieved):
            break
    second = asyncio.create_task(service.ask(_where(3)))
    await _settled()
    await leaves(first)
    return await asyncio.wait_for(second, 20)


def test_two_who_ask_the_same_at_once_cost_one_answer(made: Callable[..., Service], words: WatchedPairs) -> None:
    async def run() -> None:
        service = made()
        words.may_read.clear()
        both = [asyncio.create_task(service.ask(_where(3))) for _ in range(2)]
        await asyncio.sleep(0.2)
        words.may_read.set()
        one, other = await asyncio.gather(*both)
        assert one is other and _cites(one, 3) and len(words.calls) == 1

    asyncio.run(run())


@pytest.mark.parametrize("queue", [0, 4])
def test_who_asks_the_same_is_answered_also_if_the_first_goes_away_in_the_middle(
    made: Callable[..., Service], queue: int
) -> None:
    async def run() -> None:
        service = made(at_once=1, queue=queue)  # with no place to wait in, the first one's has to be free at once
        assert _cites(await _two(service, lambda first: first.aclose()), 3)
        assert service.line.waiting == 0

    asyncio.run(run())


def test_who_is_cancelled_while_reading_leaves_no_place_taken(
    made: Callable[..., Service], words: WatchedPairs
) -> None:
    async def run() -> None:
        service = made(at_once=1, queue=0)
        words.may_read.clear()
        first, second = (asyncio.create_task(service.ask(_where(3))) for _ in range(2))
        await asyncio.sleep(0.2)
        first.cancel()
        words.may_read.set()
        assert _cites(await asyncio.wait_for(second, 20), 3)
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_those_who_wait_are_told_their_place_and_too_many_are_refused(
    made: Callable[..., Service], words: WatchedPairs
) -> None:
    async def run() -> None:
        service = made(at_once=1, queue=2)
        words.may_read.clear()
        asked = []
        for number in range(3):
            asked.append(asyncio.create_task(_all(service.events(_where(number)))))
            await asyncio.sleep(0.05)
        with pytest.raises(TooBusy, match="2 are waiting"):
            await service.ask(_where(4))
        with pytest.raises(TooBusy):
            await service.search(_where(4), 3, rerank=True)
        assert await service.search(_where(4), 3)  # which is quick, and has a line of its own
        words.may_read.set()
        first, second, third = await asyncio.gather(*asked)
        assert [e.position for e in first if isinstance(e, Queued)] == []
        assert [e.position for e in second if isinstance(e, Queued)] == [1]
        assert [e.position for e in third if isinstance(e, Queued)] == [2, 1]
        assert all(isinstance(events[-1], Done) for events in (first, second, third))

    asyncio.run(run())


def test_a_question_that_cannot_be_served_is_refused_and_leaves_its_place(made: Callable[..., Service]) -> None:
    async def run() -> None:
        service = made(at_once=1, queue=0)
        for _ in range(3):
            with pytest.raises(BadRequest, match="empty"):
                await service.ask("?!")
            with pytest.raises(BadRequest, match="empty"):
                await service.search("?!", 3)
        assert _cites(await service.ask(_where(3)), 3)

    asyncio.run(run())


def test_only_the_latest_answers_are_remembered(made: Callable[..., Service], words: WatchedPairs) -> None:
    async def run() -> None:
        service = made()
        for number in range(300):
            await service.ask(f"{_where(3)} {number}")
            await service.search(f"{_where(3)} {number}", 1)
        assert len(service._answers._values) == len(service._found._values) == 256 and not service._asking
        assert len(words.calls) == 300
        await service.ask(f"{_where(3)} 299")
        assert len(words.calls) == 300
        await service.ask(f"{_where(3)} 0")
        assert len(words.calls) == 301

    asyncio.run(run())


def test_answers_over_long_articles_are_not_kept_in_memory(
    made: Callable[..., Service], words: WatchedPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(service: Service) -> list[int]:
        counts = []
        for longest in (10, 1_000_000):
            monkeypatch.setattr("rag.server.service._LONGEST_REMEMBERED", longest)
            before = len(words.calls)
            for _ in range(3):
                await service.ask("Where did marker0001 open?")
            counts.append(len(words.calls) - before)
        return counts

    always, once = asyncio.run(run(made()))
    assert always == 3 * once > 0


def test_what_was_asked_for_last_is_remembered_longest() -> None:
    latest = Remembered[int](2)
    latest.put("a", 1)
    latest.put("b", 2)
    assert latest.get("a") == 1
    latest.put("c", 3)
    assert (latest.get("a"), latest.get("b"), latest.get("c")) == (1, None, 3)


def test_a_chat_models_answers_are_not_remembered(sample_index_folder: Path) -> None:
    async def run(service: Service) -> list[str]:
        return [(await service.ask("How many street lights will Cork replace?")).answerer for _ in range(2)]

    with FaultyServer.saying("Cork will replace 11,500 street lights [1].") as server:
        llm = Settings(index=sample_index_folder, llm="openai:m", base_url=server.base_url)
        assert asyncio.run(run(Service(llm))) == ["openai:m"] * 2
        assert len(server.requests) == 2


def test_a_chat_model_writes_for_all_who_ask_the_same_at_once(sample_index_folder: Path) -> None:
    async def run(service: Service) -> None:
        asked = [asyncio.create_task(service.ask("How many street lights will Cork replace?")) for _ in range(2)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in asked)
        assert len(await asyncio.gather(*asked)) == 2

    with FaultyServer([Reply(["Cork will replace 11,500 street lights [1]."], wait=3)]) as server:
        asyncio.run(run(Service(Settings(index=sample_index_folder, llm="openai:m", base_url=server.base_url))))


# Under a changing index


def _build(folder: Path, numbers: Sequence[int], name: str = "tiny-words") -> None:
    """Put another index, with these notes and a generation as low, in the place of the one in ``folder``, at once."""
    fresh = folder.with_name(f"index-{uuid.uuid4().hex}")
    index = open_index(fresh, TinyEmbedder(name))
    with index.writing():
        index.add([_chunked(index, number) for number in numbers])
    index.close()
    before = folder.resolve()
    if not folder.is_symlink():
        folder.rename(before := folder.with_name("before"))
    link = folder.with_name("link")
    link.symlink_to(fresh)
    link.replace(folder)
    shutil.rmtree(before)


def _chunked(index: ArticleIndex, number: int) -> Chunked:
    article = make_article(f"file:///{number}.txt", note(number).strip(), f"Note {number}")
    return Chunked(article, chunk(article, index.embedder.count_tokens, index.embedder.max_tokens), article.uri)


def test_no_two_assistants_are_taken_for_one(made: Callable[..., Service]) -> None:
    settings = made().settings
    states = set()
    for _ in range(20):
        assistant = Assistant.open(settings=settings)
        states.add(_state(assistant))
        del assistant  # the next one may take its place in memory
    assert len(states) == 20


def test_answers_of_an_index_that_was_replaced_are_never_told_again(made: Callable[..., Service], folder: Path) -> None:
    async def run() -> None:
        service = made()
        for turn in range(12):
            _build(folder, [turn])
            answer = await service.ask("Where did the station open?")
            assert _cites(answer, turn), (turn, answer.text)
            assert len(await service.search("station maps", 9)) == 1

    asyncio.run(run())


@pytest.mark.parametrize("names", [["tiny-words"], ["tiny-words", "other-words"]])
def test_no_question_fails_while_the_index_is_replaced_again_and_again(
    made: Callable[..., Service], folder: Path, names: list[str]
) -> None:
    def replace_often() -> None:
        for turn in range(1, 10):
            _build(folder, range(turn, turn + 5), names[turn % len(names)])
            time.sleep(0.02)

    async def run() -> None:
        _build(folder, range(5))
        service = made(at_once=4)
        changing = asyncio.create_task(asyncio.to_thread(replace_often))
        asked = 0
        while not changing.done():
            questions = [service.ask(f"{_where(asked % 14)} {asked + n}") for n in range(4)]
            searches = [service.search(f"{_where(asked % 14)} {asked + n}", 3) for n in range(2)]
            for hits in (await asyncio.gather(*questions, *searches))[4:]:
                assert hits
            asked += 4
        await changing
        assert _cites(await service.ask(_where(13)), 13) and asked > 10

    asyncio.run(run())


def test_an_index_embedded_anew_is_asked_with_its_new_model(made: Callable[..., Service], folder: Path) -> None:
    async def run() -> None:
        service = made()
        assert _cites(await service.ask(_where(3)), 3)
        other = open_index(folder, TinyEmbedder())
        with other.writing():
            other.reembed(TinyEmbedder("other-words"), lambda _: None)
        answers = await asyncio.gather(*(service.ask(_where(number)) for number in (3, 4)))
        assert [_cites(answer, number) for answer, number in zip(answers, (3, 4), strict=True)] == [True, True]
        assert service.index.embedder.name == "other-words"

    asyncio.run(run())


def test_an_index_that_is_gone_is_missing_until_it_is_built_anew(made: Callable[..., Service], folder: Path) -> None:
    async def run() -> None:
        service = made()
        assert _cites(await service.ask(_where(3)), 3)
        shutil.rmtree(folder)
        with pytest.raises(IndexMissing):
            await service.ask(_where(3))
        with pytest.raises(IndexMissing):
            await service.search(_where(3), 1)
        assert not folder.exists()
        index = open_index(folder, TinyEmbedder())
        add_articles(index, write_notes(folder.parent / "more", [50]))
        assert _cites(await service.ask(_where(50)), 50)
        assert [len(await service.search("station maps", 9))] == [1]
        report = (await _all(service.adding([("new.txt", note(60).encode())], [])))[-1]
        assert isinstance(report, Report) and report.added == 1
        assert _cites(await service.ask(_where(60)), 60)

    asyncio.run(run())


def test_what_another_process_adds_or_builds_anew_is_answered_from_at_once(
    sample_index_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    shutil.copytree(sample_index_folder, folder)
    shown = "The Quillhaven cable car opened on 3 May 2024 and carries {} passengers an hour."
    file = tmp_path / "cable.txt"
    question = "How many passengers an hour does the Quillhaven cable car carry?"

    async def add(passengers: int) -> None:
        file.write_text(f"Quillhaven cable car opens\n\n{shown.format(passengers)}\n", "utf-8")
        command = [sys.executable, "-m", "rag", "add", str(file), "--index", str(folder)]
        await asyncio.to_thread(subprocess.run, command, env=SUBPROCESS, check=True, capture_output=True, timeout=120)

    async def run() -> None:
        service = Service(Settings(index=folder))
        assert (await service.ask(question)).status == "abstained"
        await add(740)
        assert "740" in (await service.ask(question)).text
        shutil.rmtree(folder)
        await add(985)
        assert "985" in (await service.ask(question)).text and service.index.status().articles == 1
        assert (await service.ask("How many street lights will Cork replace?")).status == "abstained"

    asyncio.run(run())


# Changing the index


def _report(happened: Sequence[object]) -> Report:
    assert isinstance(happened[-1], Report)
    return happened[-1]


def test_adding_tells_how_far_it_is_and_one_bad_file_does_not_stop_it(made: Callable[..., Service]) -> None:
    async def run() -> None:
        service = made()
        files = [
            ("picture.png", b"\x89PNG"),
            ("empty.txt", b""),
            ("../../good.txt", note(50).encode()),
            ("bad.jsonl", b"{not json\n"),
        ]
        happened = await _all(service.adding(files, ["http://127.0.0.1:9/private", "ftp://example.org/x"]))
        report = _report(happened)
        assert report.added == 1 and _cites(await service.ask(_where(50)), 50)
        assert {s.uri.rsplit("/", 1)[-1].split("#")[0] for s in report.skipped} == {
            "picture.png",
            "empty.txt",
            "bad.jsonl",
            "private",
            "x",
        }
        assert [h.url for h in happened if isinstance(h, Fetching)] == [
            "http://127.0.0.1:9/private",
            "ftp://example.org/x",
        ]
        steps = [h for h in happened if isinstance(h, Adding)]
        assert steps[-1].bytes_done == steps[-1].bytes_total > 0
        assert not (service.index.folder.parent / "good.txt").exists()

    asyncio.run(run())


def test_an_add_goes_on_to_its_end_though_nobody_waits_for_it(made: Callable[..., Service]) -> None:
    async def run() -> None:
        service = made()
        files = [(f"{number}.txt", note(number).encode()) for number in range(50, 60)]
        left = service.adding(files[:5], [])
        async for _ in left:
            break  # in the middle
        await left.aclose()
        cancelled = asyncio.create_task(_all(service.adding(files[5:], [])))
        await asyncio.sleep(0)
        cancelled.cancel()
        await service.close()
        assert service.index.status().articles == 30
        for number in range(50, 60):
            assert _cites(await service.ask(_where(number)), number)

    asyncio.run(run())


def test_two_adds_at_once_are_done_one_after_the_other(made: Callable[..., Service]) -> None:
    async def run() -> None:
        service = made()
        order: list[str] = []

        async def add(name: str, numbers: range) -> Report:
            async for happening in service.adding([(f"{n}.txt", note(n).encode()) for n in numbers], []):
                order.append(name)
                last = happening
            assert isinstance(last, Report)
            return last

        reports = await asyncio.gather(add("a", range(50, 55)), add("b", range(55, 60)))
        assert [report.added for report in reports] == [5, 5]
        assert order == sorted(order) and set(order) == {"a", "b"}

    asyncio.run(run())


HOLDING = """
import sys
from pathlib import Path
from conftest import TinyEmbedder, open_index
with open_index(Path(sys.argv[1]), TinyEmbedder()).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Have another process hold the right to write."""
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, env=SUBPROCESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def test_while_another_process_writes_nothing_is_changed_but_questions_are_answered(
    made: Callable[..., Service], folder: Path
) -> None:
    async def run() -> None:
        service = made()
        hit = (await service.search(_where(3), 1))[0]
        with _held(folder):
            refused = asyncio.create_task(_all(service.adding([("50.txt", note(50).encode())], [])))
            await asyncio.sleep(0.1)
            assert _cites(await service.ask(_where(3)), 3) and not refused.done()
            with pytest.raises(IndexLocked, match="another process is writing"):
                await refused
            with pytest.raises(IndexLocked):
                await service.remove([hit.article.id])
        assert service.index.status().articles == 20
        assert (
            _report(await _all(service.adding([("50.txt", note(50).encode())], []))).added == 1
        )  # it can be sent again
        assert await service.remove([hit.article.id]) == 1

    asyncio.run(run())


def _page(number: int) -> Reply:
    text = note(number).replace("\n\n", "</p><p>")
    return Reply(
        body=f"<html><head><title>Page {number}</title></head><body><article><p>{text}</p></article></body></html>",
        headers={"Content-Type": "text/html; charset=utf-8"},
    )


def test_a_page_is_fetched_again_to_refresh_it(made: Callable[..., Service]) -> None:
    async def run(url: str) -> None:
        service = made(fetch_private=True)
        assert _report(await _all(service.adding([], [url]))).added == 1
        (hit,) = await service.search("marker0050", 1)
        assert hit.article.uri == url and _cites(await service.ask(_where(50)), 50)
        report = await service.refresh(hit.article.id)
        assert (report.added, report.updated) == (0, 1)
        assert _cites(await service.ask(_where(51)), 51) and not _cites(await service.ask(_where(50)), 50)
        former, now = service.index.revision(hit.article.id) or (None, None)
        assert former == hit.article and now not in (None, hit.article.id)
        failed = await service.refresh(str(now))
        assert [s.uri for s in failed.skipped] == [url] and _cites(await service.ask(_where(51)), 51)

    with FaultyServer([_page(50), _page(51), Reply(status=404, body="gone")]) as server:
        asyncio.run(run(f"{server.address}/news"))


def test_a_file_is_read_again_to_refresh_it(made: Callable[..., Service], folder: Path) -> None:
    async def run() -> None:
        service = made()
        (hit,) = await service.search(_where(3), 1)
        assert (await service.refresh(hit.article.id)).unchanged == 1
        file = folder.parent / "notes" / "note-0003.txt"
        file.write_text(note(50), "utf-8")
        assert (await service.refresh(hit.article.id)).updated == 1
        assert _cites(await service.ask(_where(50)), 50)
        with pytest.raises(BadRequest, match="no article"):
            await service.refresh(hit.article.id)
        file.unlink()
        (hit,) = await service.search(_where(50), 1)
        assert [s.reason for s in (await service.refresh(hit.article.id)).skipped] == ["no such file or folder"]

    asyncio.run(run())


def test_what_came_from_no_file_cannot_be_read_again(made: Callable[..., Service], folder: Path) -> None:
    index = open_index(folder, TinyEmbedder())
    chunked = replace(_chunked(index, 50), origin="import:50")
    with index.writing():
        index.add([chunked])
    with pytest.raises(BadRequest, match="cannot be read again"):
        asyncio.run(made().refresh(chunked.article.id))


def test_removing_forgets_what_was_uploaded_and_no_other_file(made: Callable[..., Service], folder: Path) -> None:
    async def run() -> None:
        service = made()
        records = b"".join(
            b'{"text": "%s"}\n' % note(number).strip().replace("\n", " ").encode() for number in (51, 52)
        )
        files = [("50.txt", note(50).encode()), ("two.jsonl", records)]
        assert _report(await _all(service.adding(files, []))).added == 3
        uploads = folder / "uploads"
        (one,), (first, second) = (service.index.find_articles((uploads / name).as_uri()) for name, _ in files)
        assert await service.remove([one, first]) == 2
        assert sorted(path.name for path in uploads.glob("*.*") if path.name[0] != ".") == ["two.jsonl"]
        assert await service.remove([second, second]) == 1
        assert not list(uploads.glob("*.jsonl"))
        (note_3,) = service.index.find_articles((folder.parent / "notes" / "note-0003.txt").as_uri())
        assert await service.remove([note_3]) == 1
        assert (folder.parent / "notes" / "note-0003.txt").exists()
        with pytest.raises(BadRequest, match="no article"):
            await service.remove([service.index.find_articles(folder.parent.as_uri())[0], "unknown"])
        assert service.index.status().articles == 19

    asyncio.run(run())
