import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import TimestampSigner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from index.errors import BadRequest
from rag.server import login
from rag.server.guard import Guard, warnings
from rag.server.login import COOKIE, Allowance, local_path, network_of
from rag.settings import Settings

SECRET = b"0123456789abcdef"
PASSWORD = "пароль от страницы"
KEY = "sk-0123456789abcdefgh"


async def _size(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def _page(_: Request) -> Response:
    own = {"Content-Security-Policy": "default-src 'none'", "Access-Control-Allow-Origin": "*"}
    return HTMLResponse("<p>An article.", headers=own)


async def _slow(_: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(0.5)
        yield "last"

    return StreamingResponse(parts())


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def doors() -> Starlette:
    """Give an app with a door of every kind."""
    paths = (
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/ask",
        "/v1/articles",
        "/mcp",
        "/rag-static/a.css",
        "/assets/a.js",
    )
    routes = [Route(path, _size, methods=["GET", "POST", "DELETE"]) for path in paths]
    routes += [Route("/articles/{id}", _page), Route("/gradio_api/queue/join", _size, methods=["POST"])]
    return Starlette(routes=[*routes, Route("/slow", _slow), WebSocketRoute("/live", _echo)])


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Run an app in a real server; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def guarded(settings: Settings) -> Iterator[httpx.Client]:
    """Run the doors behind a guard; give a client."""
    with serving(Guard(doors(), settings, SECRET)) as address, httpx.Client(base_url=address) as client:
        yield client


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", "utf-8")
    return str(path)


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    path = tmp_path / "keys"
    path.write_text(f"# for programs\n\nnightly: {KEY}\nzyxwvutsrqponmlk  # no name\n", "utf-8")
    return str(path)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def seen_from(address: str) -> dict[str, str]:
    """Say, as a proxy on this machine does, where a request comes from."""
    return {"X-Forwarded-For": address}


def log_in(
    client: httpx.Client, password: str = PASSWORD, target: str = "/", address: str = "10.0.0.1"
) -> httpx.Response:
    return client.post("/login", data={"password": password, "next": target}, headers=seen_from(address))


def assert_refused(response: httpx.Response, status: int, kind: str) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["type"] == kind
    assert set(error) == {"type", "message", "request_id"}
    assert "\n" not in error["message"]


def send_raw(address: str, *pieces: bytes) -> bytes:
    """Send bytes as they are; give all that comes back until the server closes, or is silent for a second."""
    parts = urlsplit(address)
    with closing(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1)) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while part := connection.recv(65_536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
        return answer


# Hosts and sites


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "LOCALHOST", "127.0.0.1", "127.0.0.1:1", "[::1]:7860"])
def test_this_machines_own_names_are_answered(host: str) -> None:
    with guarded(Settings()) as client:
        assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:7860@evil.example",
        "localhost:x",
        "[::1",
        "",
        " ",
        "127.0.0.1:123456",
        "xlocalhost",
        "\xff\xfe",
        "2130706433",
        "0.0.0.0",
    ],
)
def test_another_host_is_refused_where_only_this_machine_may_ask(host: str) -> None:
    with guarded(Settings()) as client:
        answer = send_raw(str(client.base_url), b"GET / HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n")
        assert answer.split()[1] in (b"421", b"400")
        assert b"misdirected" in answer or b"Invalid HTTP request" in answer


def test_a_request_without_a_host_is_refused() -> None:
    with guarded(Settings()) as client:
        assert send_raw(str(client.base_url), b"GET / HTTP/1.0\r\n\r\n").split()[1] == b"421"


def test_any_host_is_answered_where_others_may_ask() -> None:
    with guarded(Settings(host="0.0.0.0")) as client:
        assert client.get("/", headers={"Host": "rag.example"}).status_code == 200


CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "http://localhost:7860.evil.example"},
    {"Origin": "http://evil.example/localhost:7860"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/articles"), ("DELETE", "/v1/ask"), ("POST", "/gradio_api/queue/join")]
)
def test_a_page_of_another_site_changes_nothing(method: str, path: str, headers: dict[str, str]) -> None:
    with guarded(Settings()) as client:
        response = client.request(method, path, headers={"Host": "localhost:7860", **headers})
        assert_refused(response, 403, "forbidden")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:7860", "http://localhost:7860"),
        ("rag.example", "https://rag.example"),
        ("rag.example:443", "https://rag.example"),
        ("Rag.Example", "https://rag.example"),
        ("[2001:db8::1]:7860", "http://[2001:db8::1]:7860"),
    ],
)
def test_our_own_page_may_post(host: str, origin: str) -> None:
    with guarded(Settings(host="::")) as client:
        assert client.post("/v1/ask", headers={"Host": host, "Origin": origin}).status_code == 200


def test_a_browser_that_says_same_origin_is_believed_and_so_is_a_program() -> None:
    with guarded(Settings()) as client:
        said = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
        assert client.post("/v1/ask", headers=said).status_code == 200
        assert client.post("/v1/ask").status_code == 200


def test_a_page_of_another_site_may_not_open_a_web_socket() -> None:
    with guarded(Settings()) as client:
        address = f"ws://{client.base_url.netloc.decode()}/live"
        with pytest.raises(InvalidStatus) as refused:
            connect(address, origin=Origin("https://evil.example"))
        assert refused.value.response.status_code == 403
        with connect(address) as connection:
            connection.send("hello")
            assert connection.recv() == "hello"


# The login


def test_without_password_and_keys_every_door_is_open() -> None:
    with guarded(Settings()) as client:
        for path in ("/", "/v1/ask", "/mcp", "/metrics", "/articles/1", "/rag-static/a.css"):
            assert client.get(path).status_code == 200
        assert client.get("/login").status_code == 404


