"""The server as a whole: `rag serve` in processes of its own, started, stopped, killed, and changed from outside."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import SAMPLES, SUBPROCESS, note, write_notes
from starlette.types import Message, Receive, Scope, Send

from rag.server.script_policy import ScriptPolicy, policy_for

LIGHTS = "How many street lights will Cork replace?"


class RagProcess:
    """`rag serve` on a free port of this machine; ``said`` are the lines of its stderr so far."""

    def __init__(self, index: Path, settings: Mapping[str, str] | None = None) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rag", "serve", "--index", str(index), "--port", "0"],
            env={**SUBPROCESS, **(settings or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        opened = threading.Event()
        self._listener = threading.Thread(target=self._listen, args=(opened,), daemon=True)
        self._listener.start()
        assert opened.wait(60) and self.process.poll() is None, self.said
        self.address = next(m[1] for line in self.said if (m := re.search(r"Open (http://\S+)", line)))

    def _listen(self, opened: threading.Event) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("Open "):
                opened.set()
        opened.set()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and give the exit status."""
        self.process.send_signal(how)
        status = self.process.wait(60)
        self._listener.join(10)
        return status


@contextmanager
def serving(index: Path, settings: Mapping[str, str] | None = None) -> Iterator[RagProcess]:
    """Run a server; kill it at the end unless it has ended itself."""
    server = RagProcess(index, settings)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


