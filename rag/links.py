"""Addresses: of a passage in our viewer, and of the same passage on the live page."""

import re
from urllib.parse import quote as percent_encode
from urllib.parse import unquote, urlsplit

from index.articles import host
from index.language import is_unspaced

_WHOLE_QUOTE = 100  # characters; a longer quote is named by its first and last words
_WORDS_AT_AN_END = 6
_IGNORED_IN_ADDRESSES = re.compile(r"[\t\r\n]")  # browsers drop these before they look at the scheme
_NEVER_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f-\xa0\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2066-\u2069\"<>\\^`{|}]")


def article_link(article_id: str) -> str:
    """Give the path of an article in the viewer."""
    return f"/articles/{percent_encode(article_id, safe='', errors='replace')}"


def permalink(article_id: str, start: int, end: int) -> str:
    """Give the path of a passage in the viewer; ``start`` and ``end`` count characters of the article's text."""
    return f"{article_link(article_id)}?start={start}&end={end}"


def web_address(uri: str) -> str | None:
    """Give a URI as it may stand in a link, or ``None`` unless it is an address of the web (http or https)."""
    address = _IGNORED_IN_ADDRESSES.sub("", uri).strip("\0 ")
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return _NEVER_IN_ADDRESSES.sub(lambda odd: percent_encode(odd[0], errors="replace"), address)


def origin(uri: str) -> str:
    """Name where an article is from: its site, or its file's name; in which folder that lies is nobody's business."""
    return host(uri) if web_address(uri) else unquote(uri.rsplit("/", 1)[-1])


def live_link(uri: str, quote: str) -> str | None:
    """Give the address at which a browser opens the live page and shows a quote; ``None`` unless it is on the web.

    It ends with a text directive (https://wicg.github.io/scroll-to-text-fragment/). A browser that does not know it,
    or does not find the quote, opens the page as it is.
    """
    address = web_address(uri)
    lines = [" ".join(line.split()) for line in quote.splitlines() if line.strip()]
    if address is None or not lines:
        return address
    page, _, fragment = address.partition("#")
    section = fragment.partition(":~:")[0]
    return f"{page}#{section}:~:text={_directive(lines)}"


def _directive(lines: list[str]) -> str:
    """Name a quote whole, or by its ends if it is long or goes on in another block, where a whole one never matches."""
    if len(lines) > 1:
        return f"{_encoded(_head(lines[0]))},{_encoded(_tail(lines[-1]))}"
    line = lines[0]
    middle = _middle(line)
    if len(line) <= _WHOLE_QUOTE or not middle:
        return _encoded(line)
    return f"{_encoded(_head(line[:middle]))},{_encoded(_tail(line[middle:]))}"


def _middle(line: str) -> int:
    """Give where a word begins in the middle of a line, so that its two ends do not overlap; 0 if it is one word."""
    words = _words(line)
    return len("".join(words[: len(words) // 2]))


def _head(text: str) -> str:
    return "".join(_words(text)[:_WORDS_AT_AN_END]).strip()


def _tail(text: str) -> str:
    return "".join(_words(text)[-_WORDS_AT_AN_END:]).strip()


def _words(text: str) -> list[str]:
    """Cut a text into words with the space after each; a browser finds only what begins and ends with a whole word."""
    if is_unspaced(text):
        from icu4py.breakers import WordBreaker

        return list(WordBreaker(text, "zh"))  # its dictionaries go by script, not by the locale
    return re.findall(r"\S+\s*", text)


def _encoded(text: str) -> str:
    """Encode text for a directive, in which a hyphen, a comma and an ampersand are syntax."""
    return percent_encode(text, safe="", errors="replace").replace("-", "%2D")
