"""The article viewer: HTML pages, safe whatever an article holds.

All that is put into a page goes through `Markup.format`, which escapes it. There is no script and no style in the pages
themselves, so that `CONTENT_SECURITY_POLICY` can forbid both.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import unquote, urlsplit

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal
from markupsafe import Markup

from index.kept import Block
from index.language import UNKNOWN
from index.types import Article
from rag.links import article_link, live_link, permalink, web_address

Language = Literal["en", "ru"]
Theme = Literal["light", "dark"]
Span = tuple[int, int]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)

_RIGHT_TO_LEFT = {"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"}
# What an HTML parser drops, changes or may not be given. Each is shown as one other character: offsets must hold.
_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the pages say."""

    locale: str
    date_unknown: str
    characters: str
    original: str
    original_here: str
    own_page: str
    left_out: str
    replaced: str
    current: str
    link_to_passage: str
    copied: str
    copy_this: str
    not_found: str
    not_found_why: str
    back: str
    how_cleaned: str
    kept: str
    removed: str
    only_removed: str
    source_gone: str


_TEXTS: dict[Language, _Texts] = {
    "en": _Texts(
        locale="en_GB",
        date_unknown="date unknown",
        characters="{} characters",
        original="Original page",
        original_here="Original page, at the quote",
        own_page="Open on its own page",
        left_out="What was left out",
        replaced="This article has changed since; here is how it was.",
        current="Read it as it is now",
        link_to_passage="Link to this passage",
        copied="Link copied",
        copy_this="Copy this address:",
        not_found="The article is not here any more",
        not_found_why="It was removed from the index, or has changed and has another address now.",
        back="Back to the article",
        how_cleaned="How it was cleaned",
        kept="kept: {}",
        removed="left out: {}",
        only_removed="Show only what was left out",
        source_gone="The file that the article was read from is gone or cannot be read any more.",
    ),
    "ru": _Texts(
        locale="ru",
        date_unknown="дата неизвестна",
        characters="знаков: {}",
        original="Исходная страница",
        original_here="Исходная страница, место цитаты",
        own_page="Открыть на отдельной странице",
        left_out="Что отброшено",
        replaced="Статья с тех пор изменилась; здесь она такая, какой была.",
        current="Читать нынешнюю",
        link_to_passage="Ссылка на этот фрагмент",
        copied="Ссылка скопирована",
        copy_this="Скопируйте этот адрес:",
        not_found="Этой статьи здесь больше нет",
        not_found_why="Её убрали из индекса, или она изменилась и теперь у неё другой адрес.",
        back="К статье",
        how_cleaned="Как она очищена",
        kept="оставлено: {}",
        removed="отброшено: {}",
        only_removed="Показать только отброшенное",
        source_gone="Файла, из которого прочитана статья, больше нет, или его не удаётся прочитать.",
    ),
}

_DOCUMENT = Markup("""\
<!doctype html>
<html lang="{language}"{theme}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="stylesheet" href="/rag-static/viewer.css">
<script src="/rag-static/viewer.js" defer></script>
</head>
<body{panel}>
<main>
{main}
</main>
{after}</body>
</html>
""")
_ARTICLE = Markup("""\
<article>
<header>
<h1{written}>{title}</h1>
<p class="facts">{facts}</p>
<p class="links">{links}</p>
</header>
{notice}<div id="text" class="text"{written}>
{paragraphs}
</div>
</article>""")
_NOTICE = Markup('<p class="notice" role="note">{} <a href="{}">{}</a></p>\n')
_SHARING = Markup("""\
<div id="share" hidden>
<button type="button">{link}</button>
<input type="text" readonly hidden aria-label="{copy_this}">
</div>
<p id="said" role="status" data-copied="{copied}" data-copy="{copy_this}"></p>
""")
_BESIDE = Markup("""\
<article>
<header>
<h1{written}>{title}</h1>
<p class="facts">{how}</p>
<p class="links">{links}</p>
</header>
{blocks}
</article>""")
_LEGEND = Markup("""\
<p class="legend"><span>{kept}</span> <del>{removed}</del>
<label><input type="checkbox" id="only-removed"> {only_removed}</label></p>
<div class="text"{written}>
{blocks}
</div>""")
_GONE = Markup('<p class="notice" role="note">{}</p>')
_MESSAGE = Markup("<h1>{}</h1>\n<p>{}</p>")
_BLANK = Markup('<a href="{}" target="_blank" rel="noopener">{}</a>')
_LIVE = Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>')
_SAME = Markup('<a href="{}">{}</a>')


