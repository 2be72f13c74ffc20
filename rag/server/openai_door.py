"""The OpenAI-compatible door: chat clients use the assistant as if it were a model.

The protocol is that of https://platform.openai.com/docs/api-reference/chat. The last message of the user is the
question; the exchanges before it complete a follow-up. System messages are ignored, since the articles alone decide
what is answered, and so are sampling parameters and tools, since answers are quoted or checked, not sampled.

The content is Markdown: the answer with markers, then its sources. Text out of articles is escaped, so that it can be
no link, image or HTML there. Answers that come back as history are read as they were written here.
"""

import asyncio
import json
import re
import time
import unicodedata
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal, TypeAlias
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from starlette.exceptions import HTTPException

from index.errors import BadRequest, ChatModelFailed, IndexProblem, RagError, TooBusy
from rag import messages
from rag.assistant import LONGEST_QUESTION
from rag.links import permalink, web_address
from rag.records import Record, answer_record
from rag.server.service import Happening, Service
from rag.types import Answer, Checked, Checking, Citation, Done, Rewritten, Sentence, Turn

MODEL = "rag"

_MOST_MESSAGES = 1000
_LONGEST_TEXT = 100_000  # characters of a message
_MOST_TURNS = 10  # that are read
_LONGEST_ANSWER = 10_000  # characters of an earlier answer that are read
_KEEP_ALIVE = 10.0  # seconds of silence after which a comment is sent
_LOOK_UP = 1.0  # seconds after which it is seen that nobody waits for an answer that is not streamed
_CLIENT_GONE = 499  # as nginx calls it; nobody reads it
_DONE = "data: [DONE]\n\n"

_ARROW = "→ "
_HARD_BREAK = "  \n"
# What Markdown reads inside a line; without what follows it a closing bracket is no link, footnote or definition.
_MARKUP = re.compile(r"[\\`*_<>~]|&(?=#?\w+;)|\](?=[(\[:])")
_LINE_MARKUP = re.compile(r"^(\d{0,9})([#+=.)-])(?=[\s#+=.)-]|$)")
_ADDRESS = re.compile(r"//|www\.|@", re.IGNORECASE)  # what renderers make links of by themselves
_ESCAPE = re.compile(r"`([^`]*)`|\\(.)")
# Controls other than white space, and what reverses the direction of the text that follows, ours as well.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
_SOURCE = re.compile(r"- \[\d+\] “")
_AFTER_TITLE = re.compile(r"(?:, \d{4}(?:-\d\d){0,2})?, <.*")

Text = Annotated[str, StringConstraints(max_length=_LONGEST_TEXT)]


# What is sent


class _Received(BaseModel):
    """Takes no "yes" for true; fields that we do not know are passed over, as clients send many."""

    model_config = ConfigDict(strict=True, frozen=True)


class TextPart(_Received):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class ChatMessage(_Received):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | Annotated[list[TextPart], Field(max_length=_MOST_MESSAGES)] | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _is_text(cls, content: object) -> object:
        parts = content if isinstance(content, list) else []
        if any(isinstance(part, dict) and part.get("type", "text") != "text" for part in parts):
            raise ValueError("only text can be read: leave out images, audio and files")
        return content

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(_Received):
    """What else to stream."""

    include_usage: bool | None = None


class ResponseFormat(_Received):
    """The form of the answer, of which there is one."""

    type: Literal["text"]


class ChatRequest(_Received):
    """A question as a conversation. Sampling parameters, tools and unknown fields are ignored."""

    model: Text = Field(json_schema_extra={"const": MODEL})
    messages: list[ChatMessage] = Field(
        min_length=1,
        max_length=_MOST_MESSAGES,
        description="the last one of the user is the question; system messages are ignored",
        json_schema_extra={"contains": {"properties": {"role": {"const": "user"}}, "required": ["role"]}},
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = Field(None, description="there is one answer")
    response_format: ResponseFormat | None = Field(None, description="answers are text")


# What is sent back


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = MODEL


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str = Field(description="Markdown: the answer with markers such as [1], then its sources")
    refusal: None = None
    rag: dict[str, Any] = Field(description="the answer as `rag ask --json` prints it, each citation with its `link`")


class Choice(BaseModel):
    """The one answer."""

    index: Literal[0] = 0
    message: AssistantMessage
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class Usage(BaseModel):
    """Tokens of what was read of the conversation, and of the answer, as the embedding model counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    """An answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str = MODEL
    choices: list[Choice]
    usage: Usage


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


_REFUSED: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody, "description": "The request is refused."}}
_NO_MODEL: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "There is no such model."}}
_CHUNK = {
    "type": "object",
    "properties": {"data": {"type": "string", "description": "a chunk or an error as JSON, or at the end [DONE]"}},
    "required": ["data"],
}
_COMPLETION: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"itemSchema": _CHUNK}}},
    400: {"model": ErrorBody, "description": "The request cannot be served as it is."},
    **_NO_MODEL,
    429: {
        "model": ErrorBody,
        "description": "Too many at once.",
        "headers": {"Retry-After": {"description": "in seconds", "schema": {"type": "integer"}}},
    },
    502: {"model": ErrorBody, "description": "The LLM cannot be had."},
    503: {"model": ErrorBody, "description": "The index cannot be used at the moment."},
}


