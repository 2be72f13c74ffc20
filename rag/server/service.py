"""What the page and every door share: the assistant, the line before it, its latest answers, changes of the index."""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakValueDictionary, ref

from index import e5
from index.article_index import ArticleIndex
from index.articles import Skipped, file_of, readable
from index.build import Progress as Adding
from index.build import Report, add_articles
from index.errors import BadRequest, EmbedderMismatch, NotAnArticle, TooBusy
from index.fetch import fetch
from index.types import EVERYTHING, Where
from index.uploads import Uploads
from rag.assistant import Assistant
from rag.server.line import Line
from rag.settings import Settings
from rag.types import Answer, Checked, Done, Event, Hit, Retrieved, Rewritten, Turn

_REMEMBERED = 256  # answers, and as many searches
_LONGEST_REMEMBERED = 300_000  # characters of the articles that one of them keeps in memory
_FETCHERS = 8  # web pages fetched at a time: threads of their own, or slow sites would hold up answers
_MOST_CHANGES = 16  # of the index that may wait
_CHANGE_SECONDS = 30  # that one takes, about
_AT_ONCE_WITH_LLM = 16  # answers: they wait for the network most of the time
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Queued:
    """The question waits; ``position`` 1 is the next."""

    position: int


@dataclass(frozen=True, slots=True)
class Fetching:
    """A web page is being fetched."""

    url: str


Happening: TypeAlias = Event | Queued


