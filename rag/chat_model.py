"""Has an LLM write, through LangChain: any OpenAI-compatible server as it is, other providers as extras.

LangChain is imported when a model is opened, not before. Nothing here retrieves, prompts or checks: text goes in, text
comes out piece by piece, and whatever goes wrong is one `ChatModelFailed`. Only the address in the settings, or else
the provider's own, is ever contacted: LangSmith's tracing and gateway stay off whatever the environment says.
"""

import math
import os
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, aclosing, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from index.errors import BadRequest, ChatModelFailed
from rag.settings import Settings
from rag.types import ChatModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk

LONGEST_KEY = 4096  # characters
_FINISH = ("finish_reason", "stop_reason", "done_reason", "status")  # what providers call why an answer ended
# Errors by the names of their classes: LangChain's own, and those of what it lets through (httpx, httpx2, ollama).
_SILENT = {"ModelTimeoutError", "TimeoutError", "TimeoutException"}
_BROKEN = {"ModelConnectionError", "APIConnectionError", "ConnectionError", "TransportError"}
_STATUS = {
    "ModelInvalidRequestError": 400,
    "ModelAuthenticationError": 401,
    "ModelPermissionDeniedError": 403,
    "ModelNotFoundError": 404,
    "ModelRateLimitError": 429,
    "ModelAPIError": 500,
    "APIError": 500,  # of OpenAI and Anthropic, in the midst of a stream
}
_LONGEST_QUOTE = 200  # characters of what a server said that go into an error
_OPENING = 16  # chunks of a stream that hold no token: who speaks, why it ended, what it cost
_BACKOFF = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 0.5)  # seconds
_SMALL = re.compile(r"[A-Za-z ]")
_LARGE = re.compile(r"[\u0800-\U0010ffff]")
_TOO_LONG = re.compile(r"context.{0,40}(length|size|window|exceed)|prompt is too long|maximum context", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Provider:
    """What differs between providers: the extra that installs it, where its key is, and its address.

    Addresses are given although the libraries know them, lest a variable such as ``LANGSMITH_GATEWAY`` or
    ``OPENAI_BASE_URL`` sends articles elsewhere.
    """

    extra: str
    key_variables: tuple[str, ...] = ()
    address: str | None = None


_PROVIDERS = {
    "openai": _Provider("", ("OPENAI_API_KEY",), "https://api.openai.com/v1"),
    "anthropic": _Provider("anthropic", ("ANTHROPIC_API_KEY",), "https://api.anthropic.com"),
    "google_genai": _Provider("google", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
    "ollama": _Provider("ollama", (), "http://127.0.0.1:11434"),
}


def _about(provider: str) -> _Provider:
    """Give what is known of a provider; of one that is only LangChain's, nothing: its package finds its own key."""
    return _PROVIDERS.get(provider, _Provider(""))


def open_chat_model(settings: Settings) -> ChatModel | None:
    """Open the chat model that the settings name; ``None`` if they name none. Contacts nobody yet.

    Raises:
        BadRequest: the name, the address or the key cannot be used, or the provider's package is not installed.
    """
    if not settings.llm:
        return None
    provider, _, model = settings.llm.partition(":")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", provider) or not model:
        raise BadRequest(
            f"setting llm is {settings.llm!r}; write provider:model, with {', '.join(_PROVIDERS)} or another "
            "provider of LangChain; a server that speaks OpenAI's language is openai:MODEL with base_url"
        )
    _check_address(settings.base_url)
    if settings.llm_answer >= settings.llm_context:
        raise BadRequest(
            f"setting llm_answer is {settings.llm_answer}; it has to be below llm_context, {settings.llm_context}"
        )
    key = _read_key(settings.llm_key_file) if settings.llm_key_file else _key_around(provider)
    if not key and not settings.base_url and (variables := _about(provider).key_variables):
        raise BadRequest(
            f"{settings.llm} needs an API key: set {variables[0]}, or llm_key_file to a file that holds it"
        )
    return LangChainModel(settings, _open(provider, model, settings, key), key)


def _check_address(base_url: str) -> None:
    """Refuse what is no plain address, without repeating it: it may hold a password."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if "@" in base_url or "?" in base_url or "#" in base_url:
        raise BadRequest("setting base_url holds more than an address; a key belongs into a file, see llm_key_file")
    if base_url and not usable:
        raise BadRequest("setting base_url is no address; write one such as http://127.0.0.1:8080/v1")


def _read_key(file: str) -> str:
    try:
        with Path(file).expanduser().open(encoding="utf-8-sig") as lines:
            key = lines.read(LONGEST_KEY + 1).strip()
    except UnicodeDecodeError:
        key = ""
    except (OSError, RuntimeError) as error:  # RuntimeError: whose home ~ is, nobody knows
        raise BadRequest(f"setting llm_key_file: cannot read {file}: {getattr(error, 'strerror', error)}") from None
    if not _is_key(key):
        raise BadRequest(f"setting llm_key_file: {file} has to hold an API key and nothing else")
    return key


def _key_around(provider: str) -> str:
    for variable in _about(provider).key_variables:
        if key := os.environ.get(variable, "").strip():
            if not _is_key(key):
                raise BadRequest(f"{variable} in the environment does not hold an API key")
            return key
    return ""


def _is_key(text: str) -> bool:
    """Tell whether a text can be sent as a key: libraries quote a header that they cannot send."""
    return 0 < len(text) <= LONGEST_KEY and text.isascii() and text.isprintable() and " " not in text


def _open(provider: str, model: str, settings: Settings, key: str) -> "BaseChatModel":
    from langchain.chat_models import init_chat_model

    headers = {"Connection": "close"}  # an event loop cannot use a connection that another one left idle
    options: dict[str, Any] = {"temperature": 0}
    if address := settings.base_url or _about(provider).address:
        options["base_url"] = address
    if provider == "ollama":
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        options |= {"num_predict": settings.llm_answer, "num_ctx": settings.llm_context}
        options |= {"client_kwargs": {"timeout": settings.llm_timeout, "headers": headers}}
    else:
        # Their own retries would repeat after a timeout too, and so give up after several times llm_timeout.
        options |= {"max_tokens": settings.llm_answer, "timeout": settings.llm_timeout, "max_retries": 0}
        if key or provider in _PROVIDERS:
            options |= {"api_key": key or "none"}  # local servers want none, the libraries do
        if provider in _PROVIDERS:
            options |= {"additional_headers" if provider == "google_genai" else "default_headers": headers}
    if provider == "openai":
        options |= {"stream_chunk_timeout": None}  # of the asynchronous half alone; bytes that come are life enough
    try:
        opened: BaseChatModel = init_chat_model(model, model_provider=provider, **options)
        return opened
    except ImportError:
        extra = _about(provider).extra
        package = f"'rag-articles[{extra}]'" if extra else f"langchain-{provider.replace('_', '-')}"
        failure = f"{settings.llm} needs a package: pip install {package}"
    except Exception as error:
        failure = f"{settings.llm} cannot be opened: {_one_line(str(error), key)}"
    raise BadRequest(failure)  # out of the except clause, so that it carries no cause that may hold the key


class LangChainModel:
    """A `ChatModel` over one of LangChain. Safe to share between threads."""

    def __init__(self, settings: Settings, model: "BaseChatModel", key: str) -> None:
        """Take an opened model, and the key that it uses, only to keep it out of every text."""
        self._settings = settings
        self._model = model
        self._key = key
        provider = _about(settings.llm.partition(":")[0])
        address = settings.base_url or provider.address
        self._where = f"{settings.llm} at {address}" if address else settings.llm
        self._key_source = settings.llm_key_file or " or ".join((*provider.key_variables, "llm_key_file"))
        self._stop = stop_after_attempt(settings.llm_retries + 1)
        self._retry = retry_if_exception(self._may_pass)

    @property
    def name(self) -> str:
        """How the user called it: ``provider:model``."""
        return self._settings.llm

    @property
    def prompt_tokens(self) -> int:
        """How many tokens a prompt may have, what is left for the answer taken off."""
        return self._settings.llm_context - self._settings.llm_answer

    def count_tokens(self, text: str) -> int:
        """Estimate a text's tokens from above, for any tokenizer: none is known here, and none is downloaded.

        By UTF-8: .4 for an ASCII letter or space, 1 for other ASCII and what takes two bytes, 2.2 for what takes more.
        Nearly always above the tokenizers of cl100k, o200k, Qwen, DeepSeek, Mistral, Claude 2, multilingual-e5 and
        SmolLM2; close to the last, which knows English alone, and about twice what one made for many languages counts.
        """
        small, large = len(_SMALL.findall(text)), len(_LARGE.findall(text))
        return math.ceil(0.4 * small + 2.2 * large + (len(text) - small - large))

    def stream(self, rules: str, request: str) -> Generator[str, None, None]:
        """Give the answer to ``request`` under ``rules`` (the system's message) piece by piece.

        A connection that breaks, an overload (429) or a fault (5xx) before the first piece has the request made again,
        after the pause that the server asks for, if that is not longer than ``llm_timeout``, or else after a growing
        one. Closing the generator ends the request.

        Raises:
            ChatModelFailed: which model at which address, what went wrong and what to do, without the key.
        """
        try:
            for attempt in Retrying(stop=self._stop, wait=_pause, retry=self._retry, reraise=True):
                with attempt, _untraced():
                    reply = _Reply(self._settings.llm_answer)
                    texts = self._texts(rules, request, reply)
                    first = next(texts)
            with closing(texts):
                yield first
                yield from texts
            return
        except Exception as error:
            failure = ChatModelFailed(self._what_happened(error, reply))
        raise failure  # out of the except clause, so that it carries no cause that may hold the key

    async def astream(self, rules: str, request: str) -> AsyncGenerator[str, None]:
        """The same without blocking; cancelling the task ends the request."""
        try:
            async for attempt in AsyncRetrying(stop=self._stop, wait=_pause, retry=self._retry, reraise=True):
                with attempt, _untraced():
                    reply = _Reply(self._settings.llm_answer)
                    texts = self._atexts(rules, request, reply)
                    first = await anext(texts)
            async with aclosing(texts):
                yield first
                async for text in texts:
                    yield text
            return
        except Exception as error:
            failure = ChatModelFailed(self._what_happened(error, reply))
        raise failure

    def _texts(self, rules: str, request: str, reply: "_Reply") -> Generator[str, None, None]:
        chunks = self._model.stream([("system", rules), ("human", request)])
        with closing(cast("Generator[AIMessageChunk, None, None]", chunks)):
            for chunk in chunks:
                if text := reply.take(chunk):
                    yield text
                if reply.is_full:
                    break
        reply.check()

    async def _atexts(self, rules: str, request: str, reply: "_Reply") -> AsyncGenerator[str, None]:
        chunks = self._model.astream([("system", rules), ("human", request)])
        async with aclosing(cast("AsyncGenerator[AIMessageChunk, None]", chunks)):
            async for chunk in chunks:
                if text := reply.take(chunk):
                    yield text
                if reply.is_full:
                    break
        reply.check()

    def _may_pass(self, error: BaseException) -> bool:
        """Tell whether the same request may succeed later; not after a timeout, which was waiting enough."""
        passes = _is_connection(error) or _status(error) == 429 or _status(error) >= 500
        return passes and _asked_pause(error) <= self._settings.llm_timeout

    def _what_happened(self, error: Exception, reply: "_Reply") -> str:
        """Say in one line what went wrong and what to do about it."""
        where, status, said = self._where, _status(error), _one_line(_said(error), self._key)
        if isinstance(error, _BadReply):
            return f"{where} {error}"
        if _is_timeout(error):
            return f"{where} was silent for {self._settings.llm_timeout:g} s; if it is only slow, raise llm_timeout"
        if reply.has_text:
            return f"{where} broke off its answer: {said}"
        if _is_connection(error):
            return f"cannot reach {where}: {said}; is the server running?"
        if status in (401, 403):  # without what was said: some servers repeat the key there
            return f"{where} refused the API key ({status}): see to {self._key_source}"
        if _TOO_LONG.search(said):
            return f"the prompt is too long for {where}; lower llm_context, now {self._settings.llm_context}: {said}"
        if status == 404:
            return f"{where} was not found (404); check the model's name and base_url: {said}"
        if status == 429:
            asked = f" {pause:g} s" if (pause := _asked_pause(error)) else ""
            return f"{where} takes no more requests for now (429); wait{asked}, or see to the quota: {said}"
        if status >= 500:
            return f"{where} failed ({status}); try again, or see its log: {said}"
        if status:
            return f"{where} refused the request ({status}): {said}"
        return f"{where} gave no answer that can be read; check base_url: {type(error).__name__}: {said}"


class _BadReply(Exception):
    """A reply that came without an error and yet is none; the text goes on after the model's name."""


class _Reply:
    """What has come of one request."""

    def __init__(self, answer: int) -> None:
        self.has_text = False
        self._chunks = 0
        self._most = answer + _OPENING
        self._finish = ""

    def take(self, chunk: "AIMessageChunk") -> str:
        """Give the text of a chunk, without what a reasoning model thought."""
        self._chunks += 1
        self._finish = next(
            (str(chunk.response_metadata[k]) for k in _FINISH if k in chunk.response_metadata), self._finish
        )
        self.has_text = self.has_text or bool(chunk.text)
        return str(chunk.text)

    @property
    def is_full(self) -> bool:
        """Whether more came than was asked for, as from servers that do not know ``max_completion_tokens``."""
        return self._chunks > self._most

    def check(self) -> None:
        """Refuse an answer without text or end, once all has come."""
        if not self.has_text:
            raise _BadReply(f"gave no text (finish reason: {self._finish or 'none'}); if it thinks, raise llm_answer")
        if not self._finish and not self.is_full:
            raise _BadReply("stopped in the middle of its answer")


def _untraced() -> AbstractContextManager[None]:
    """Keep the call that begins in this context from LangSmith, whatever the environment says."""
    from langsmith import tracing_context

    return tracing_context(enabled=False)


def _is_timeout(error: BaseException) -> bool:
    return any(kind.__name__ in _SILENT for kind in type(error).__mro__)


def _is_connection(error: BaseException) -> bool:
    return any(kind.__name__ in _BROKEN for kind in type(error).__mro__) and not _is_timeout(error)


def _status(error: BaseException) -> int:
    """Give the HTTP status that a server failed with, 0 if it is none of that."""
    if _is_timeout(error) or _is_connection(error):
        return 0
    named = (_STATUS.get(kind.__name__) for kind in type(error).__mro__)
    given = [getattr(error, "status_code", None), getattr(error, "code", None), *named]
    return next((status for status in given if isinstance(status, int) and status > 0), 0)


def _said(error: BaseException) -> str:
    """Give what a server said, or, if none did, what the system said."""
    body = getattr(error, "body", None)
    body = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(body, dict) and body.get("message"):
        return str(body["message"])
    below: BaseException | None = error
    while below:
        if isinstance(below, OSError) and below.errno:
            return os.strerror(below.errno) if isinstance(below, ConnectionError) else str(below.strerror)
        below = below.__cause__ or below.__context__
    return str(error)


def _one_line(text: str, key: str) -> str:
    """Make a text fit to be shown: without the key, without line breaks and control characters, and not long."""
    safe = text.replace(key, "***") if key else text
    line = " ".join("".join(c if c.isprintable() else " " for c in safe).split())
    return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"


def _pause(state: RetryCallState) -> float:
    """Give the seconds to wait before the next attempt: what the server asks for, or more after each attempt."""
    error = state.outcome.exception() if state.outcome else None
    return (_asked_pause(error) if error else 0) or _BACKOFF(state)


def _asked_pause(error: BaseException) -> float:
    """Read ``Retry-After`` (RFC 9110, 10.2.3) as seconds; 0 if there is none."""
    asked = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
