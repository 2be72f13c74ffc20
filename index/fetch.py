"""One web page by its address, from the public network alone.

Whoever may name an address could otherwise have the server ask the services of its own network for him (server-side
request forgery, CWE-918). The guard therefore sits where a connection is made: a name is resolved once, all addresses
that it stands for must be public, and the connection goes to one of these very addresses, redirects included.

Time is limited there too: every wait for the network ends at one deadline, however many waits there are. Only the
resolver of the system keeps limits of its own.
"""

import codecs
import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

import httpcore
import httpx

from index.articles import LARGEST_ARTICLE
from index.clean import decode
from index.errors import NotAnArticle

DEADLINE = 30.0  # seconds for everything: names, connections, redirects, the page
REDIRECTS = 5
_CONNECT = 10.0  # seconds for one of several addresses, so that a dead one leaves time for the next
_TYPES: dict[str, Literal["html", "text"]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
    "text/markdown": "text",
}
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; rag-articles; one page at the request of a user)",
    "Accept": "text/html, application/xhtml+xml, text/plain;q=0.8, text/markdown;q=0.5",
    "Accept-Encoding": "gzip",
}

_IPV6_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = (
    ip_network("192.0.0.0/24"),  # Python before 3.11.10 takes it for global; Oracle's cloud has services there
    ip_network("168.63.129.16/32"),  # the host of a virtual machine in Azure
)

# The encodings of the web (https://encoding.spec.whatwg.org/) by Python's names. No others: some of Python's codecs
# (idna, punycode) take quadratic time. The second table is of names that stand for a larger set on the web.
_ENCODING = re.compile(
    r"ascii|utf-8|utf-16(-[lb]e)?|cp(866|874|932|949|125\d)|iso8859-\d+|koi8-[rut]|mac-(roman|cyrillic)|tis-620"
    r"|gb2312|gbk|gb18030|big5|big5hkscs|euc_(jp|kr)|shift_jis|iso2022_jp"
)
_LARGER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_META_CHARSET = re.compile(
    rb"""<meta\s[^>]{0,200}?charset\s*=\s*["']?\s*([\w:.-]+)|<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([\w:.-]+)""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it was fetched."""

    url: str  # where it was found after all redirects, without fragment
    kind: Literal["html", "text"]
    data: bytes  # UTF-8 without a byte order mark, whatever a <meta charset> in it says


def fetch(url: str, allow_private: bool = False) -> Page:
    """Fetch a web page.

    Args:
        url: an http or https address; non-ASCII hosts and paths as people write them.
        allow_private: also from loopback and private addresses; for tests, and where all users are trusted.

    Raises:
        NotAnArticle: there is no page of a known type to be had; the text is the reason, and never quotes the query.
    """
    address = _address(url)
    cookies = httpx.Cookies()  # some sites redirect in circles whoever does not carry them along
    with httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False),
        network_backend=_Network(time.monotonic() + DEADLINE, allow_private),
    ) as pool:
        for _ in range(REDIRECTS + 1):
            found = _ask(pool, address, cookies)
            if isinstance(found, Page):
                return found
            address = found
    raise NotAnArticle(f"more than {REDIRECTS} redirects")


def _address(url: str) -> httpx.URL:
    """Read an address and check what can be checked without the network."""
    try:
        address = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError) as error:
        raise NotAnArticle("not a web address") from error
    if address.scheme not in ("http", "https"):
        raise NotAnArticle("only addresses that begin with http:// or https:// are fetched")
    if address.userinfo:
        raise NotAnArticle("addresses with a user name or password are not fetched")
    if not address.host or (address.port is not None and not 0 < address.port < 65536):
        raise NotAnArticle("not a web address")
    return address.copy_with(fragment=None)


def _ask(pool: httpcore.ConnectionPool, address: httpx.URL, cookies: httpx.Cookies) -> Page | httpx.URL:
    """Send one request; give the page, or the address that it redirects to."""
    request = httpx.Request("GET", address, headers=_HEADERS, cookies=cookies)
    target = httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path)
    with (
        _reasons(address.host),
        pool.stream(request.method, target, headers=request.headers.raw) as stream,
    ):
        answer = httpx.Response(stream.status, headers=stream.headers, request=request)  # its head alone
        cookies.extract_cookies(answer)
        if answer.has_redirect_location:
            return _redirected(address, answer.headers["Location"])
        if not answer.is_success:
            raise NotAnArticle(f"{address.host} answered with status {answer.status_code}")
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        kind = _TYPES.get(media_type)
        if kind is None:
            raise NotAnArticle(f"unsupported type {_shown(media_type) or '(none given)'}; known: {' '.join(_TYPES)}")
        body = _body(stream.iter_stream(), answer.headers.get("Content-Encoding", "").strip().lower())
        return Page(str(address), kind, _text(body, answer.charset_encoding, kind).encode("utf-8", "replace"))


