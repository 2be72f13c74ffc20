"""Who may come in: the password with its login page and sessions, the keys of other programs, and how often."""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import parse_qs

from itsdangerous import BadSignature, TimestampSigner
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from index.errors import BadRequest
from rag.server.interface import Language, language_of

COOKIE = "rag_session"
SESSION_SECONDS = 30 * 24 * 3600
WRONG_TRIES = 10  # a minute and address
SHORTEST_KEY = 16  # characters
_MINUTE = 60.0  # seconds
_REMEMBERED = 100_000  # addresses, or sessions that were ended
_LONGEST_NEXT = 2000  # characters

# A browser reads `//host`, `/\host` and either one with tabs or line ends in between as another site.
_LOCAL_PATH = re.compile(r"/(?!/)[^\\\x00-\x20\x7f]*")
_KEY_LINE = re.compile(r"(?:([\w.-]{1,64})\s*:\s*)?([A-Za-z0-9._~+/-]+=*)")  # a key is a token of RFC 6750

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Allowance:
    """So many events a minute for each key; a key's minute begins with its first event.

    Memory is bounded: the oldest key is forgotten first. For one event loop. (The library ``limits`` starts a thread
    for nearly every event, which sweeps all its keys.)
    """

    def __init__(self, most: int) -> None:
        """Allow ``most`` events, 1 or more."""
        self._most = most
        self._windows: OrderedDict[str, _Window] = OrderedDict()  # by the time they began

    def seconds_to_wait(self, key: str) -> int:
        """Give the seconds until another event is allowed, 0 for at once."""
        now = time.monotonic()
        while self._windows and next(iter(self._windows.values())).began + _MINUTE <= now:
            self._windows.popitem(last=False)
        window = self._windows.get(key)
        return 0 if window is None or window.events < self._most else math.ceil(window.began + _MINUTE - now)

    def count(self, key: str) -> None:
        """Count an event."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(time.monotonic())
            if len(self._windows) > _REMEMBERED:
                self._windows.popitem(last=False)
        window.events += 1


@dataclass(slots=True)
class _Window:
    began: float  # seconds of the monotonic clock
    events: int = 0


@lru_cache(10_000)
def network_of(address: str) -> str:
    """Give what one client has: an IPv4 address, or the /64 of an IPv6 address; ``local`` for this machine."""
    try:
        known = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(known, IPv6Address):
        known = known.ipv4_mapped or known
    if known.is_loopback:
        return "local"
    return known.packed[:8].hex() if isinstance(known, IPv6Address) else str(known)


class ApiKeys:
    """The keys of other programs, by their hashes."""

    def __init__(self, path: str) -> None:
        """Read a file with one key a line, ``key`` or ``name: key``; comments begin with ``#``.

        Raises:
            BadRequest: it cannot be read, has no key, or one that is too short or could not be sent.
        """
        self._names: dict[bytes, str] = {}
        for number, line in enumerate(_read(path, "api_keys_file").splitlines(), 1):
            line = line.partition("#")[0].strip()
            if line:
                name, key = _name_and_key(line, f"line {number} of {path}")
                self._names[_digest(key.encode())] = name
        if not self._names:
            raise BadRequest(f"{path} (api_keys_file) has no key: write one a line, as {secrets.token_urlsafe()}")

    def name(self, key: bytes) -> str | None:
        """Give the name of a key, ``None`` if it is not one; takes the same time for every key."""
        digest, found = _digest(key), None
        for known, name in self._names.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def _name_and_key(line: str, where: str) -> tuple[str, str]:
    """Split a line; what it says in an error never holds the key."""
    match = _KEY_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(f"{where} (api_keys_file) is no key: write KEY or NAME: KEY; letters, digits and ._~+/- only")
    name, key = match[1], match[2]
    if len(key) < SHORTEST_KEY:
        raise BadRequest(f"the key in {where} (api_keys_file) is too easy to guess: {SHORTEST_KEY} characters or more")
    return name or hashlib.sha256(key.encode()).hexdigest()[:8], key


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _read(path: str, setting: str) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadRequest(f"cannot read {path} ({why}): write it, or change the setting {setting}") from error


class Login:
    """The password of the page, and the sessions of those who gave it.

    A session is a signed cookie. The key that signs it comes from the password too: a new password ends all sessions.
    """

    def __init__(self, password_file: str, secret: bytes) -> None:
        """Read the password; ``secret`` signs, so that sessions last over a restart if it does.

        Raises:
            BadRequest: the file cannot be read, or is empty.
        """
        password = _read(password_file, "password_file").strip()
        if not password:
            raise BadRequest(f"{password_file} (password_file) is empty: write a password into it")
        self._password = password.encode()
        key = hmac.digest(secret, self._password, "sha256")
        self._signer = TimestampSigner(key, key_derivation="none", digest_method=hashlib.sha256)
        self._ended: OrderedDict[str, None] = OrderedDict()  # until a restart; the browsers have forgotten them
        self._wrong = Allowance(WRONG_TRIES)

    def session(self, cookies: bytes) -> str | None:
        """Give the id of the session that a ``Cookie`` header has, ``None`` if it has none that is valid."""
        for cookie in cookies.split(b";"):
            name, _, value = cookie.strip().partition(b"=")
            if name == COOKIE.encode():
                try:
                    session = self._signer.unsign(value, SESSION_SECONDS).decode()
                except BadSignature:
                    continue
                if session not in self._ended:
                    return session
        return None

    async def answer(self, request: Request) -> Response:
        """Answer ``/login`` and ``/logout``."""
        is_leaving = request.scope["path"] == "/logout"
        if request.method == "POST":
            return await (self._log_out if is_leaving else self._log_in)(request)
        if request.method in ("GET", "HEAD"):
            language = language_of(_accepted(request))
            target = local_path(request.query_params.get("next", ""))
            return _page(_logout_form(language) if is_leaving else _login_form(language, target))
        return Response(status_code=405, headers={"Allow": "GET, HEAD, POST"})

    async def _log_in(self, request: Request) -> Response:
        form = _form(await request.body())
        target, language = local_path(form.get("next", "")), language_of(_accepted(request))
        address = network_of(request.client.host if request.client else "")
        wait = self._wrong.seconds_to_wait(address)
        if wait:
            texts = _TEXTS[language]
            return _page(_login_form(language, target, texts.wait.format(wait)), 429, {"Retry-After": str(wait)})
        if not hmac.compare_digest(form.get("password", "").strip().encode("utf-8", "replace"), self._password):
            self._wrong.count(address)
            return _page(_login_form(language, target, _TEXTS[language].wrong), 403)
        response = RedirectResponse(target, 303)
        response.set_cookie(
            COOKIE,
            self._signer.sign(secrets.token_urlsafe(12)).decode(),
            max_age=SESSION_SECONDS,
            httponly=True,
            secure=request.scope["scheme"] == "https",
            # Not "strict": a link to an article in somebody's mail has to open. What changes anything is a POST, with
            # which a cookie that is "lax" is not sent from other sites.
            samesite="lax",
        )
        return response

    async def _log_out(self, request: Request) -> Response:
        session = self.session(request.headers.get("cookie", "").encode("latin-1"))
        if session is not None:
            self._ended[session] = None
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, secure=request.scope["scheme"] == "https", samesite="lax")
        return response


def local_path(address: str) -> str:
    """Give the address if a browser stays on this server when it is sent there, else ``/``."""
    is_local = len(address) <= _LONGEST_NEXT and _LOCAL_PATH.fullmatch(address)
    return address if is_local and not address.startswith(("/login", "/logout")) else "/"


def _accepted(request: Request) -> str:
    return request.headers.get("accept-language", "")


def _form(body: bytes) -> dict[str, str]:
    """Read a form; what is none has no fields."""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=9)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


# The pages


@dataclass(frozen=True, slots=True)
class _Texts:
    title: str
    password: str
    log_in: str
    log_out: str
    wrong: str
    wait: str


_TEXTS: dict[Language, _Texts] = {
    "en": _Texts(
        title="Ask your articles",
        password="Password",
        log_in="Log in",
        log_out="Log out",
        wrong="This is not the password.",
        wait="Too many wrong passwords. Try again in {} s.",
    ),
    "ru": _Texts(
        title="Вопросы к вашим статьям",
        password="Пароль",
        log_in="Войти",
        log_out="Выйти",
        wrong="Пароль неверен.",
        wait="Слишком много неверных паролей. Попробуйте снова через {} с.",
    ),
}
_DOCUMENT = Markup("""\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{does} – {title}</title>
<link rel="stylesheet" href="/rag-static/login.css">
</head>
<body>
<main>
<h1>{title}</h1>
<form method="post" action="{action}">
{fields}<button type="submit">{does}</button>
</form>
</main>
</body>
</html>
""")
_FIELDS = Markup("""\
{error}<input type="hidden" name="next" value="{target}">
<label for="password">{label}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus{described}>
""")
_ERROR = Markup('<p id="error" role="alert">{}</p>\n')
_DESCRIBED = Markup(' aria-invalid="true" aria-describedby="error"')


def _login_form(language: Language, target: str, error: str = "") -> str:
    texts = _TEXTS[language]
    fields = _FIELDS.format(
        error=_ERROR.format(error) if error else "",
        target=target,
        label=texts.password,
        described=_DESCRIBED if error else "",
    )
    return _DOCUMENT.format(language=language, title=texts.title, action="/login", fields=fields, does=texts.log_in)


def _logout_form(language: Language) -> str:
    texts = _TEXTS[language]
    return _DOCUMENT.format(language=language, title=texts.title, action="/logout", fields="", does=texts.log_out)


def _page(page: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    own = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cache-Control": "no-store",
        # With "no-referrer" browsers send a form with "Origin: null", which looks like one from another site.
        "Referrer-Policy": "same-origin",
    }
    return HTMLResponse(page, status, own | (headers or {}))
