"""What stands before every door: whom the server answers to, who may come in, how much one may send and how often."""

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.server.login import Allowance, ApiKeys, Login, network_of
from rag.settings import Settings

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_HEADERS = {  # of every response that has none of its own
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"permissions-policy": b"camera=(), clipboard-read=(), clipboard-write=(self), display-capture=(), geolocation=(), "
    b"microphone=(), payment=(), usb=()",
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"SAMEORIGIN",
}
_MEGABYTE = 1_000_000
_CONVERSATION = 2 * _MEGABYTE  # as the page sends it
_UPLOAD = "/gradio_api/upload"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOGIN = ("/login", "/logout")
_OPEN = ("/healthz", "/readyz")
_FOR_PROGRAMS = ("/v1", "/mcp", "/metrics")
_UNCOUNTED = ("/rag-static/", "/static/", "/assets/", "/svelte/", *_OPEN)  # a page loads a hundred such files at once
_STARTS = ("http.response.start", "websocket.http.response.start")


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks: how the log calls it, under what it is counted (``None`` for not at all), and whether it may enter."""

    kind: str
    counted_as: str | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a request is not let in, with the status and headers to say so."""

    status: int
    type: str
    message: str
    headers: dict[str, str] | None = None

    def response(self, scope: Scope) -> Response:
        error = {"type": self.type, "message": self.message, "request_id": scope["state"].get("request_id")}
        return JSONResponse({"error": error}, self.status, self.headers)


class Guard:
    """ASGI middleware that lets in what may enter, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, settings: Settings, secret: bytes, page_policy: str = PAGE_POLICY) -> None:
        """Stand before ``app``.

        Args:
            app: what is guarded.
            settings: says who may enter.
            secret: what sessions are signed with.
            page_policy: the content-security policy of responses that have none of their own.

        Raises:
            BadRequest: the password or the keys cannot be read.
        """
        self._app = app
        self._login = Login(settings.password_file, secret) if settings.password_file else None
        self._keys = ApiKeys(settings.api_keys_file) if settings.api_keys_file else None
        self._hosts = _own_hosts(settings)
        self._most_bytes = settings.upload_mb * _MEGABYTE
        self._rate = Allowance(settings.rate_limit) if settings.rate_limit else None
        self._headers = _HEADERS | {b"content-security-policy": page_policy.encode()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        send = self._with_headers(send)
        headers = dict(scope["headers"])
        most_bytes = _most_bytes(scope, self._most_bytes)
        refusal = self._refusal(scope, headers, most_bytes)
        if refusal is not None:
            await _respond(refusal, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await _pass_limited(self._door(scope), most_bytes, scope, receive, send)

    def _door(self, scope: Scope) -> ASGIApp:
        login = self._login
        if login is None or scope["path"] not in _LOGIN:
            return self._app

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            with suppress(ClientDisconnect):
                response = await login.answer(Request(scope, receive))
                await response(scope, receive, send)

        return answer

    def _with_headers(self, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                own = [(name.lower(), value) for name, value in message.get("headers", ())]
                own = [header for header in own if not header[0].startswith(b"access-control-")]
                names = {name for name, _ in own}
                own += [header for header in self._headers.items() if header[0] not in names]
                message = {**message, "headers": own}
            await send(message)

        return with_headers

    # What is refused

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], most_bytes: int) -> "_Refusal | Response | None":
        """Say why a request is refused, cheapest reason first; note in ``scope["state"]`` who asks."""
        scope["state"]["client"] = "unknown"
        if self._hosts is not None and not self._hosts.fullmatch(headers.get(b"host", b"")):
            return _Refusal(
                421,
                "misdirected",
                "this server answers to localhost and 127.0.0.1 only: open it under that name, or set host to the "
                "address under which others are to reach it",
            )
        if (scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS) and _is_cross_site(headers):
            return _Refusal(403, "forbidden", "this request comes from a page of another site: send it from this one")
        if _content_length(headers) > most_bytes:
            return _too_large(most_bytes)
        caller = self._caller(scope, headers)
        scope["state"]["client"] = caller.kind
        return self._too_often(scope, caller) or (
            None if self._may_enter(scope, caller) else self._closed(scope, headers)
        )

    def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> _Caller:
        if self._keys is not None:
            scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
            name = self._keys.name(key.strip()) if scheme.lower() == b"bearer" else None
            if name is not None:
                return _Caller(f"key {name}", f"key {name}", is_known=True)
        network = network_of(scope["client"][0] if scope.get("client") else "")
        is_local = network == "local"
        session = self._login.session(headers.get(b"cookie", b"")) if self._login else None
        if session is not None:
            return _Caller("session", None if is_local else f"session {session}", is_known=True)
        return _Caller("local" if is_local else "remote", None if is_local else network, is_known=False)

    def _too_often(self, scope: Scope, caller: _Caller) -> _Refusal | None:
        if self._rate is None or caller.counted_as is None or scope["path"].startswith(_UNCOUNTED):
            return None
        wait = self._rate.seconds_to_wait(caller.counted_as)
        if wait:
            message = f"too many requests in a minute: try again in {wait} s"
            return _Refusal(429, "rate_limited", message, {"Retry-After": str(wait)})
        self._rate.count(caller.counted_as)
        return None

    def _may_enter(self, scope: Scope, caller: _Caller) -> bool:
        path = scope["path"]
        if caller.is_known:
            return True
        if self._login is not None:
            return path in _OPEN or path in _LOGIN or path.startswith("/rag-static/")
        return self._keys is None or not path.startswith(_FOR_PROGRAMS)

    def _closed(self, scope: Scope, headers: dict[bytes, bytes]) -> "_Refusal | Response":
        """Send a browser to the login, and tell a program what to send."""
        if self._login is not None and _is_navigation(scope, headers):
            query = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
            return RedirectResponse(f"/login?next={quote(target, safe='')}", 303, {"Cache-Control": "no-store"})
        ways = ["send the header 'Authorization: Bearer KEY' with a key of its api_keys_file"] if self._keys else []
        ways += ["log in at /login"] if self._login else []
        message = f"this server does not know you: {', or '.join(ways)}"
        return _Refusal(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


async def _respond(refusal: _Refusal | Response, scope: Scope, receive: Receive, send: Send) -> None:
    response = refusal.response(scope) if isinstance(refusal, _Refusal) else refusal
    await response(scope, receive, send)


def _own_hosts(settings: Settings) -> re.Pattern[bytes] | None:
    """Give the ``Host`` headers that are answered; ``None`` for any.

    A page on the web can have its own name point to 127.0.0.1 and then talk to this server as its own (DNS rebinding);
    such a request still has that name as its host.
    """
    if not _is_loopback(settings.host):
        return None
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    names = {"localhost", "127.0.0.1", "[::1]", own}
    return re.compile(rf"({'|'.join(map(re.escape, names))})(:\d{{1,5}})?".encode(), re.IGNORECASE)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_cross_site(headers: dict[bytes, bytes]) -> bool:
    """Tell whether a page of another site made a request; no program but a browser sends these headers."""
    site = headers.get(b"sec-fetch-site")
    if site in (b"same-origin", b"cross-site"):
        return site == b"cross-site"
    scheme, _, origin = headers.get(b"origin", b"").lower().partition(b"://")
    default_port = b":443" if scheme == b"https" else b":80"
    host = headers.get(b"host", b"").lower()
    return b"origin" in headers and origin.removesuffix(default_port) != host.removesuffix(default_port)


def _is_navigation(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Tell whether a browser is about to show the response as a page."""
    is_reading = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return is_reading and b"text/html" in headers.get(b"accept", b"")


