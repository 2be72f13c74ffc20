"""Pages out of a real server on loopback; names that do not exist are given addresses by the tests."""

import gzip
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from conftest import text_source
from hypothesis import given
from hypothesis import strategies as st

import index.fetch as fetching
from index.clean import clean
from index.errors import NotAnArticle
from index.fetch import Page, fetch

RU = "Проект трамвайной линии утвердили в Ижевске, она пройдет через четыре квартала."
PUBLIC = "93.184.215.14"  # any address of the public network


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says at one path."""

    body: bytes = b""
    type: str = "text/html"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A web server on loopback, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Handler] = {}
        self.asked: list[BaseHTTPRequestHandler] = []
        site = self

        class _Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self)
                answer = site.answers.get(self.path, Answer(status=404))
                if not isinstance(answer, Answer):
                    answer(self)
                    return
                self.send_response(answer.status)
                if answer.type:
                    self.send_header("Content-Type", answer.type)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that left
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def at(self, path: str, answer: Answer | Handler, host: str = "127.0.0.1") -> str:
        self.answers[path] = answer
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


class Names:
    """Resolves names as a test has it, and lets public addresses lead to loopback; remembers what was done."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, hosts: Mapping[str, list[str]], refusing: tuple[str, ...] = ()
    ) -> None:
        self.resolved: list[str] = []
        self.connected: list[str] = []
        resolve, connect = socket.getaddrinfo, socket.create_connection

        def getaddrinfo(host: bytes | str, port: int | None, family: int = 0, type: int = 0) -> list[Any]:
            if isinstance(host, str):  # a number, on its way to the connection
                return resolve(host, port, family, type)
            self.resolved.append(host.decode())
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in hosts[host.decode()]]

        def create_connection(
            address: tuple[str, int], timeout: float | None, source_address: None = None
        ) -> socket.socket:
            self.connected.append(address[0])
            if address[0] in refusing:
                raise ConnectionRefusedError
            return connect(("127.0.0.1", address[1]), timeout, source_address)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", create_connection)


def _refusal(url: str, allow_private: bool = True) -> str:
    with pytest.raises(NotAnArticle) as refusal:
        fetch(url, allow_private)
    assert len(str(refusal.value).splitlines()) == 1
    return str(refusal.value)


# Pages


def test_a_page_comes_with_its_address_and_bytes(site: Site) -> None:
    url = site.at("/a", Answer(b"<p>hello</p>", "text/html; charset=utf-8"))
    assert fetch(f" {url}#part ", allow_private=True) == Page(url, "html", b"<p>hello</p>")
    agent = site.asked[0].headers["User-Agent"]
    assert "rag-articles" in agent


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("text/html", "html"),
        ("Text/HTML ; Charset=UTF-8", "html"),
        ("application/xhtml+xml", "html"),
        ("text/plain", "text"),
        ("text/markdown; charset=utf-8", "text"),
    ],
)
def test_the_types_of_pages_are_told_apart(site: Site, media_type: str, kind: str) -> None:
    assert fetch(site.at("/a", Answer(RU.encode(), media_type)), allow_private=True).kind == kind


@pytest.mark.parametrize("media_type", ["application/pdf", "image/png", "application/json", "text/css"])
def test_another_type_is_refused_by_its_name(site: Site, media_type: str) -> None:
    assert _refusal(site.at("/a", Answer(b"%PDF", media_type))).startswith(f"unsupported type {media_type}; known:")


def test_an_answer_without_a_type_is_refused(site: Site) -> None:
    assert _refusal(site.at("/a", Answer(b"x", ""))).startswith("unsupported type (none given)")


@pytest.mark.parametrize("status", [204, 304, 403, 404, 500])
def test_a_status_that_is_no_page_is_refused_by_its_number(site: Site, status: int) -> None:
    reason = _refusal(site.at("/a", Answer(type="" if status == 204 else "text/html", status=status)))
    assert reason.startswith("unsupported type (none" if status == 204 else f"127.0.0.1 answered with status {status}")


