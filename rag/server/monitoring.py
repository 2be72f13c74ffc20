"""What an operator sees: one log line a request and figures for Prometheus. Who asked what stays private.

The log never holds a query string, a path that is not ours, a header, a body or the text of an unexpected error, since
any of these may hold a question or a key. Addresses of clients are left out too: they are personal data. A line names
its client as ``key NAME``, ``session``, ``local`` (this machine) or ``remote``; ``unknown`` was turned away before.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO
from uuid import uuid4

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.types import Answer

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_QUIET = (
    "/gradio_api/heartbeat",
    "/assets/",
    "/svelte/",
    "/rag-static/",
    "/static/",
    "/theme.css",
    "/healthz",
    "/readyz",
    "/metrics",
)
_DOORS = {"v1", "mcp", "metrics", "articles", "login", "logout", "static", "gradio_api"}  # where no route was reached
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # upper ends of the histograms' buckets
_CLIENT_LEFT = 499  # the status under which nginx logs a client that did not wait
_FIELDS = ("method", "path", "status", "ms", "client", "bytes", "question")

log = logging.getLogger("rag.server")
_request_id: ContextVar[str] = ContextVar("request_id")


class Monitor:
    """ASGI middleware, the outermost: request ids, the log and the figures."""

    def __init__(
        self, app: ASGIApp, waiting: Callable[[], int], articles: Callable[[], int], passages: Callable[[], int]
    ) -> None:
        """Stand before ``app``; the others tell how many questions wait, and what the index holds, when asked."""
        self._app = app
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("rag_requests", "Requests answered", ["route", "status"], registry=registry)
        self._latency = Histogram(
            "rag_request_seconds",
            "From a request to the end of its response",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._answers = Counter("rag_answers", "Answers given", ["status", "answerer"], registry=registry)
        self._stages = Histogram(
            "rag_stage_seconds", "Stages of an answer", ["stage"], buckets=_SECONDS, registry=registry
        )
        Gauge("rag_waiting", "Questions that wait in line", registry=registry).set_function(waiting)
        Gauge("rag_articles", "Articles in the index", registry=registry).set_function(articles)
        Gauge("rag_passages", "Passages in the index", registry=registry).set_function(passages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it went."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(send, _given_id(scope) or uuid4().hex)
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        _request_id.set(exchange.request_id)  # never reset: the server runs each request in a context of its own
        error = None
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as raised:
            error = raised
            exchange.status = exchange.status or 500
            if not exchange.is_complete:
                raise  # for the server to end the response, or break it off
        finally:
            self._note(scope, exchange, error)

    def _note(self, scope: Scope, exchange: "_Exchange", error: Exception | None) -> None:
        route = _route(scope)
        seconds = time.perf_counter() - exchange.began
        status = exchange.status or _CLIENT_LEFT
        self._requests.labels(route, status).inc()
        self._latency.labels(route).observe(seconds)
        is_quiet = scope["path"].startswith(_QUIET) and status < 400
        level = logging.ERROR if error or status >= 500 else logging.DEBUG if is_quiet else logging.INFO
        if log.isEnabledFor(level):
            method = scope.get("method", "WEBSOCKET")
            noted = {
                "method": method if method in _METHODS or scope["type"] == "websocket" else "other",
                "path": route,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "client": scope["state"].get("client", "unknown"),
                "bytes": exchange.bytes,
            }
            log.log(level, "request", extra=noted, exc_info=error)

    def answered(self, answer: Answer, question_logged: bool) -> None:
        """Count an answer; write its question to the log if ``question_logged`` (the setting ``log_questions``)."""
        self._answers.labels(answer.status, answer.answerer).inc()
        for stage, milliseconds in answer.timings.items():
            self._stages.labels(stage.removesuffix("_ms")).observe(milliseconds / 1000)
        if question_logged:
            log.info("question", extra={"question": answer.question, "status": answer.status})

    def exposition(self) -> tuple[bytes, str]:
        """Give the figures as Prometheus reads them, and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Exchange:
    """A response on its way out: its status (0 before it begins), the bytes of its body so far, whether it ended."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self.bytes = 0
        self.is_complete = False
        self.began = time.perf_counter()
        self._send = send

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            own = (b"x-request-id", self.request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), own]}
        elif kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.close":
            self.status = self.status or 403
        else:
            self.bytes += len(message.get("body") or message.get("bytes") or message.get("text") or b"")
        await self._send(message)
        self.is_complete = kind.endswith("http.response.body") and not message.get("more_body")


def _given_id(scope: Scope) -> str | None:
    given = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else None


def _route(scope: Scope) -> str:
    """Give the template of a request's path, ``other`` if no route is known: few values, none of them a client's."""
    route = scope.get("route")
    path: str = getattr(route, "path", "")
    if path and not isinstance(route, Mount):
        return f"{scope.get('root_path', '')}{path}"  # below a mount, the path before it stands in root_path
    door = scope["path"].split("/", 2)[1:2]
    return f"/{door[0]}" if door and door[0] in _DOORS else "other"


# The log


class JsonFormatter(logging.Formatter):
    """One JSON object a line. Of an exception it tells its kind and where it was raised, not its text."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        message = record.getMessage()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # asyncio goes on with the repr of a task, which holds its exception's text.
            "message": message.partition("\n")[0] if record.name == "asyncio" else message.strip(),
        }
        if request_id := _request_id.get(""):
            line["request_id"] = request_id
        line |= {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info and record.exc_info[1]:
            line["exception"] = list(_trace(record.exc_info[1]))
        # Half a surrogate pair, which no stream takes, becomes the escape that JSON has for it.
        return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()


def _trace(error: BaseException) -> Iterator[str]:
    """Tell what was raised where, then what it was raised from, and each error of a group."""
    yield f"{type(error).__module__}.{type(error).__qualname__}"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} {frame.name}"
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _trace(part)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _trace(cause)


def configure_logging(stream: TextIO = sys.stderr) -> None:
    """Have everything that this process logs written as JSON; uvicorn has to be run with ``log_config=None``.

    uvicorn's own lines about requests are left out: they have query strings. On a terminal only warnings are written.
    """
    logging.raiseExceptions = False  # a line that cannot be written would be told on stderr, with all that it holds
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("rag", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING if stream.isatty() else logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn.error").addFilter(_is_no_address)


def _is_no_address(record: logging.LogRecord) -> bool:
    """Tell whether a line of uvicorn's is none about a WebSocket, which it does not count as access."""
    return '"WebSocket %s"' not in str(record.msg)
