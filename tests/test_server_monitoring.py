import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from test_server_guard import KEY, PASSWORD, SECRET, bearer, log_in, seen_from, send_raw, serving
from websockets.sync.client import connect

from rag.server.guard import Guard
from rag.server.login import COOKIE
from rag.server.monitoring import JsonFormatter, Monitor, configure_logging
from rag.settings import Settings
from rag.types import Answer

QUESTION = "quixotic-zebra-question"  # a word that stands nowhere else
ANSWER = Answer(
    QUESTION, QUESTION, "", "abstained", 0.1, (), (), "en", None, timings={"rewrite_ms": 3.0, "answer_ms": 700.0}
)


def app() -> FastAPI:
    """Give an app whose doors fail in every way, with what they were asked in the text of the error."""
    doors = FastAPI()
    v1 = APIRouter(prefix="/v1")

    @v1.post("/ask")
    async def ask(request: Request) -> Response:
        return JSONResponse({"asked": (await request.body()).decode()})

    @v1.post("/fail")
    async def fail(request: Request) -> Response:
        try:
            raise ValueError((await request.body()).decode())
        except ValueError as error:
            raise RuntimeError(f"cannot answer {error}") from ExceptionGroup(str(error), [error])

    @v1.post("/break")
    async def breaking(request: Request) -> Response:
        question = (await request.body()).decode()

        async def parts() -> AsyncIterator[str]:
            yield "some"
            raise ValueError(question)

        return StreamingResponse(parts())

    @v1.post("/forget")
    async def forget(request: Request) -> Response:
        async def fail() -> None:
            raise ValueError(question)

        question = (await request.body()).decode()
        task = asyncio.create_task(fail())
        await asyncio.sleep(0.01)
        del task  # nobody asks how it went: asyncio logs that
        return JSONResponse({})

    @doors.get("/articles/{article_id}")
    async def article(article_id: str) -> str:
        return article_id

    @doors.get("/gradio_api/heartbeat/{session}")
    async def heartbeat(session: str) -> str:
        return session

    @doors.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    inner = FastAPI()
    inner.get("/tools/{name}")(article_name)
    doors.include_router(v1)
    doors.mount("/mcp", inner)
    return doors


async def article_name(name: str) -> str:
    return name