# Errors


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give the handler."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, HTTPException, RagError) as error:
                status, body = failure(error)
                headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooBusy) else None
                return JSONResponse(body.model_dump(), status, headers)

        return handled


def failure(error: RequestValidationError | HTTPException | RagError) -> tuple[int, ErrorBody]:
    """Give the status and the body that tell a client of an error."""
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            where = [str(step) for step in first["loc"]]
            return 400, _error(f"{'.'.join(where)}: {first['msg']}", param=".".join(where[1:]) or None)
        case HTTPException():
            return error.status_code, _error(str(error.detail))
        case TooBusy():
            return 429, _error(str(error), "rate_limit_error", code="rate_limit_exceeded")
        case ChatModelFailed():
            return 502, _error(str(error), "server_error", code="chat_model_failed")
        case BadRequest():
            return 400, _error(str(error))
        case _:
            return 503, _error(str(error), "server_error", code="unavailable")


def _error(
    message: str, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> ErrorBody:
    shown = message.encode("utf-8", "replace").decode()
    return ErrorBody(error=ErrorDetail(message=shown, type=kind, param=param, code=code))


def _no_such_model(model: str) -> JSONResponse:
    body = _error(f"there is no model {model[:100]!r} here: use {MODEL!r}", param="model", code="model_not_found")
    return JSONResponse(body.model_dump(), 404)


# A conversation to a question


def conversation(sent: Sequence[ChatMessage]) -> tuple[str, list[Turn]]:
    """Give the question, which is the last message of the user, and the turns before it, oldest first.

    A message of the user that got no answer is a turn as well: the next one may be a follow-up of it.

    Raises:
        BadRequest: no message is of the user.
    """
    exchanges: list[tuple[str, str]] = []
    for message in sent:
        if message.role == "user":
            exchanges.append((message.text, ""))
        elif message.role == "assistant" and exchanges:
            asked, said = exchanges[-1]
            exchanges[-1] = (asked, message.text or said)
    if not exchanges:
        raise BadRequest("there is no message with the role user: the last one of these is the question")
    question, _ = exchanges.pop()
    return question, [_turn(*exchange) for exchange in exchanges[-_MOST_TURNS:]]


def _turn(question: str, said: str) -> Turn:
    """Read what was said to a question as `Telling` writes it; of a text by another model, its first paragraph."""
    blocks = said.strip().split("\n\n")
    if blocks[0].startswith(_ARROW):
        question = unescaped(blocks.pop(0).removeprefix(_ARROW))
    if blocks and messages.is_unsure(blocks[0]):
        blocks.pop(0)
    answer = unescaped(blocks[0]) if blocks else ""
    sources = tuple(_title(line) for line in said.splitlines() if _SOURCE.match(line))
    return Turn(question[:LONGEST_QUESTION], answer[:_LONGEST_ANSWER], sources)


def _title(source: str) -> str:
    return unescaped(_AFTER_TITLE.sub("", source.rpartition("” — ")[2]))


# An answer to a text


class Telling:
    """Tells an answer piece by piece as it comes about; the pieces joined are the content of the message.

    A chat model's sentences are told as each has passed its check. The reader's all come with the answer, and are told
    with it, after whether they are sure.
    """

    def __init__(self, question: str, base_url: str) -> None:
        """Tell of ``question``; ``base_url`` is where the article viewer is."""
        self.answer: Answer | None = None
        self._question = _line(question)
        self._base_url = base_url
        self._rewritten = ""
        self._is_written = False
        self._told: list[Sentence] = []
        self._has_begun = False

    def tell(self, happening: Happening) -> str:
        """Give what there is to say now, often nothing.

        Raises:
            IndexProblem: it is answered anew, from another index, after sentences were told.
        """
        match happening:
            case Rewritten(standalone):
                return self._searched_for(_line(standalone))
            case Checking():
                self._is_written = True
            case Checked(sentence) if self._is_written and sentence.is_supported:
                told = f" {_marked(sentence)}" if self._told else self._block(_marked(sentence))
                self._told.append(sentence)
                return told
            case Done(answer):
                self.answer = answer
                return "".join(self._rest(answer))
        return ""

    def _searched_for(self, standalone: str) -> str:
        if self._told:
            raise IndexProblem("the index was replaced while this was answered: ask again")
        is_new = not self._rewritten and not self._question.startswith(standalone)  # a long one was cut
        self._rewritten = standalone
        return self._block(_ARROW + escaped(standalone)) if is_new else ""

    def _rest(self, answer: Answer) -> Iterator[str]:
        lines = [_marked(sentence) for sentence in answer.sentences if sentence not in self._told]
        if self._told:
            yield "".join(f" {line}" for line in lines)
        else:
            is_read = answer.answerer == "reader"
            if is_read and answer.status == "partial":
                yield self._block(messages.unsure(answer.language))
            yield self._block((_HARD_BREAK if is_read else " ").join(lines) or escaped(answer.text))
        for block in _below(answer, self._base_url):
            yield self._block(block)

    def _block(self, text: str) -> str:
        separator = "\n\n" if self._has_begun else ""
        self._has_begun = True
        return separator + text


def content(answer: Answer, base_url: str) -> str:
    """Give a whole answer as the content of a message."""
    telling = Telling(answer.question, base_url)
    return telling.tell(Rewritten(answer.standalone)) + telling.tell(Done(answer))


def _below(answer: Answer, base_url: str) -> Iterator[str]:
    """Give what stands below the answer itself."""
    if answer.citations:
        sources = [_source(citation, answer.language, base_url) for citation in answer.citations]
        yield "\n".join([messages.sources(answer.language), *sources])
    if answer.unsupported:
        unsupported = [f"- ✗ {escaped(sentence.text)}" for sentence in answer.unsupported]
        yield "\n".join([messages.unsupported(answer.language), *unsupported])
    yield from map(escaped, answer.notes)
    if answer.as_of:
        yield messages.as_of(answer.language, answer.as_of)


def _source(citation: Citation, language: str, base_url: str) -> str:
    about = [escaped(citation.title), *filter(None, [citation.published]), f"<{_link(citation, base_url)}>"]
    if live := web_address(citation.uri):
        about.append(f"<{live}>")
    is_foreign = citation.language != language
    foreign = f" ({messages.quoted_in(language, citation.language)})" if is_foreign else ""
    return f"- [{citation.marker}] “{escaped(citation.quote)}” — {', '.join(about)}{foreign}"


def _link(citation: Citation, base_url: str) -> str:
    return base_url.rstrip("/") + permalink(citation.article_id, citation.start, citation.end)


def _record(answer: Answer, base_url: str) -> Record:
    record = answer_record(answer)
    for shown, citation in zip(record["citations"], answer.citations, strict=True):
        shown["link"] = _link(citation, base_url)
    return record


def _marked(sentence: Sentence) -> str:
    return " ".join([escaped(sentence.text), *(f"[{citation.marker}]" for citation in sentence.citations)])


# Escaping


def escaped(text: str) -> str:
    """Write text on one line so that Markdown shows it as it is, and makes no link or image of any of it.

    Only what would be read as markup gets a backslash, since many programs show the text as it stands. Addresses are
    put into code spans: renderers make links also of those that are escaped.
    """
    words = " ".join(map(_escaped_word, _line(text).split(" ")))
    return _LINE_MARKUP.sub(r"\1\\\2", words)


def _escaped_word(word: str) -> str:
    return f"`{word.replace('`', '')}`" if _ADDRESS.search(word) else _MARKUP.sub(r"\\\g<0>", word)


def unescaped(text: str) -> str:
    """Give the text that was `escaped`, also of several lines; backticks in addresses are lost."""
    return _ESCAPE.sub(lambda found: found[1] or found[2] or "", re.sub(r" +\n", "\n", text))


def _line(text: str) -> str:
    encodable = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    return " ".join(_UNSEEN.sub("", encodable).split())


# Following the work

Followed: TypeAlias = AsyncGenerator[Happening | None, None]


async def followed(happenings: AsyncGenerator[Happening, None], pause: float) -> Followed:
    """Yield what happens, and ``None`` whenever nothing has for ``pause`` seconds. Closing it cancels the work.

    The work is a task of its own, so that cancelling reaches it once, wherever it is: the scope in which Starlette
    cancels a response would cancel its cleaning up as well.
    """
    queue: asyncio.Queue[Happening | None] = asyncio.Queue()

    async def follow() -> None:
        async with aclosing(happenings):
            async for happening in happenings:
                queue.put_nowait(happening)

    work = asyncio.create_task(follow())
    work.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while True:
            try:
                happening = await asyncio.wait_for(queue.get(), pause)
            except TimeoutError:
                yield None
                continue
            if happening is None:
                break
            yield happening
        await work
    finally:
        work.cancel()


class _Reply:
    """One answer on its way to a client."""

    def __init__(self, service: Service, question: str, history: Sequence[Turn], base_url: str) -> None:
        self._service = service
        self._question = question
        self._history = history
        self._base_url = base_url
        self._telling = Telling(question, base_url)
        self._told: list[str] = []
        self.id = f"chatcmpl-{uuid4().hex}"
        self.created = int(time.time())

    async def whole(self, request: Request) -> ChatCompletion | None:
        """Give the answer, or nothing if nobody waits for it any more."""
        async with aclosing(self._followed(_LOOK_UP)) as happenings:
            async for happening in happenings:
                if happening is None and await request.is_disconnected():
                    return None
                self._tell(happening)
        message = AssistantMessage(content="".join(self._told), rag=self._record())
        usage = await asyncio.to_thread(self._usage)
        return ChatCompletion(id=self.id, created=self.created, choices=[Choice(message=message)], usage=usage)

    async def begun(self, with_usage: bool) -> AsyncGenerator[str, None]:
        """Give the stream of server-sent events once it is known that the question can be asked."""
        happenings = self._followed(_KEEP_ALIVE)
        return self._events(happenings, self._tell(await anext(happenings)), with_usage)

    async def _events(self, happenings: Followed, opening: str, with_usage: bool) -> AsyncGenerator[str, None]:
        yield self._chunk({"role": "assistant", "content": opening})
        try:
            async with aclosing(happenings):
                async for happening in happenings:
                    if piece := self._tell(happening):
                        yield self._chunk({"content": piece})
                    elif happening is None:
                        yield ": still working\n\n"
        except RagError as error:
            yield _event(failure(error)[1].model_dump())
        else:
            yield self._chunk({"rag": self._record()}, "stop")
            if with_usage:
                usage = await asyncio.to_thread(self._usage)
                yield self._event_of([], usage.model_dump())
        yield _DONE

    def _followed(self, pause: float) -> Followed:
        return followed(self._service.events(self._question, history=self._history), pause)

    def _tell(self, happening: Happening | None) -> str:
        piece = self._telling.tell(happening) if happening else ""
        self._told.append(piece)
        return piece

    def _record(self) -> Record:
        assert self._telling.answer is not None, "the last event is Done"
        return _record(self._telling.answer, self._base_url)

    def _usage(self) -> Usage:
        prompt = "\n".join([*(f"{turn.question}\n{turn.answer}" for turn in self._history), self._question])
        read, written = self._service.index.embedder.count_tokens([prompt, "".join(self._told)])
        return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)

    def _chunk(self, delta: Record, finish_reason: str | None = None) -> str:
        return self._event_of([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}], None)

    def _event_of(self, choices: list[Record], usage: Record | None) -> str:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": MODEL}
        return _event({**head, "choices": choices, "usage": usage})


def _event(data: Record) -> str:
    return f"data: {json.dumps(data)}\n\n"  # in ASCII: some clients take U+2028 for the end of a line


def openai_router(service: Service) -> APIRouter:
    """Give the routes ``/v1/models`` and ``/v1/chat/completions``."""
    router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute, responses=_REFUSED)
    ours = Model(id=MODEL, created=int(time.time()))

    @router.get("/models", summary="List the models: there is one", response_model=ModelList)
    async def models() -> ModelList:
        return ModelList(data=[ours])

    @router.get("/models/{model}", summary="Describe a model", response_model=Model, responses=_NO_MODEL)
    async def model(model: str) -> Model | Response:
        return ours if model == MODEL else _no_such_model(model)

    @router.post(
        "/chat/completions", summary="Answer with citations", response_model=ChatCompletion, responses=_COMPLETION
    )
    async def complete(asked: ChatRequest, request: Request) -> ChatCompletion | Response:
        if asked.model != MODEL:
            return _no_such_model(asked.model)
        question, history = conversation(asked.messages)
        reply = _Reply(service, question, history, str(request.base_url))
        if not asked.stream:
            return await reply.whole(request) or Response(status_code=_CLIENT_GONE)
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        events = await reply.begun(with_usage)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    return router
