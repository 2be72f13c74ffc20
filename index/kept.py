"""A source beside its article: which of its lines were kept, and which were thrown away as the page's own."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

from index.articles import KINDS, Source, file_of, read_sources
from index.clean import decode, normalise
from index.errors import NotAnArticle
from index.types import Article

_SHOWN = 1_000_000  # characters of a source; more is nothing to look through
_COST = 50  # characters that a line counts for at least
_RUN = 4  # words; two lines share a run of them hardly ever by chance

_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")  # or one character
# As the HTML standard renders them (https://html.spec.whatwg.org/multipage/rendering.html); a row of a table is one
# line, as it is in an article.
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "br", "button", "caption", "center", "dd", "details",
    "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hgroup", "hr", "legend", "li", "main", "menu", "nav", "ol", "option", "p", "pre", "search",
    "section", "select", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
_UNSEEN = {
    "area", "audio", "base", "canvas", "datalist", "embed", "head", "iframe", "math", "meta", "noembed", "noframes",
    "noscript", "object", "param", "rp", "script", "style", "svg", "template", "title", "video",
}  # fmt: skip
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One line of a source as a reader sees it, and whether the article kept it."""

    text: str
    is_kept: bool


def source_of(article_uri: str, origin: str) -> Source | None:
    """Read the source of an article again.

    Args:
        article_uri: the article's own URI.
        origin: the ``file:`` URI of the file that it was read from.

    Returns:
        The source as it is now, which may have changed since; ``None`` if it is gone or cannot be read.
    """
    file = file_of(origin)
    if file is None or file.suffix.lower() not in KINDS:
        return None
    sources = (source for source in read_sources(file) if isinstance(source, Source))
    return next((source for source in sources if source.uri == article_uri), None)


def beside(source: Source, article: Article) -> list[Block]:
    """Give the lines of a source, in order, each with whether the article kept it.

    A line counts as kept if the title or the text has it, or a good half of it: every other line is the page's own.
    The same line twice is kept twice. Of a very long source the beginning is given, with ``…`` as its last line; of
    one that is no text, nothing.
    """
    kept = _Kept([article.title, *article.text[:_SHOWN].split("\n")])
    blocks = []
    room = _SHOWN
    for line in _lines(source):
        if room <= 0:
            blocks.append(Block("…", is_kept=True))
            break
        text = line if len(line) <= room else f"{line[:room]}…"
        blocks.append(Block(text, text in kept))
        room -= max(len(line), _COST)
    return blocks


class _Kept:
    """The lines that an article kept, to look up others by their words."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines: set[str] = set()
        self._runs: set[tuple[str, ...]] = set()
        for line in lines:
            words = _words(line)
            self._lines.add(_key(line, words))
            self._runs.update(_runs(words))

    def __contains__(self, line: str) -> bool:
        """Tell whether a line is one of them, or shares at least half of its runs of words with them.

        Runs, because cleaning cuts a line of HTML into several, joins several, or leaves out a part.
        """
        words = _words(line)
        if _key(line, words) in self._lines:
            return True
        runs = _runs(words)
        return sum(run in self._runs for run in runs) * 2 >= max(1, len(runs))


def _words(line: str) -> list[str]:
    return _WORD.findall(line.casefold())


def _key(line: str, words: list[str]) -> str:
    """Give what two lines share if they say the same; a rule or an emoji, without a word in it, is itself."""
    return " ".join(words) or line


def _runs(words: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(_RUN)), strict=False))


def _lines(source: Source) -> Iterator[str]:
    """Give the lines of a source that are not empty, normalised as those of articles are."""
    try:
        text = str(json.loads(source.data)["text"]) if source.kind == "record" else decode(source.data)
    except NotAnArticle:
        return
    if source.kind == "html":
        yield from filter(None, (normalise(" ".join(line.split())) for line in _visible_lines(text)))
    else:
        yield from filter(None, normalise(text).split("\n"))


def _visible_lines(html: str) -> Iterator[str]:
    """Give the text of each block of a page, without what a browser does not show."""
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(html.replace("\0", "").encode("utf-8", "replace"), parser)
    if root is None:  # nothing in it but comments
        return
    line: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if event == "start" and _is_unseen(element):
            walk.skip_subtree()
            continue
        if element.tag in _BLOCKS:
            yield "".join(line)
            line = []
        elif element.tag in ("td", "th"):
            line.append(" ")
        line.append((element.text if event == "start" else element.tail) or "")
    yield "".join(line)


def _is_unseen(element: etree._Element) -> bool:
    return (
        element.tag in _UNSEEN
        or element.get("hidden") is not None
        or bool(_HIDING_STYLE.search(element.get("style", "")))
    )