def monitor(settings: Settings | None = None) -> Monitor:
    return Monitor(Guard(app(), settings or Settings(), SECRET), lambda: 2, lambda: 30, lambda: 400)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Give what is logged, as `configure_logging` has it."""
    stream = io.StringIO()
    root = logging.getLogger()
    before, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    root.handlers.clear()  # `configure_logging` would close those of pytest
    configure_logging(stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.raiseExceptions = raising


def lines(log: io.StringIO, message: str = "") -> list[dict[str, Any]]:
    read = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in read if not message or line["message"] == message]


def samples(watching: Monitor) -> dict[tuple[str, str], float]:
    """Give the figures by name and labels."""
    text, kind = watching.exposition()
    assert kind.startswith("text/plain")
    families = text_string_to_metric_families(text.decode())
    return {(s.name, ",".join(map(str, s.labels.values()))): s.value for family in families for s in family.samples}


# Request ids


def test_a_request_id_is_kept_told_and_passed_on() -> None:
    with serving(monitor()) as address:
        assert httpx.get(address, headers={"X-Request-ID": "My-id_1.2"}).headers["x-request-id"] == "My-id_1.2"
        refused = httpx.get(address, headers={"Host": "evil.example", "X-Request-ID": "abc"})
        assert refused.json()["error"]["request_id"] == "abc" == refused.headers["x-request-id"]


@given(st.binary(max_size=80))
def test_an_odd_request_id_is_replaced(given_id: bytes) -> None:
    sent: list[Message] = []
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", given_id)], "state": {}}

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Message) -> None:
        sent.append(message)

    async def call() -> None:
        await Monitor(answer, int, int, int)(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(call())
    own = dict(sent[0]["headers"])[b"x-request-id"]
    assert re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", own)
    assert own == given_id or not re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", given_id)


# The log


def test_a_request_is_one_line_of_json(log: io.StringIO) -> None:
    with serving(monitor()) as address:
        asked = httpx.post(f"{address}/v1/ask?q=1", content=b"0123456789")
        httpx.get(f"{address}/articles/some-id?start=1")
        httpx.get(f"{address}/mcp/tools/search")
        httpx.get(f"{address}/mcp/nothing")
        httpx.get(f"{address}/nothing/here")
        httpx.request("BREW", f"{address}/v1/nothing")
    first, *others = lines(log, "request")
    assert first.pop("ms") > 0 and first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "rag.server",
        "message": "request",
        "request_id": asked.headers["x-request-id"],
        "method": "POST",
        "path": "/v1/ask",
        "status": 200,
        "client": "local",
        "bytes": len(asked.content),
    }
    assert [(line["path"], line["status"], line["method"]) for line in others] == [
        ("/articles/{article_id}", 200, "GET"),
        ("/mcp/tools/{name}", 200, "GET"),
        ("/mcp", 404, "GET"),
        ("other", 404, "GET"),
        ("/v1", 404, "other"),
    ]


def test_uvicorns_own_lines_have_the_same_form_and_none_is_about_a_request(log: io.StringIO) -> None:
    with serving(monitor()) as address:
        httpx.get(f"{address}/articles/1")
        send_raw(address, b"garbage\r\n\r\n")
    by_logger = {line["logger"] for line in lines(log)}
    assert by_logger == {"rag.server", "uvicorn.error"}
    assert len(lines(log, "request")) == 1
    assert any(line["level"] == "warning" for line in lines(log))


def test_what_a_page_sends_all_the_time_is_logged_for_debugging_only(log: io.StringIO) -> None:
    with serving(monitor()) as address:
        httpx.get(f"{address}/gradio_api/heartbeat/abc")
    assert lines(log, "request") == []
    logging.getLogger("rag.server").setLevel(logging.DEBUG)
    with serving(monitor()) as address:
        httpx.get(f"{address}/gradio_api/heartbeat/abc")
    logging.getLogger("rag.server").setLevel(logging.NOTSET)
    (line,) = lines(log, "request")
    assert (line["level"], line["path"]) == ("debug", "/gradio_api/heartbeat/{session}")


def test_an_error_is_logged_with_its_place_and_the_requests_id(log: io.StringIO) -> None:
    with serving(monitor()) as address:
        failed = httpx.post(f"{address}/v1/fail", content=QUESTION, headers={"X-Request-ID": "the-failing-one"})
        assert failed.status_code == 500
    (trace,) = [line for line in lines(log) if "exception" in line]
    assert (trace["status"], trace["level"], trace["request_id"]) == (500, "error", "the-failing-one")
    kinds = [part for part in trace["exception"] if not part.startswith(" ")]
    assert kinds == ["builtins.RuntimeError", "builtins.ExceptionGroup", "builtins.ValueError"]
    assert any(re.fullmatch(r"  .*test_server_monitoring\.py:\d+ fail", part) for part in trace["exception"])


def test_the_log_never_holds_a_question_a_key_a_password_or_a_cookie(tmp_path: Path, log: io.StringIO) -> None:
    (tmp_path / "password").write_text(PASSWORD, "utf-8")
    (tmp_path / "keys").write_text(f"nightly: {KEY}")
    settings = Settings(
        password_file=str(tmp_path / "password"), api_keys_file=str(tmp_path / "keys"), rate_limit=12, upload_mb=1
    )
    wrong_key, wrong_password = "wrong-key-0123456789", "wrong-password"
    with serving(monitor(settings)) as address, httpx.Client(base_url=address) as client:
        for path in ("/v1/ask", "/v1/fail", "/v1/forget", f"/v1/{QUESTION}", f"/{QUESTION}", f"/articles/{QUESTION}"):
            for headers in (
                bearer(KEY),
                bearer(wrong_key),
                bearer(QUESTION),
                {"X-Request-ID": f"{QUESTION} "[:-1] + "?"},
            ):
                client.post(path, content=QUESTION, headers=headers, params={"q": QUESTION})
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/v1/break", content=QUESTION, headers=bearer(KEY) | seen_from("10.0.0.9"))
        client.post("/v1/ask", content=QUESTION * 100_000, headers=bearer(KEY))
        client.get("/", params={"q": QUESTION}, headers={"Accept": "text/html"})
        for _ in range(12):
            client.get("/v1/ask", params={"q": QUESTION}, headers=bearer(KEY))
        client.get("/", headers={"Host": f"{QUESTION}.example"})
        client.post("/v1/ask", headers={"Origin": f"https://{QUESTION}.example"})
        log_in(client, wrong_password)
        log_in(client, target=f"/?q={QUESTION}")
        cookie = client.cookies[COOKIE]
        client.post("/v1/fail", content=QUESTION)
        client.request(QUESTION, "/")
        ws = address.replace("http", "ws")
        with connect(f"{ws}/live?q={QUESTION}", additional_headers={"Cookie": f"{COOKIE}={cookie}"}) as connection:
            connection.send(QUESTION)
            assert connection.recv() == QUESTION
        send_raw(address, f"GET /?{QUESTION} {KEY}\r\n\r\n".encode())
        client.post("/logout")
    logged = log.getvalue()
    for secret in (QUESTION, KEY, wrong_key, PASSWORD, wrong_password, cookie, cookie.partition(".")[0], "10.0.0"):
        assert secret not in logged
    assert PASSWORD not in json.dumps(lines(log), ensure_ascii=False)
    assert {line["status"] for line in lines(log, "request")} >= {101, 200, 303, 401, 403, 404, 413, 421, 429, 500}
    assert {line["client"] for line in lines(log, "request")} >= {
        "key nightly",
        "session",
        "local",
        "remote",
        "unknown",
    }
    assert any(line["logger"] == "asyncio" for line in lines(log)), "the task that nobody asked for is told"


def test_a_question_is_logged_only_where_the_settings_say_so(log: io.StringIO) -> None:
    watching = monitor()
    watching.answered(ANSWER, question_logged=False)
    assert log.getvalue() == ""
    watching.answered(ANSWER, question_logged=True)
    (line,) = lines(log)
    assert (line["message"], line["question"], line["status"]) == ("question", QUESTION, "abstained")


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_whatever_is_logged_is_one_line_of_json_that_can_be_written(text: str) -> None:
    line = JsonFormatter().format(logging.LogRecord("rag", logging.INFO, "", 0, text, None, None))
    assert "\n" not in line and line.encode("utf-8")
    assert json.loads(line)["message"] == text.strip() or any("\ud800" <= c <= "\udfff" for c in text)


# Figures


def test_requests_are_counted_by_route_and_status() -> None:
    watching = monitor()
    with serving(watching) as address:
        for number in range(3):
            httpx.get(f"{address}/articles/{number}")
            httpx.get(f"{address}/unknown-{number}")
        httpx.post(f"{address}/v1/fail", content=b"x")
    figures = samples(watching)
    assert figures["rag_requests_total", "/articles/{article_id},200"] == 3
    assert figures["rag_requests_total", "other,404"] == 3
    assert len({labels for name, labels in figures if name == "rag_requests_total"}) == 3
    assert figures["rag_requests_total", "/v1/fail,500"] == 1
    assert figures["rag_request_seconds_count", "/articles/{article_id}"] == 3


def test_answers_stages_and_the_state_of_the_server_are_told() -> None:
    watching = monitor()
    watching.answered(ANSWER, question_logged=False)
    figures = samples(watching)
    assert figures["rag_answers_total", "reader,abstained"] == 1
    assert figures["rag_stage_seconds_sum", "answer"] == 0.7
    assert figures["rag_stage_seconds_sum", "rewrite"] == 0.003
    assert [figures[name, ""] for name in ("rag_waiting", "rag_articles", "rag_passages")] == [2, 30, 400]
    assert figures["process_resident_memory_bytes", ""] > 1_000_000
    assert figures["process_cpu_seconds_total", ""] > 0


def test_two_apps_in_one_process_keep_their_figures_apart() -> None:
    one, other = monitor(), monitor()
    one.answered(ANSWER, question_logged=False)
    assert ("rag_answers_total", "reader,abstained") in samples(one)
    assert ("rag_answers_total", "reader,abstained") not in samples(other)