def test_an_international_host_and_path_are_found_as_people_write_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, {"xn--e1afmkfd.xn--p1ai": [PUBLIC]})
    site.at("/%D0%BF%D1%83%D1%82%D1%8C?q=%D1%91", Answer(b"x"))
    page = fetch(f"http://пример.рф:{site.port}/путь?q=ё")
    assert page.url == f"http://xn--e1afmkfd.xn--p1ai:{site.port}/%D0%BF%D1%83%D1%82%D1%8C?q=%D1%91"
    assert site.asked[0].headers["Host"] == f"xn--e1afmkfd.xn--p1ai:{site.port}"


# Encodings

HEAD = (
    "<html><head>{meta}<title>Трамвай</title></head><body><article><p>{text}</p><p>{text}</p></article></body></html>"
)


@pytest.mark.parametrize(
    ("encoding", "header", "meta"),
    [
        ("cp1251", "text/html; charset=windows-1251", ""),
        ("koi8-r", "text/html; charset=koi8-r", ""),
        ("koi8-r", 'text/html; charset="KOI8-R"', '<meta charset="windows-1251">'),
        ("utf-8", "text/html; charset=utf-8", '<meta charset="windows-1251">'),
        ("cp1251", "text/html", '<meta charset="windows-1251">'),
        ("koi8-r", "text/html", '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">'),
        ("utf-8", "text/html", '<meta charset="utf-16">'),
        ("utf-8-sig", "text/html; charset=koi8-r", ""),
        ("utf-16", "text/html; charset=utf-16", ""),
        ("utf-16-le", "text/html; charset=utf-16le", ""),
        ("cp866", "text/html; charset=ibm866", ""),
        ("cp1251", "text/html; charset=utf-8", ""),
        ("cp1251", "text/html; charset=no-such-thing", ""),
        ("utf-8", "text/html; charset=idna", ""),
        ("utf-8", "text/html; charset=hex", ""),
    ],
)
def test_a_page_is_read_in_the_encoding_it_is_in(site: Site, encoding: str, header: str, meta: str) -> None:
    body = HEAD.format(meta=meta, text=" ".join([RU] * 3)).encode(encoding)
    page = fetch(site.at("/a", Answer(body, header)), allow_private=True)
    assert RU in page.data.decode("utf-8")
    assert not page.data.startswith(b"\xef\xbb\xbf")
    article = clean(text_source(page.data, "html"))
    assert RU in article.text
    assert article.title == "Трамвай"


def test_the_encoding_of_a_few_letters_is_told_by_header_or_meta(site: Site) -> None:
    page = fetch(site.at("/a", Answer("Ёж и уж".encode("cp1251"), "text/plain; charset=cp1251")), allow_private=True)
    assert page.data.decode() == "Ёж и уж"
    body = '<meta charset="koi8-u"><p>Їжак</p>'
    assert fetch(site.at("/b", Answer(body.encode("koi8-u"))), allow_private=True).data.decode() == body


@pytest.mark.parametrize(
    ("encoding", "charset", "text"),
    [("cp1252", "iso-8859-1", "“Straße” – 5 €"), ("gb18030", "gb2312", "朱镕基说"), ("cp932", "shift_jis", "①高﨑")],
)
def test_a_name_means_the_larger_set_that_it_means_on_the_web(
    site: Site, encoding: str, charset: str, text: str
) -> None:
    url = site.at("/a", Answer(text.encode(encoding), f"text/plain; charset={charset}"))
    assert fetch(url, allow_private=True).data.decode() == text


def test_one_damaged_letter_does_not_change_the_encoding_of_a_page(site: Site) -> None:
    body = RU.encode() + b" \xff " + RU.encode() * 20
    text = fetch(site.at("/a", Answer(body, "text/plain; charset=utf-8")), allow_private=True).data.decode()
    assert text == f"{RU} \ufffd {RU * 20}"