def _redirected(address: httpx.URL, location: str) -> httpx.URL:
    try:
        return _address(str(address.join(location)))
    except (httpx.InvalidURL, ValueError) as error:
        raise NotAnArticle(f"{address.host} redirects to what is no web address") from error
    except NotAnArticle as reason:
        raise NotAnArticle(f"{address.host} redirects elsewhere: {reason}") from reason


def _body(parts: Iterable[bytes], encoding: str) -> bytes:
    """Put a body together, unpacked, without ever holding much more than the limit."""
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise NotAnArticle(f"unsupported compression {_shown(encoding)}")
    gzip = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    body = bytearray()
    for part in parts:
        body += gzip.decompress(part, LARGEST_ARTICLE + 1) if gzip else part
        if len(body) > LARGEST_ARTICLE:
            raise NotAnArticle(f"too large for one article: the limit is {LARGEST_ARTICLE / 1e6:.0f} MB")
        if gzip and gzip.eof:  # what follows is no part of the page
            break
    return bytes(body)


def _text(body: bytes, charset: str | None, kind: str) -> str:
    """Decode as browsers do: byte order mark, HTTP header, <meta>; but by what is there where they name it wrongly."""
    declared = None
    if not body.startswith(_BYTE_ORDER_MARKS):
        declared = _codec(charset) or (_meta_codec(body) if kind == "html" else None)
    if declared is not None:
        text = body.decode(declared, errors="replace")
        if text.count("\ufffd") * 100 <= len(text):  # one letter may be damaged, but not one in a hundred
            return text.removeprefix("\ufeff")
    return decode(body)


def _meta_codec(body: bytes) -> str | None:
    """Find the encoding that a page names in itself, in ASCII; which it cannot do in UTF-16, whatever it says."""
    named = _META_CHARSET.search(body[:4096])
    codec = _codec((named[1] or named[2]).decode("ascii", "replace")) if named else None
    return None if codec and codec.startswith("utf-16") else codec


def _codec(charset: str | None) -> str | None:
    """Give Python's name for an encoding of the web."""
    try:
        name = codecs.lookup(charset or "").name
    except (LookupError, ValueError):
        return None
    return _LARGER.get(name, name) if _ENCODING.fullmatch(name) else None


@contextmanager
def _reasons(host: str) -> Iterator[None]:
    """Turn the errors of one request into reasons for the user."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise NotAnArticle(f"{host} took too long to answer") from error
    except httpcore.ConnectError as error:
        raise NotAnArticle(_connect_reason(host, error.__context__)) from error
    except httpcore.NetworkError as error:
        raise NotAnArticle(f"the connection to {host} broke off") from error
    except (httpcore.ProtocolError, zlib.error) as error:
        raise NotAnArticle(f"{host} sent an answer that cannot be read") from error


def _connect_reason(host: str, cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not valid: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no secure connection to {host} can be made"
    if isinstance(cause, ConnectionRefusedError):
        return f"{host} refused the connection"
    return f"{host} cannot be reached"


def _shown(header: str) -> str:
    """Shorten what a server said to what fits into a message."""
    return "".join(filter(str.isprintable, header))[:80]


def _is_public(address: str) -> bool:
    """Tell whether an IP address is of the public network, also one that wraps an IPv4 address."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour
        if inner is None:
            return ip in _IPV6_UNICAST and ip.is_global
        ip = inner
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


def _left(deadline: float) -> float:
    """Give the seconds left until a deadline of the monotonic clock."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left


class _Network(httpcore.NetworkBackend):
    """Connects to public addresses alone, and until a deadline."""

    def __init__(self, deadline: float, allow_private: bool) -> None:
        self._deadline = deadline
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers."""
        problem: Exception = httpcore.ConnectError("no address")
        for address in self._addresses(host):
            limit = min(_CONNECT, _left(self._deadline))
            try:
                stream = self._sockets.connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
            else:
                return _Stream(stream, self._deadline)
        raise problem

    def _addresses(self, host: str) -> list[str]:
        """Resolve a name, once."""
        try:
            found = socket.getaddrinfo(host.encode(), None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NotAnArticle(f"the host {host} is unknown") from error
        addresses = [str(info[4][0]) for info in found]
        if not self._allow_private and not all(map(_is_public, addresses)):
            raise NotAnArticle(f"{host} is an address of this network, which the server does not fetch from")
        return addresses


class _Stream(httpcore.NetworkStream):
    """A connection on which every wait ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, at least a byte."""
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on in TLS."""
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> object:
        """Ask the connection itself."""
        return self._stream.get_extra_info(info)
