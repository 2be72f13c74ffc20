"""A content-security policy for pages that we do not write ourselves: their inline scripts are named by their hashes.

Gradio and Swagger UI put scripts into the page itself. Naming each by its hash lets these run and none that an article
might smuggle in (https://www.w3.org/TR/CSP3/#script-src); ``eval`` stays forbidden.
"""

import re
from base64 import b64encode
from hashlib import sha256

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script[\s/>]", re.DOTALL | re.IGNORECASE)
_POLICY = (
    "default-src 'self'; script-src 'self' {}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " font-src 'self' data:; connect-src 'self'; frame-src 'self'; worker-src 'self' blob:; object-src 'none';"
    " base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class ScriptPolicy:
    """Middleware that gives HTML pages without a policy of their own a strict one; all else passes unbuffered."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold a page back until it is whole, since its policy comes before it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        parts: list[bytes] = []

        async def with_policy(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                is_page = headers.get("content-type", "").startswith("text/html")
                if is_page and "content-security-policy" not in headers and "content-encoding" not in headers:
                    start = message
                    return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                page = b"".join(parts)
                headers = MutableHeaders(raw=start["headers"])
                headers["content-security-policy"] = policy_for(page)
                await send({**start, "headers": headers.raw})
                await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, with_policy)


def policy_for(page: bytes) -> str:
    """Give the policy under which the inline scripts of a page may run, and no others."""
    # A parser reads line ends as \n before it hands a script on.
    scripts = [match[1].replace(b"\r\n", b"\n").replace(b"\r", b"\n") for match in _INLINE.finditer(page)]
    hashes = (f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    return _POLICY.format(" ".join(dict.fromkeys(hashes)))