def article_page(
    article: Article,
    span: Span | None,
    language: Language,
    newer: str | None = None,
    in_panel: bool = False,
    theme: Theme | None = None,
    cleaning: str | None = None,
) -> str:
    """Show an article with a passage marked.

    Args:
        article: its text is shown so that every character of it is one of the page's: ``data-start`` of a paragraph
            says where in ``article.text`` it begins.
        span: the passage in characters of the text; what lies outside of the text is cut off, and what is then empty
            is ignored.
        language: of the page itself.
        newer: the address of the current revision, if this one was replaced.
        in_panel: compact, for a panel beside the chat.
        theme: ``None`` is the reader's own.
        cleaning: the address of its `cleaned_page`, if there is one.
    """
    texts = _TEXTS[language]
    span = _within(span, len(article.text))
    main = _ARTICLE.format(
        written=_written(article),
        title=_shown(article.title),
        facts=_facts(article, language),
        links=_links(article, span, texts, in_panel, cleaning),
        notice=_NOTICE.format(texts.replaced, newer, texts.current) if newer else "",
        paragraphs=Markup("\n").join(_marked_paragraphs(article.text, span)),
    )
    sharing = _SHARING.format(link=texts.link_to_passage, copied=texts.copied, copy_this=texts.copy_this)
    return _document(article.title, main, language, theme, in_panel, sharing)


def not_found_page(language: Language, theme: Theme | None = None) -> str:
    """Say that the article is not in the index any more."""
    texts = _TEXTS[language]
    return _document(texts.not_found, _MESSAGE.format(texts.not_found, texts.not_found_why), language, theme)


def cleaned_page(
    article: Article, blocks: Sequence[Block] | None, language: Language, theme: Theme | None = None
) -> str:
    """Show what of its source an article kept; ``blocks`` is ``None`` if the source cannot be read any more."""
    texts = _TEXTS[language]
    written = _written(article)
    main = _BESIDE.format(
        written=written,
        title=_shown(article.title),
        how=texts.how_cleaned,
        links=_SAME.format(article_link(article.id), texts.back),
        blocks=_legend_and_blocks(blocks, written, texts) if blocks else _GONE.format(texts.source_gone),
    )
    return _document(article.title, main, language, theme)


def _document(
    title: str, main: Markup, language: Language, theme: Theme | None, in_panel: bool = False, after: str = ""
) -> str:
    return _DOCUMENT.format(
        language=language,
        theme=Markup(' data-theme="{}"').format(theme) if theme else "",
        title=_shown(title),
        panel=Markup(' class="panel"') if in_panel else "",
        main=main,
        after=after,
    )


def _shown(text: str) -> str:
    """Put one replacement character in place of each that HTML cannot hold."""
    return _UNSHOWABLE.sub("\ufffd", text)


def _written(article: Article) -> Markup:
    """Give the attributes of an element in the article's own language."""
    if article.language == UNKNOWN:
        return Markup(' lang="" dir="auto"')
    direction = "rtl" if article.language in _RIGHT_TO_LEFT else "ltr"
    return Markup(' lang="{}" dir="{}"').format(article.language, direction)


def _within(span: Span | None, length: int) -> Span | None:
    if span is None:
        return None
    start, end = max(0, span[0]), min(length, span[1])
    return (start, end) if start < end else None


# What stands above the text