def test_a_picture_that_calls_itself_text_is_refused(site: Site) -> None:
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\0" + bytes(range(256)) * 8
    assert _refusal(site.at("/a", Answer(png, "text/plain"))) == "binary data, not text"


# Redirects


def _to(location: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_its_end_is_the_address(site: Site, status: int) -> None:
    end = site.at("/dir/end?x=1", Answer(b"there"))
    assert fetch(site.at("/dir/a", _to("end?x=1#part", status)), allow_private=True) == Page(end, "html", b"there")


def test_five_redirects_are_followed_and_no_more(site: Site) -> None:
    for number in range(6):
        site.at(f"/{number}", _to(f"/{number + 1}"))
    end = site.at("/6", Answer(b"there"))
    assert fetch(site.at("/1", _to("/2")), allow_private=True).url == end
    assert _refusal(site.at("/0", _to("/1"))) == "more than 5 redirects"
    assert len(site.asked) == 6 + 6
    assert _refusal(site.at("/loop", _to("/loop"))) == "more than 5 redirects"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://example.org/a", "only addresses that begin with http:// or https:// are fetched"),
        ("file:///etc/passwd", "only addresses that begin with http:// or https:// are fetched"),
        ("http://user:secret@example.org/", "addresses with a user name or password are not fetched"),
        ("http://[::1", "is no web address"),
    ],
)
def test_each_redirect_is_checked_like_the_first_address(site: Site, location: str, reason: str) -> None:
    refusal = _refusal(site.at("/a", _to(location)))
    assert refusal.startswith("127.0.0.1 redirects") and refusal.endswith(reason)


def test_the_body_of_a_redirect_is_not_read(site: Site) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 100000000000\r\n\r\n")
        for _ in range(10):
            request.wfile.write(b"x" * 1000)
            time.sleep(0.1)

    end = site.at("/end", Answer(b"there"))
    started = time.monotonic()
    assert fetch(site.at("/a", endless), allow_private=True).url == end
    assert time.monotonic() - started < 0.8


def test_a_cookie_is_carried_along_redirects_within_its_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, {"one.example": [PUBLIC], "two.example": [PUBLIC]})
    site.at("/a", Answer(status=302, headers={"Location": "/b", "Set-Cookie": "seen=1"}))
    site.at("/b", _to(f"http://two.example:{site.port}/c"))
    site.at("/c", Answer(b"there"))
    fetch(f"http://one.example:{site.port}/a")
    assert [request.headers["Cookie"] for request in site.asked] == [None, "seen=1", None]


# The network that is not fetched from


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2001:0:1::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_address_of_no_public_network_is_not_connected_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, {"inner.example": [address]})
    reason = "inner.example is an address of this network, which the server does not fetch from"
    assert _refusal("http://inner.example/", allow_private=False) == reason
    assert names.connected == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", PUBLIC, "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_an_address_of_the_public_network_is_connected_to(
    site: Site, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, {"outer.example": [address]})
    assert fetch(site.at("/a", Answer(b"x"), "outer.example")).data == b"x"
    assert names.connected == [address]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_loopback_is_refused_in_every_way_to_write_it(site: Site, host: str) -> None:
    reason = _refusal(site.at("/a", Answer(b"x"), host), allow_private=False)
    assert reason.endswith("is an address of this network, which the server does not fetch from")
    assert site.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, {"mixed.example": [PUBLIC, "10.0.0.1"]})
    assert "address of this network" in _refusal("http://mixed.example/", allow_private=False)
    assert names.connected == []


def test_a_redirect_into_the_network_of_the_server_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, {"outer.example": [PUBLIC], "inner.example": ["127.0.0.1"]})
    secret = site.at("/secret", Answer(b"secret"), "inner.example")
    assert "inner.example is an address of this network" in _refusal(
        site.at("/a", _to(secret), "outer.example"), allow_private=False
    )
    assert names.connected == [PUBLIC]
    assert [request.path for request in site.asked] == ["/a"]