class Service:
    """One assistant for many people. Its coroutines belong to one event loop.

    The index may change meanwhile, also by another process: what is asked next is answered from what it holds then.
    """

    def __init__(self, settings: Settings, say: e5.Say = e5.say_on_stderr) -> None:
        """Open the index and load the models.

        Raises:
            IndexProblem: the index cannot be opened.
            BadRequest: the chat model that the settings name cannot be used.
        """
        self.settings = settings
        self.answered: Callable[[Answer], None] = lambda _: None  # told of every answer that was made
        self._say = say
        self._opening = threading.Lock()
        self._assistant = Assistant.open(settings=settings, say=say)
        cores = os.cpu_count() or 1
        at_once = settings.at_once or (_AT_ONCE_WITH_LLM if settings.llm else cores)
        self.line = Line(at_once, settings.queue)
        self._searches = Line(2 * cores, settings.queue)
        self._answers: Remembered[Answer] = Remembered(_REMEMBERED)
        self._found: Remembered[list[Hit]] = Remembered(_REMEMBERED)
        self._asking: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._fetchers = ThreadPoolExecutor(_FETCHERS, "fetch")
        self._changing = asyncio.Lock()
        self.examples: list[str] | None = None  # questions to begin with, once they have been looked for
        self._changes: set[asyncio.Task[Any]] = set()
        self.uploads = Uploads(self.index.folder)

    @property
    def assistant(self) -> Assistant:
        """The assistant, opened anew if another index has taken the place of its own."""
        if not self._assistant.index.is_current():
            with self._opening:
                if not self._assistant.index.is_current():
                    self._assistant = Assistant.open(settings=self.settings, say=self._say)
        return self._assistant

    async def _current(self) -> Assistant:
        is_current = self._assistant.index.is_current()
        return self._assistant if is_current else await asyncio.to_thread(lambda: self.assistant)

    @property
    def index(self) -> ArticleIndex:
        """The index of articles."""
        return self.assistant.index

    # Asking

    async def ask(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
    ) -> Answer:
        """Do as `Assistant.ask`, in turn.

        Raises:
            TooBusy: too many wait already.
            BadRequest: the question has no words, or the index no articles.
        """
        async for happening in self.events(question, where, history, today):
            if isinstance(happening, Done):
                answer = happening.answer
        return answer

    async def quote(self, question: str) -> Answer:
        """Do as `ask`, but have the reader answer even if there is a chat model, to which nothing is sent."""
        assistant = await self._current()
        if assistant.answerer == "reader":
            return await self.ask(question)
        async with self.line.place() as place:
            async for _ in place.positions():
                pass
            return await asyncio.to_thread(assistant.quoting().ask, question)

    async def events(
        self, question: str, where: Where = EVERYTHING, history: Sequence[Turn] = (), today: date | None = None
    ) -> AsyncGenerator[Happening, None]:
        """Do as `Assistant.astream`, in turn; who asks the same as another a moment ago gets the same answer.

        Raises:
            TooBusy: too many wait already.
            BadRequest: the question has no words, or the index no articles.
        """
        assistant = await self._current()
        key = (_state(assistant), question.strip(), where, tuple(history), today or date.today())
        is_quoted = assistant.answerer == "reader"  # the same each time; a chat model writes something else
        async with self._asking.setdefault(key, asyncio.Lock()) if is_quoted else nullcontext():
            known = self._answers.get(key)
            if known is not None:
                for event in _retold(known):
                    yield event
                return
            # Closed here, not when it is found to be garbage: the next one with this question needs its place.
            async with aclosing(self._answered(question, where, history, today)) as happenings:
                async for happening in happenings:
                    if isinstance(happening, Done):
                        self.answered(happening.answer)
                        if is_quoted and _is_small(happening.answer.hits):
                            self._answers.put(key, happening.answer)
                    yield happening

    async def _answered(
        self, question: str, where: Where, history: Sequence[Turn], today: date | None
    ) -> AsyncGenerator[Happening, None]:
        async with self.line.place() as place:
            async for position in place.positions():
                yield Queued(position)
            while True:
                assistant = await self._current()
                events = assistant.astream(question, where, history, today)
                try:
                    async for event in events:
                        if isinstance(event, Done) and not assistant.index.is_current():
                            break  # what it was answered from was replaced meanwhile
                        yield event
                    else:
                        return
                except EmbedderMismatch:
                    continue
                finally:
                    await events.aclose()

    async def search(self, question: str, k: int, where: Where = EVERYTHING, *, rerank: bool = False) -> list[Hit]:
        """Do as `Assistant.retrieve`, in turn.

        Raises:
            TooBusy: too many wait already.
            BadRequest: the question has no words, or the index no articles.
        """
        assistant = await self._current()
        key = (_state(assistant), question, k, where, rerank)
        known = self._found.get(key)
        if known is None:
            async with (self.line if rerank else self._searches).place() as place:
                async for _ in place.positions():
                    pass
                known = await asyncio.to_thread(self._retrieve, question, k, where, rerank)
            if _is_small(known):
                self._found.put(key, known)
        return known

    def _retrieve(self, question: str, k: int, where: Where, rerank: bool) -> list[Hit]:
        try:
            return self.assistant.retrieve(question, k, where, rerank=rerank)
        except EmbedderMismatch:
            return self.assistant.retrieve(question, k, where, rerank=rerank)

    # Changing the index: one change at a time

    async def adding(
        self, files: Sequence[tuple[str, bytes]], urls: Sequence[str]
    ) -> AsyncGenerator[Fetching | Adding | Report, None]:
        """Keep files (name and contents) and web pages under the index, and index them; the report comes last.

        What cannot be indexed is in the report. Pages are fetched as long as somebody waits; once indexing has begun it
        is done to its end.

        Raises:
            IndexLocked: another process is writing.
            TooBusy: too many changes wait already.
        """
        kept: list[Path] = []
        skipped: list[Skipped] = []
        for url in urls:
            yield Fetching(url)
            page = await asyncio.get_running_loop().run_in_executor(self._fetchers, self._fetched, url)
            if isinstance(page, Skipped):
                skipped.append(page)
            else:
                kept.append(page)
        happened: asyncio.Queue[Adding | Report | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(what: Adding | Report | None) -> None:
            loop.call_soon_threadsafe(happened.put_nowait, what)

        change = self._begin(lambda: tell(self._add(files, kept, skipped, tell)))
        change.add_done_callback(lambda _: happened.put_nowait(None))
        while (what := await happened.get()) is not None:
            yield what
        await change

    def _fetched(self, url: str) -> Path | Skipped:
        try:
            return self.uploads.keep_page(fetch(url, self.settings.fetch_private))
        except NotAnArticle as reason:
            return Skipped(url, str(reason))

    def _add(
        self,
        files: Sequence[tuple[str, bytes]],
        pages: Sequence[Path],
        skipped: Sequence[Skipped],
        tell: Callable[[Adding], None],
    ) -> Report:
        kept, refused = list(pages), list(skipped)
        for name, data in files:
            try:
                kept.append(self.uploads.keep_file(name, data))
            except NotAnArticle as reason:
                refused.append(Skipped(name, str(reason)))
        report = add_articles(self.index, kept, show=tell)
        report.skipped[:0] = refused
        return report

    async def refresh(self, article_id: str) -> Report:
        """Read an article again from where it came from: its file, or for a page that was added by address, the web.

        Raises:
            BadRequest: there is no such article.
            IndexLocked: another process is writing.
        """
        uri, origin = self._uri_and_origin(article_id)
        if self.uploads.is_page(origin):
            return [what async for what in self.adding([], [uri]) if isinstance(what, Report)][-1]
        file = file_of(origin)
        if file is None:
            raise BadRequest(f"{readable(uri)} cannot be read again: it came from no file")
        return await self._begin(lambda: add_articles(self.index, [file]))

    async def remove(self, article_ids: Sequence[str]) -> int:
        """Remove articles, and what was uploaded for them; give how many.

        Raises:
            BadRequest: one of them is not there; nothing was removed.
            IndexLocked: another process is writing.
        """
        return await self._begin(lambda: self._remove(article_ids))

    def _remove(self, article_ids: Sequence[str]) -> int:
        origins = {self._uri_and_origin(article_id)[1] for article_id in article_ids}
        with self.index.writing():
            self.index.remove(article_ids)
            self.index.forget_unused()
        for origin in origins:
            if not self.index.find_articles(origin):
                self.uploads.forget(origin)
        return len(set(article_ids))

    def _begin(self, change: Callable[[], T]) -> "asyncio.Future[T]":
        """Begin a change once those before it are done; it goes on to its end even if who waits for it goes away.

        Raises:
            TooBusy: too many wait already.
        """
        if len(self._changes) >= _MOST_CHANGES:
            raise TooBusy(len(self._changes), _CHANGE_SECONDS)

        async def run() -> T:
            async with self._changing:
                return await asyncio.to_thread(change)

        task = asyncio.create_task(run())
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return asyncio.shield(task)

    async def close(self) -> None:
        """Wait for the changes begun."""
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*self._changes, return_exceptions=True)

    def _uri_and_origin(self, article_id: str) -> tuple[str, str]:
        if self.index.article(article_id) is None:
            raise BadRequest(f"no article {article_id} in the index")
        return self.index.uri_and_origin(article_id)


class Remembered(Generic[T]):
    """The latest values by key."""

    def __init__(self, most: int) -> None:
        """Keep ``most`` of them."""
        self._most = most
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """Give a value, which is the latest now."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: T) -> None:
        """Keep a value in place of the oldest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


def _state(assistant: Assistant) -> tuple[ref[Assistant], int]:
    """Tell apart what an answer may stand on: which index, and which state of it."""
    return ref(assistant), assistant.index.generation()  # an id may be given again to one opened later


def _is_small(hits: Sequence[Hit]) -> bool:
    """Tell whether hits may be remembered: each holds the whole text of its article."""
    return sum(len(hit.article.text) for hit in hits) <= _LONGEST_REMEMBERED


def _retold(answer: Answer) -> list[Event]:
    return [Rewritten(answer.standalone), Retrieved(answer.hits), *map(Checked, answer.sentences), Done(answer)]
