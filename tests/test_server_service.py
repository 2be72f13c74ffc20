"""The line before the assistant, and the service that the page and every door share."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest
from conftest import SUBPROCESS, ScriptedPairs, TinyEmbedder, make_article, note, open_index, write_notes
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import FaultyServer, Reply

from index.article_index import ArticleIndex
from index.build import Progress as Adding
from index.build import Report, add_articles
from index.errors import BadRequest, IndexLocked, IndexMissing, TooBusy
from index.store import Store
from index.types import Where
from rag.assistant import Assistant
from rag.reader.multilingual_reader import MultilingualReader
from rag.server.line import Line
from rag.server.service import Fetching, Happening, Queued, Remembered, Service
from rag.settings import Settings
from rag.types import Answer, Done, Reading, Retrieved, Turn

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