# How much may be sent


def _most_bytes(scope: Scope, upload: int) -> int:
    """Give how long a request may be: an upload at the doors for that, a conversation at the page, less elsewhere."""
    path = scope["path"]
    if path == _UPLOAD or (path == "/v1/articles" and scope.get("method") == "POST"):
        return upload
    return min(upload, _MEGABYTE if path.startswith((*_FOR_PROGRAMS, *_LOGIN)) else _CONVERSATION)


def _content_length(headers: dict[bytes, bytes]) -> int:
    """Give the length announced; what is no number counts for nothing, since what comes is counted as well."""
    announced = headers.get(b"content-length", b"")
    return int(announced[:20]) if announced.isdigit() else 0


def _too_large(most: int, headers: dict[str, str] | None = None) -> _Refusal:
    message = f"the request is too large: {most // _MEGABYTE} MB at most at this address; send less at a time"
    return _Refusal(413, "too_large", message, headers)


async def _pass_limited(app: ASGIApp, most: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Have ``app`` answer, as if the client had left once it has sent too much; the client is told so then."""
    left = most
    has_begun = False

    async def limited_receive() -> Message:
        nonlocal left
        if left < 0:
            return {"type": "http.disconnect"}
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    async def limited_send(message: Message) -> None:
        nonlocal has_begun
        if left >= 0 or has_begun:
            has_begun = True
            await send(message)

    try:
        await app(scope, limited_receive, limited_send)
    except Exception:
        if left >= 0 or has_begun:
            raise
    if left < 0 and not has_begun:
        # Nobody knows how much more would come. Where the length was announced the rest is read and dropped, or else
        # many clients would see a broken connection instead of the refusal.
        await _respond(_too_large(most, {"Connection": "close"}), scope, receive, send)


# What is said at the start


def warnings(settings: Settings) -> list[str]:
    """Give what whoever starts the server has to know about who can reach what, one line each."""
    where = f"{settings.host}:{settings.port}"
    said = []
    if not _is_loopback(settings.host):
        if settings.password_file:
            said.append(f"passwords and answers go to and from {where} unencrypted: put a proxy with https before it")
        else:
            said.append(f"anyone who can reach {where} can read every article and add others: set password_file")
            if settings.fetch_private:
                said.append("they can also have it read pages of your local network: set fetch_private to false")
    if settings.api_keys_file and not settings.password_file:
        said.append("api_keys_file closes /v1, /mcp and /metrics, but not the page: set password_file to close it too")
    return said