def test_with_a_password_only_health_login_and_static_files_are_open(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        for path in ("/healthz", "/readyz", "/rag-static/a.css", "/login"):
            assert client.get(path).status_code == 200
        for path in (
            "/",
            "/v1/ask",
            "/mcp",
            "/metrics",
            "/articles/1",
            "/assets/a.js",
            "/static",
            "/healthz/x",
            "/slow",
        ):
            response = client.get(path)
            assert_refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
        assert_refused(client.post("/gradio_api/queue/join", json={}), 401, "unauthorized")


def test_a_browser_is_sent_to_the_login_and_back(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        wanted = "/articles/a%2Fb?start=1&end=2"
        sent = client.get(wanted, headers={"Accept": "text/html,*/*"})
        assert sent.status_code == 303
        form = client.get(sent.headers["location"]).text
        target = re.search(r'name="next" value="([^"]*)"', form)
        assert target is not None
        back = log_in(client, target=target[1].replace("&amp;", "&"))
        assert (back.status_code, back.headers["location"]) == (303, wanted)
        assert client.get("/articles/1").status_code == 200
        assert client.get("/v1/ask").status_code == 200


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_on_https_from_the_wire(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        cookie = log_in(client).headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie and "max-age=2592000" in cookie
        assert "secure" not in cookie
        headers = {"X-Forwarded-Proto": "https"}
        secure = client.post("/login", data={"password": PASSWORD}, headers=headers).headers["set-cookie"]
        assert "; secure" in secure.lower()


def test_a_session_ends_with_logout_even_for_who_kept_the_cookie(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        log_in(client)
        kept = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
        assert client.get("/").status_code == 200
        assert 'action="/logout"' in client.get("/logout").text
        assert client.get("/").status_code == 200, "reading the page ends nothing: an image elsewhere could"
        left = client.post("/logout")
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert COOKIE not in client.cookies
        assert client.get("/", headers=kept).status_code == 401


def test_a_session_outlives_a_restart_but_neither_a_new_password_nor_a_new_secret(
    password_file: str, tmp_path: Path
) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        log_in(client)
        cookie = client.cookies[COOKIE]
    changed = tmp_path / "changed"
    changed.write_text("another password")

    def status(password: str, secret: bytes) -> int:
        guard = Guard(doors(), Settings(password_file=password), secret)
        return ask(guard, headers=[(b"cookie", f"{COOKIE}={cookie}".encode())])

    assert status(password_file, SECRET) == 200
    assert status(str(changed), SECRET) == 401
    assert status(password_file, b"another secret.") == 401


def test_a_session_ends_after_thirty_days(password_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        log_in(client)
        day = 24 * 3600
        now = time.time()
        for days, status in ((29, 200), (31, 401)):
            monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _, days=days: int(now + days * day))
            assert client.get("/").status_code == status


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "....", "\xff.\xfe.\xfd", "MTIz.aaaa.bbbb"])
def test_a_cookie_of_ones_own_making_opens_nothing(password_file: str, cookie: str) -> None:
    guard = Guard(doors(), Settings(password_file=password_file), SECRET)
    assert ask(guard, headers=[(b"cookie", f"a=b; {COOKIE}={cookie}; c=d".encode("latin-1"))]) == 401


def test_a_wrong_password_is_told_and_the_eleventh_in_a_minute_has_to_wait(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        for _ in range(10):
            wrong = log_in(client, "guess")
            assert wrong.status_code == 403
            assert 'role="alert"' in wrong.text and "guess" not in wrong.text
        late = log_in(client)
        assert late.status_code == 429, "even with the right password, or guessing would go on"
        assert 0 < int(late.headers["retry-after"]) <= 60
        assert log_in(client, address="10.0.0.2").status_code == 303


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"password", b"&" * 500, b"password=%ff", b"password=%F0%90"])
def test_a_form_of_garbage_is_a_wrong_password(password_file: str, body: bytes) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        assert client.post("/login", content=body).status_code == 403


def test_who_leaves_while_logging_in_is_no_error(password_file: str, caplog: pytest.LogCaptureFixture) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        send_raw(str(client.base_url), b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\npass")
        assert client.get("/healthz").status_code == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_login_speaks_the_readers_language_and_can_be_used_without_seeing(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        russian = client.get("/login", headers={"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.8"}).text
        assert '<html lang="ru">' in russian and "Пароль" in russian and "Войти" in russian
        english = client.get("/login", headers={"Accept-Language": "de"})
        assert '<label for="password">Password</label>' in english.text
        assert "default-src 'none'" in english.headers["content-security-policy"]
        assert "unsafe" not in english.headers["content-security-policy"]
        assert "<script" not in english.text and "style=" not in english.text
        assert client.put("/login").status_code == 405


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "evil.example",
        "",
        "\\\\evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "/login?next=/login",
        "/logout",
        "/" + "a" * 3000,
    ],
)
def test_the_login_leads_to_no_other_site(password_file: str, address: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        assert log_in(client, target=address).headers["location"] == "/"


def as_browsers_read(address: str) -> str:
    """Drop and change what the URL standard has browsers drop and change."""
    return re.sub(r"[\t\r\n]", "", address).strip("".join(map(chr, range(33)))).replace("\\", "/")


@given(st.text(alphabet="/\\.:@?#%;\t\r\n\x00 ahx\u2028\ufeffé") | st.text())
def test_whatever_stands_in_next_stays_on_this_server(address: str) -> None:
    target = local_path(address)
    assert target in ("/", address)
    assert urlsplit(urljoin("http://here.example/login", as_browsers_read(target))).netloc == "here.example"


def test_a_login_is_refused_when_another_site_sends_the_form(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        response = client.post("/login", data={"password": PASSWORD}, headers={"Origin": "https://evil.example"})
        assert_refused(response, 403, "forbidden")


def test_a_web_socket_needs_a_session_too(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        address = f"ws://{client.base_url.netloc.decode()}/live"
        with pytest.raises(InvalidStatus) as refused:
            connect(address)
        assert refused.value.response.status_code == 401
        log_in(client)
        with connect(address, additional_headers={"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}) as connection:
            connection.send("hello")
            assert connection.recv() == "hello"


@pytest.mark.parametrize("contents", ["", " \n", None])
def test_a_password_that_is_not_there_stops_the_start(tmp_path: Path, contents: str | None) -> None:
    path = tmp_path / "password"
    if contents is not None:
        path.write_text(contents)
    with pytest.raises(BadRequest, match="password_file"):
        Guard(doors(), Settings(password_file=str(path)), SECRET)


# Keys


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/articles", "/mcp", "/metrics"])
def test_with_keys_programs_need_one(keys_file: str, path: str) -> None:
    with guarded(Settings(api_keys_file=keys_file)) as client:
        for key in (KEY, "zyxwvutsrqponmlk"):
            assert client.get(path, headers=bearer(key)).status_code == 200
        assert client.get(path, headers={"Authorization": f"bearer  {KEY}"}).status_code == 200
        for wrong in (
            bearer(KEY[:-1]),
            bearer(KEY + "x"),
            {"Authorization": "Bearer"},
            bearer("nightly"),
            {"Authorization": KEY},
            {},
        ):
            response = client.get(path, headers=wrong)
            assert_refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"


def test_with_keys_alone_the_page_stays_open(keys_file: str) -> None:
    with guarded(Settings(api_keys_file=keys_file)) as client:
        for path in ("/", "/articles/1", "/rag-static/a.css", "/assets/a.js", "/healthz"):
            assert client.get(path).status_code == 200
        assert client.post("/gradio_api/queue/join", json={}).status_code == 200


def test_with_keys_and_a_password_either_opens(keys_file: str, password_file: str) -> None:
    with guarded(Settings(api_keys_file=keys_file, password_file=password_file)) as client:
        assert client.get("/", headers=bearer(KEY)).status_code == 200
        assert_refused(client.get("/v1/ask"), 401, "unauthorized")
        log_in(client)
        assert client.get("/v1/ask").status_code == 200


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ("", "has no key"),
        ("# only\n\n", "has no key"),
        ("short-key", "16 characters"),
        ("good: 0123456789abcdef\nname: short-key", "line 2"),
        ("not one but several words", "is no key"),
        ("ключ-который-не-отправить", "is no key"),
        (b"\xff\xfe\xff", "not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_bad_file_of_keys_stops_the_start_and_is_not_quoted(
    tmp_path: Path, contents: str | bytes | None, told: str
) -> None:
    path = tmp_path / "keys"
    if contents is not None:
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(BadRequest) as error:
        Guard(doors(), Settings(api_keys_file=str(path)), SECRET)
    assert told in str(error.value) and "api_keys_file" in str(error.value)
    assert "short-key" not in str(error.value) and "\n" not in str(error.value)


# Size


def test_what_says_that_it_is_too_large_is_refused_before_it_is_sent() -> None:
    with guarded(Settings(upload_mb=2)) as client:
        head = b"POST /v1/articles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000001\r\n\r\n"
        answer = send_raw(str(client.base_url), head)
        assert answer.startswith(b"HTTP/1.1 413") and b'"too_large"' in answer
        assert client.post("/v1/articles", content=bytes(2_000_000)).json() == {"bytes": 2_000_000}


@pytest.mark.parametrize("path", ["/v1/ask", "/mcp"])
def test_questions_have_a_limit_of_their_own(path: str) -> None:
    with guarded(Settings(upload_mb=50)) as client:
        assert client.post(path, content=bytes(1_000_000)).status_code == 200
        assert_refused(client.post(path, content=bytes(1_000_001)), 413, "too_large")


def _chunked(path: str, size: int) -> Iterator[bytes]:
    yield f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    for _ in range(size // 10_000):
        yield b"2710\r\n" + bytes(10_000) + b"\r\n"
    yield b"0\r\n\r\n"


def test_chunks_are_counted_and_cut_off() -> None:
    with guarded(Settings(upload_mb=2)) as client:
        address = str(client.base_url)
        assert b'{"bytes":1000000}' in send_raw(address, *_chunked("/v1/ask", 1_000_000))
        for path, size in (("/v1/ask", 1_010_000), ("/v1/articles", 2_010_000)):
            *most, _ = _chunked(path, size)  # without an end: it is refused as soon as it is too much
            answer = send_raw(address, *most)
            assert answer.startswith(b"HTTP/1.1 413") and b'"too_large"' in answer and answer.count(b"HTTP/1.1") == 1


def test_chunks_are_cut_off_also_for_an_app_that_makes_another_error_of_it() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        request = Request(scope, receive)  # type: ignore[arg-type]
        try:
            await request.body()
        except Exception:
            await PlainTextResponse("bad", 400)(scope, receive, send)  # type: ignore[arg-type]

    body = [b"x" * 600_000] * 3
    assert ask(Guard(app, Settings(), SECRET), method="POST", path="/v1/ask", body=body) == 413


# Rate


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    with guarded(Settings(rate_limit=5)) as client:
        headers = seen_from("10.0.0.1")
        assert [client.get("/v1/ask", headers=headers).status_code for _ in range(5)] == [200] * 5
        late = client.get("/v1/ask", headers=headers)
        assert_refused(late, 429, "rate_limited")
        assert 0 < int(late.headers["retry-after"]) <= 60
        assert client.get("/v1/ask", headers=seen_from("10.0.0.2")).status_code == 200
        assert client.get("/assets/a.js", headers=headers).status_code == 200, "parts of a page do not count"
        assert client.get("/healthz", headers=headers).status_code == 200


def test_keys_and_sessions_are_counted_by_themselves(keys_file: str, password_file: str) -> None:
    with guarded(Settings(rate_limit=3, api_keys_file=keys_file, password_file=password_file)) as client:
        for key in (KEY, "zyxwvutsrqponmlk"):  # a key counts wherever it is sent from, this machine too
            sent = [client.get("/", headers=bearer(key) | seen_from(f"10.0.0.{n}")).status_code for n in range(4)]
            assert sent == [200, 200, 200, 429]
        assert client.get("/", headers=bearer(KEY)).status_code == 429
        log_in(client)
        sent = [client.get("/", headers=seen_from(f"10.0.1.{n}")).status_code for n in range(4)]
        assert sent == [200, 200, 200, 429]


def test_this_machine_is_not_counted_and_zero_is_no_limit() -> None:
    with guarded(Settings(rate_limit=1)) as client:
        assert {client.get("/").status_code for _ in range(5)} == {200}
    with guarded(Settings(rate_limit=0)) as client:
        assert {client.get("/", headers=seen_from("10.0.0.1")).status_code for _ in range(5)} == {200}


def test_guessing_keys_is_counted_by_address(keys_file: str) -> None:
    with guarded(Settings(rate_limit=3, api_keys_file=keys_file)) as client:
        guesses = [bearer(f"guess-number-{n:08}") | seen_from("10.0.0.1") for n in range(4)]
        assert [client.get("/v1/ask", headers=guess).status_code for guess in guesses] == [401, 401, 401, 429]


def test_an_allowance_is_given_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("rag.server.login.time.monotonic", lambda: now)
    allowance = Allowance(2)
    for _ in range(2):
        assert allowance.seconds_to_wait("a") == 0
        allowance.count("a")
    now += 20.5
    assert allowance.seconds_to_wait("a") == 40
    assert allowance.seconds_to_wait("b") == 0
    now += 39.5
    assert allowance.seconds_to_wait("a") == 0


def test_an_allowance_forgets_the_oldest_of_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_REMEMBERED", 1000)
    allowance = Allowance(1)
    for number in range(5000):
        allowance.count(f"address {number}")
    assert len(allowance._windows) == 1000
    assert allowance.seconds_to_wait("address 4999") > 0


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:127.0.0.1", "::1", True),
        ("127.0.0.2", "127.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, other: str, same: bool) -> None:
    assert (network_of(address) == network_of(other)) is same


# Headers


def test_every_response_has_security_headers_and_none_opens_it_to_other_sites(password_file: str) -> None:
    with guarded(Settings(password_file=password_file)) as client:
        refused = client.get("/v1/ask")
        moved = client.get("/", headers={"Accept": "text/html"})
        form = client.get("/login")
        misdirected = client.get("/", headers={"Host": "evil.example"})
        log_in(client)
        own = client.get("/articles/1", headers={"Origin": "https://evil.example"})
        for response in (refused, moved, form, misdirected, own, client.get("/nothing")):
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["x-frame-options"] == "SAMEORIGIN"
            assert response.headers["cross-origin-opener-policy"] == "same-origin"
            assert "clipboard-write=(self)" in response.headers["permissions-policy"]
            assert response.headers["referrer-policy"] in ("no-referrer", "same-origin")
            assert response.headers.get_list("content-security-policy") != []
            assert not [name for name in response.headers if name.startswith("access-control-")]
        assert own.headers.get_list("content-security-policy") == ["default-src 'none'"]
        assert refused.headers["referrer-policy"] == "no-referrer"


def test_the_policy_of_pages_can_be_given() -> None:
    with serving(Guard(doors(), Settings(), SECRET, page_policy="default-src 'self'")) as address:
        assert httpx.get(address).headers["content-security-policy"] == "default-src 'self'"


# Streams and garbage


def test_a_stream_passes_unbuffered() -> None:
    with guarded(Settings()) as client, client.stream("GET", "/slow") as response:
        arrived = [(part, time.monotonic()) for part in response.iter_bytes()]
    assert [part for part, _ in arrived] == [b"first", b"last"]
    assert arrived[1][1] - arrived[0][1] > 0.3


def ask(
    app: ASGIApp,
    method: str = "GET",
    path: str = "/",
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: Iterable[bytes] = (b"",),
    client: tuple[str, int] | None = ("127.0.0.1", 1),
) -> int:
    """Call an app without a server, as one with any bytes in its headers; give the one status that it sends."""
    parts = list(body)
    messages = [{"type": "http.request", "body": p, "more_body": n < len(parts)} for n, p in enumerate(parts, 1)]
    sent: list[Message] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "server": ("127.0.0.1", 80),
        "client": client,
    }

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def call() -> None:
        await app(scope, receive, send)

    asyncio.run(call())
    (status,) = [message["status"] for message in sent if message["type"] == "http.response.start"]
    assert sent[-1]["type"] == "http.response.body" and not sent[-1].get("more_body")
    assert isinstance(status, int)
    return status


NAMES = ["host", "origin", "sec-fetch-site", "cookie", "authorization", "content-length", "accept", "accept-language"]
VALUES = st.binary(max_size=60) | st.sampled_from(
    [
        b"Bearer ",
        b"Bearer \xff",
        f"{COOKIE}=".encode(),
        f"{COOKIE}=a.b.c".encode(),
        b"[::1",
        b"http://[",
        b"9" * 30,
        b"-1",
    ]
)
GARBAGE = st.lists(st.tuples(st.sampled_from([name.encode() for name in NAMES]), VALUES), max_size=4)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    """Give a guard that looks at everything."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "password").write_text(PASSWORD, "utf-8")
    (folder / "keys").write_text(KEY)
    settings = Settings(host="0.0.0.0", password_file=str(folder / "password"), api_keys_file=str(folder / "keys"))
    return Guard(doors(), settings, SECRET)


@settings(deadline=None, max_examples=300)
@given(
    headers=GARBAGE,
    method=st.sampled_from(["GET", "POST", "OPTIONS", "X"]),
    path=st.sampled_from(
        ["/", "/login", "/logout", "/v1/ask", "/healthz", "/mcp/x", "//v1", "", "/rag-static/../v1/ask"]
    ),
    body=st.binary(max_size=50),
    client=st.none() | st.tuples(st.text(max_size=10), st.just(1)),
)
def test_no_garbage_is_an_error_of_ours(
    strict: Guard,
    headers: list[tuple[bytes, bytes]],
    method: str,
    path: str,
    body: bytes,
    client: tuple[str, int] | None,
) -> None:
    status = ask(strict, method, path, headers, [body], client)
    assert status in (200, 303, 401, 403, 404, 405, 413, 429)
    assert status != 200 or path in ("/login", "/logout", "/healthz"), "garbage opens nothing"


# What is said at the start


def said(settings: Settings) -> str:
    return json.dumps(warnings(settings))


def test_the_start_says_who_can_reach_what() -> None:
    assert warnings(Settings()) == [] == warnings(Settings(host="localhost")) == warnings(Settings(host="::1"))
    assert "anyone who can reach 0.0.0.0:7860" in said(Settings(host="0.0.0.0"))
    assert "set password_file" in said(Settings(host="0.0.0.0"))
    assert "fetch_private" in said(Settings(host="0.0.0.0", fetch_private=True))
    assert "not the page" in said(Settings(api_keys_file="keys"))
    assert "anyone" not in said(Settings(host="0.0.0.0", password_file="password"))
    assert "https" in said(Settings(host="0.0.0.0", password_file="password"))