def rag(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of ``rag`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "rag", *map(str, arguments)],
        env=SUBPROCESS,
        capture_output=True,
        text=True,
        timeout=120,
    )


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Read server-sent events as they come (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    name, data = "message", list[str]()
    for line in response.iter_lines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            yield name, json.loads("\n".join(data))
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


# Beginning and end


def test_a_server_without_an_index_makes_one_and_loses_nothing_whole_when_killed_while_it_adds(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "index"
    articles = [{"text": note(number), "url": f"https://example.org/{number}"} for number in range(60)]
    with serving(folder) as server, server.client() as client:
        refused = client.post("/v1/ask", json={"question": LIGHTS})
        assert refused.status_code == 400
        assert "rag add" in refused.json()["error"]["message"]
        assert client.get("/v1/articles").json() == {"total": 0, "articles": []}
        assert client.get("/readyz").status_code == 200
        first = client.post("/v1/articles", json={"articles": articles[:1]})
        assert first.json()["added"] == 1
        with client.stream(
            "POST", "/v1/articles", json={"articles": articles}, headers={"Accept": "text/event-stream"}
        ) as response:
            assert next(events(response))[0] == "progress"
            server.stop(signal.SIGKILL)
    with serving(folder) as server, server.client() as client:
        checked = rag("check", "--index", folder)
        assert checked.returncode == 0, checked.stdout
        assert "marker0000" in client.post("/v1/search", json={"question": "marker0000"}).json()["hits"][0]["text"]
        again = client.post("/v1/articles", json={"articles": articles}).json()
        assert again["skipped"] == []
        assert client.get("/v1/articles").json()["total"] == 60
        shutil.rmtree(folder)
        gone = client.get("/readyz")
        assert gone.status_code == 503
        assert gone.json()["error"]["type"] == "index_problem"
        assert client.get("/healthz").status_code == 200


@contextmanager
def taken_port() -> Iterator[int]:
    """Take a port, so that nobody else can."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_a_port_in_use_is_said_in_one_line(sample_index_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sample_index_folder, tmp_path / "index")
    with taken_port() as port:
        ended = rag("serve", "--index", folder, "--port", port)
    assert ended.returncode == 2
    (said,) = [line for line in ended.stderr.splitlines() if "UserWarning" not in line and "warnings.warn" not in line]
    assert re.fullmatch(rf"rag: cannot listen on 127\.0\.0\.1:{port} \(.*in use.*\): try another --port, or 0", said)


# Changes from outside


class Askers:
    """Clients that search and ask without a pause, each question a new one; ``statuses`` counts what they were told."""

    def __init__(self, address: str, many: int) -> None:
        self.statuses: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(address, number)) for number in range(many)]
        for thread in self._threads:
            thread.start()

    def _ask(self, address: str, number: int) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            count = 0
            while not self._stop.is_set():
                count += 1
                path = "/v1/ask" if count % 4 == 0 else "/v1/search"
                try:
                    response = client.post(path, json={"question": f"{LIGHTS} ({number}, {count})"})
                    self.statuses[str(response.status_code)] += 1
                except httpx.HTTPError as error:
                    self.statuses[repr(error)] += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def found(client: httpx.Client, question: str) -> str:
    """Give the text of the best passage, once the server has one."""
    response = client.post("/v1/search", json={"question": question, "k": 1})
    assert response.status_code == 200, response.text
    return str(response.json()["hits"][0]["text"])


def test_an_index_changes_and_is_replaced_under_a_server_that_answers(
    sample_index_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(sample_index_folder, tmp_path / "index")
    write_notes(tmp_path / "notes", range(3))
    with serving(folder) as server, server.client() as client:
        askers = Askers(server.address, 4)
        try:
            assert rag("add", tmp_path / "notes", "--index", folder).returncode == 0
            assert "marker0002" in found(client, "Which station is in the district marker0002?")
        finally:
            askers.stop()
        assert set(askers.statuses) == {"200"}, askers.statuses
        assert askers.statuses["200"] > 8

        write_notes(tmp_path / "others", [77])
        askers = Askers(server.address, 4)
        try:
            shutil.rmtree(folder)
            assert rag("add", SAMPLES, tmp_path / "others", "--index", folder).returncode == 0
            assert "marker0077" in found(client, "Which station is in the district marker0077?")
            assert "marker0002" not in found(client, "Which station is in the district marker0002?")
            held = client.get("/v1/status").json()["articles"]
        finally:
            askers.stop()
        assert set(askers.statuses) <= {"200", "503", "400"}, askers.statuses  # there was none, then an empty one
        assert held == 29
        assert client.post("/v1/ask", json={"question": LIGHTS}).json()["text"] == "11,500 [1]"

        began = time.monotonic()
        with client.stream(
            "POST", "/v1/ask", json={"question": "Wie viele Straßenlampen ersetzt Cork?", "stream": True}
        ) as response:
            told = events(response)
            assert next(told)[0] == "progress"
            server.process.send_signal(signal.SIGTERM)
            *_, last = told
        assert last[0] == "done"
        assert last[1]["status"] in ("answered", "partial", "abstained")
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 20
        assert not [line for line in server.said if '"exception"' in line or "Traceback" in line]


# The policy of pages that are not ours


async def _parts(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", scope["content_type"])]})
    for part in (b"<script>a()", b"</script>", b""):
        await send({"type": "http.response.body", "body": part, "more_body": bool(part)})


def passed(content_type: bytes) -> list[Message]:
    """Give what comes through the policy of a response in three parts, in order."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(ScriptPolicy(_parts)({"type": "http", "content_type": content_type}, receive, send))
    return sent


def test_events_pass_the_script_policy_as_they_come() -> None:
    start, *parts = passed(b"text/event-stream; charset=utf-8")
    assert [part["body"] for part in parts] == [b"<script>a()", b"</script>", b""]
    assert [name for name, _ in start["headers"]] == [b"content-type"]


def test_a_page_is_held_back_until_its_scripts_are_known() -> None:
    start, page = passed(b"text/html; charset=utf-8")
    assert page["body"] == b"<script>a()</script>"
    assert dict(start["headers"])[b"content-security-policy"].decode() == policy_for(page["body"])


@pytest.mark.parametrize(
    "page",
    ["<SCRIPT type=module>a()</SCRIPT>", "<script>a()</script\n>", "<script\n>a()</script>", "<script>a()</script x>"],
)
def test_a_script_is_named_however_its_tags_are_written(page: str) -> None:
    assert policy_for(page.encode()).count("sha256-") == 1


def test_a_script_from_a_file_is_not_named() -> None:
    assert "sha256-" not in policy_for(b'<script type="module" crossorigin src="/assets/a.js"></script>')