def test_the_address_that_was_checked_is_the_one_connected_to(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = {"rebound.example": [PUBLIC]}
    names = Names(monkeypatch, hosts)

    def rebind(request: BaseHTTPRequestHandler) -> None:
        hosts["rebound.example"] = ["127.0.0.1"]
        request.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nConnection: close\r\n\r\n")

    assert "address of this network" in _refusal(site.at("/a", rebind, "rebound.example"), allow_private=False)
    assert names.resolved == ["rebound.example"] * 2  # once for each connection
    assert names.connected == [PUBLIC]


def test_a_proxy_of_the_environment_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert fetch(site.at("/a", Answer(b"x")), allow_private=True).data == b"x"


# Addresses


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "only addresses that begin with http"),
        ("example.org/a", "only addresses that begin with http"),
        ("//example.org/a", "only addresses that begin with http"),
        ("file:///etc/passwd", "only addresses that begin with http"),
        ("javascript:alert(1)", "only addresses that begin with http"),
        ("http://user:secret@127.0.0.1/", "addresses with a user name or password"),
        ("http://user@127.0.0.1/", "addresses with a user name or password"),
        ("http://", "not a web address"),
        ("http:///a", "not a web address"),
        ("http://[::1", "not a web address"),
        ("http://127.0.0.1:99999/", "not a web address"),
        ("http://127.0.0.1:0/", "not a web address"),
        ("http://a\0b/", "not a web address"),
        ("http://\ud800/", "not a web address"),
        ("http://a..b/", "the host a..b is unknown"),
        (f"http://{'a' * 300}.example/", "the host aaa"),
        ("http://no-such-host.invalid/", "the host no-such-host.invalid is unknown"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(url: str, reason: str) -> None:
    refusal = _refusal(url)
    assert refusal.startswith(reason)
    assert "secret" not in refusal


@given(st.one_of(st.text(), st.text().map(lambda text: f"http://{text}")))
def test_any_text_is_refused_or_asked_for_and_nothing_else(url: str) -> None:
    with patch.object(socket, "getaddrinfo", side_effect=socket.gaierror), pytest.raises(NotAnArticle):
        fetch(url)


def test_the_query_of_an_address_is_neither_logged_nor_in_a_reason(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    site.at("/a?token=sesame", Answer(b"x"))
    fetch(f"http://127.0.0.1:{site.port}/a?token=sesame", allow_private=True)
    assert "sesame" not in _refusal(f"http://127.0.0.1:{site.port}/b?token=sesame")
    assert "sesame" not in caplog.text


# Servers that fail


def test_a_host_where_nothing_listens_refuses(site: Site) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert _refusal(f"http://127.0.0.1:{unused.getsockname()[1]}/") == "127.0.0.1 refused the connection"


def test_the_next_address_is_tried_where_one_refuses(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, {"two.example": ["8.8.8.8", PUBLIC]}, refusing=("8.8.8.8",))
    assert fetch(site.at("/a", Answer(b"x"), "two.example")).data == b"x"
    assert names.connected == ["8.8.8.8", PUBLIC]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "sent an answer that cannot be read"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "sent an answer that cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 50\r\n\r\nten bytes.", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\nno gzip", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\r\nx", "unsupported compression br"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: zstd\r\n\r\nx", "compression zstd"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip, gzip\r\n\r\nx", "unsupported"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a\x1b[31m" + b"b" * 5000 + b"\r\n\r\nx", "unsupported type a[31mbbb"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "status 302"),
    ],
)
def test_a_broken_answer_is_refused_in_one_short_line(site: Site, sent: bytes, reason: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(sent)

    refusal = _refusal(site.at("/a", answer))
    assert reason in refusal
    assert refusal.isprintable() and len(refusal) < 250


def _drip(first: bytes, then: bytes) -> Handler:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(first)
        for _ in range(40):
            request.wfile.write(then)
            time.sleep(0.1)

    return drip


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"", b""),
    ],
)
def test_a_server_that_drips_ends_at_the_deadline(
    site: Site, first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "DEADLINE", 0.6)
    started = time.monotonic()
    assert _refusal(site.at("/a", _drip(first, then))) == "127.0.0.1 took too long to answer"
    assert 0.5 < time.monotonic() - started < 1.5