def _facts(article: Article, language: Language) -> Markup:
    """Say where and when the article was published, in which language, and how long it is."""
    texts = _TEXTS[language]
    facts: list[str] = [article.source]
    if article.uri.startswith("file:"):
        facts.append(_file_name(article.uri))
    facts.append(_published(article.published, texts))
    if article.language != UNKNOWN:
        facts.append(Locale.parse(texts.locale).languages.get(article.language, article.language))
    facts.append(texts.characters.format(format_decimal(len(article.text), locale=texts.locale)))
    shown = [fact if isinstance(fact, Markup) else Markup("<bdi>{}</bdi>").format(_shown(fact)) for fact in facts]
    return Markup(" · ").join(fact for fact in shown if fact.striptags())


def _file_name(uri: str) -> str:
    """Give the name of a file, without the folders that are nobody's business."""
    try:
        return unquote(urlsplit(uri).path).rsplit("/", 1)[-1]
    except ValueError:
        return ""


def _published(published: str | None, texts: _Texts) -> Markup:
    """Write an ISO date of any precision as people do."""
    if published is None:
        return Markup("<span>{}</span>").format(texts.date_unknown)
    try:
        day = date.fromisoformat(f"{published}-01-01"[:10])
    except ValueError:
        return Markup("<bdi>{}</bdi>").format(_shown(published))
    if len(published) == len("2017-06-26"):
        written = format_date(day, "long", locale=texts.locale)
    elif len(published) == len("2017-06"):
        written = format_skeleton("yMMMM", day, locale=texts.locale)
    else:
        written = published
    return Markup('<time datetime="{}">{}</time>').format(published, written)


def _links(article: Article, span: Span | None, texts: _Texts, in_panel: bool, cleaning: str | None) -> Markup:
    links = []
    if web_address(article.uri):
        quote = article.text[span[0] : span[1]] if span else ""
        links.append(_LIVE.format(live_link(article.uri, quote), texts.original_here if span else texts.original))
    if cleaning:
        links.append(_SAME.format(cleaning, texts.left_out))
    if in_panel:
        here = permalink(article.id, *span) if span else article_link(article.id)
        links.append(_BLANK.format(here, texts.own_page))
    return Markup(" ").join(links)


# The text


def _marked_paragraphs(text: str, span: Span | None) -> Iterator[Markup]:
    """Give the paragraphs in HTML, with what lies in the span marked."""
    has_mark = False
    for at, paragraph in _paragraphs(_shown(text)):
        start, end = (min(max(edge - at, 0), len(paragraph)) for edge in span or (0, 0))
        inner: str = paragraph
        if start < end:
            mark = Markup("<mark>{}</mark>" if has_mark else '<mark id="quote" tabindex="-1">{}</mark>')
            inner = Markup("{}{}{}").format(paragraph[:start], mark.format(paragraph[start:end]), paragraph[end:])
            has_mark = True
        yield Markup('<p data-start="{}">{}</p>').format(at, inner)


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Give the paragraphs with where they begin; between them are line breaks alone.

    Empty lines part them; in a text without any, each line is one.
    """
    gap = re.compile(r"\n{2,}" if "\n\n" in text else r"\n")
    start = 0
    for match in gap.finditer(text):
        if start < match.start():
            yield start, text[start : match.start()]
        start = match.end()
    if start < len(text):
        yield start, text[start:]


# The source beside


def _legend_and_blocks(blocks: Sequence[Block], written: Markup, texts: _Texts) -> Markup:
    kept = sum(block.is_kept for block in blocks)
    return _LEGEND.format(
        kept=texts.kept.format(format_decimal(kept, locale=texts.locale)),
        removed=texts.removed.format(format_decimal(len(blocks) - kept, locale=texts.locale)),
        only_removed=texts.only_removed,
        written=written,
        blocks=Markup("\n").join(
            Markup('<p class="kept">{}</p>' if block.is_kept else "<p><del>{}</del></p>").format(_shown(block.text))
            for block in blocks
        ),
    )
