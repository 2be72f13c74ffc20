"""Runs the steps of an answer together with a chat model, for callers that wait and for those that must not.

The steps are one generator. It yields events for the caller, and a `Request` wherever it needs the next piece of what a
chat model writes; that is sent into it, an empty one at the end, or `ChatModelFailed` is thrown. So the read path is
written once, and waits for nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import suppress
from typing import TypeAlias

from index.errors import ChatModelFailed
from rag.types import ChatModel, Event, Request

Step: TypeAlias = Event | Request
Steps: TypeAlias = Generator[Step, str | None, None]


def run(steps: Steps, chat: ChatModel | None) -> Iterator[Event]:
    """Yield the events of ``steps``; closing this generator ends the chat model's work too."""
    asked: Request | None = None
    pieces: Generator[str, None, None] = _no_pieces()
    step = _sent(steps, None)
    try:
        while step is not None:
            if not isinstance(step, Request):
                yield step
                step = _sent(steps, None)
                continue
            if step is not asked and chat is not None:
                pieces.close()
                asked, pieces = step, chat.stream(step.rules, step.text)
            try:
                piece = next(pieces, "")
            except ChatModelFailed as failure:
                step = _thrown(steps, failure)
            else:
                step = _sent(steps, piece)
    finally:
        pieces.close()
        steps.close()


async def arun(steps: Steps, chat: ChatModel | None) -> AsyncGenerator[Event, None]:
    """The same without blocking: what computes runs in a thread, and cancelling the task ends the request."""
    asked: Request | None = None
    pieces: AsyncGenerator[str, None] | None = None
    step = await asyncio.to_thread(_sent, steps, None)
    try:
        while step is not None:
            if not isinstance(step, Request):
                yield step
                step = await asyncio.to_thread(_sent, steps, None)
                continue
            if step is not asked and chat is not None:
                if pieces is not None:
                    await pieces.aclose()
                asked, pieces = step, chat.astream(step.rules, step.text)
            try:
                piece = "" if pieces is None else await anext(pieces, "")
            except ChatModelFailed as failure:
                step = await asyncio.to_thread(_thrown, steps, failure)
            else:
                step = await asyncio.to_thread(_sent, steps, piece)
    finally:
        if pieces is not None:
            await pieces.aclose()
        with suppress(ValueError):  # cancelled while a thread computes the next step, after which there is none
            steps.close()


def _no_pieces() -> Generator[str, None, None]:
    yield from ()


def _sent(steps: Steps, piece: str | None) -> Step | None:
    try:
        return steps.send(piece)
    except StopIteration:
        return None


def _thrown(steps: Steps, failure: ChatModelFailed) -> Step | None:
    try:
        return steps.throw(failure)
    except StopIteration:
        return None