def test_redirects_share_one_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(request: BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        request.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n")

    monkeypatch.setattr(fetching, "DEADLINE", 0.8)
    assert _refusal(site.at("/a", slow)) == "127.0.0.1 took too long to answer"


def test_a_page_of_the_largest_size_is_fetched_and_one_byte_more_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LARGEST_ARTICLE", 1_000_000)
    assert len(fetch(site.at("/a", Answer(b"x" * 1_000_000)), allow_private=True).data) == 1_000_000
    assert _refusal(site.at("/b", Answer(b"x" * 1_000_001))) == "too large for one article: the limit is 1 MB"


def test_a_compressed_page_is_unpacked_to_its_end_and_no_further(site: Site) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\n\r\n"
    started = time.monotonic()
    page = fetch(site.at("/a", _drip(head + gzip.compress(RU.encode()), b"no gzip")), allow_private=True)
    assert page.data.decode() == RU
    assert time.monotonic() - started < 2
    assert site.asked[0].headers["Accept-Encoding"] == "gzip"


def test_a_page_that_unpacks_to_far_more_is_refused_before_it_has(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST_ARTICLE", 1_000_000)
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 110_000
    url = site.at("/a", Answer(bomb, headers={"Content-Encoding": "gzip"}))
    tracemalloc.start()
    try:
        assert _refusal(url) == "too large for one article: the limit is 1 MB"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    file = tmp_path_factory.mktemp("tls") / "news.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(file), "-out", f"{file}.crt", "-days", "2", "-subj", "/CN=news.example"),
            *("-addext", "subjectAltName=DNS:news.example"),
        ],
        check=True,
        capture_output=True,
    )
    with file.open("a") as both:
        both.write(Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def secure_site(certificate: Path) -> Iterator[tuple[Site, list[str | None]]]:
    """Start a server that speaks TLS; it remembers the names that it was called by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    named: list[str | None] = []
    context.sni_callback = lambda _, name, __: named.append(name)
    site = Site()
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    yield site, named
    site.server.shutdown()
    site.server.server_close()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure_site: tuple[Site, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, {"news.example": [PUBLIC]})
    reason = _refusal(f"https://news.example:{secure_site[0].port}/", allow_private=False)
    assert reason.startswith("the certificate of news.example is not valid: self")  # signed


def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    secure_site: tuple[Site, list[str | None]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, named = secure_site
    context_of_client = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(httpx, "create_ssl_context", lambda trust_env: context_of_client)
    Names(monkeypatch, {"news.example": [PUBLIC], "other.example": [PUBLIC]})
    site.at("/a", Answer(b"x"))
    assert fetch(f"https://news.example:{site.port}/a").data == b"x"
    reason = _refusal(f"https://other.example:{site.port}/a", allow_private=False)
    assert reason.startswith("the certificate of other.example is not valid: Hostname mismatch")
    assert named == ["news.example", "other.example"]


def test_a_server_without_tls_is_no_secure_one(site: Site) -> None:
    assert _refusal(f"https://127.0.0.1:{site.port}/") == "no secure connection to 127.0.0.1 can be made"


def test_a_handshake_that_never_ends_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "DEADLINE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert "took too long" in _refusal(f"https://127.0.0.1:{silent.getsockname()[1]}/")
        assert time.monotonic() - started < 2
