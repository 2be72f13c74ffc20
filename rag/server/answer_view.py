"""An answer as the chat shows it: HTML in which every word out of an article is text and nothing else.

It stands in a message that Gradio reads as Markdown, so it is one block without line breaks, in which no Markdown is
read, and all punctuation is written as character references, which are never markup. Gradio sanitises it once more.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag import messages
from rag.links import live_link, origin, permalink
from rag.records import one_an_article
from rag.server.interface import Language, said
from rag.server.service import Happening, Queued
from rag.types import Answer, Checked, Checking, Citation, Hit, Progress, Sentence

_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
# Control characters, those that turn the writing of what follows, halves of characters, which UTF-8 has not.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CLOSEST = 3  # articles named when none answers


def escaped(text: str) -> str:
    """Write text on one line so that neither HTML nor Markdown sees anything but text in it."""
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", " ".join(_UNSEEN.sub("", text).split()))


@dataclass(frozen=True, slots=True)
class Extent:
    """What was searched."""

    articles: int
    passages: int


def answer_html(answer: Answer, language: Language, extent: Extent) -> str:
    """Show an answer with its quotes, or what came closest; ``language`` is the page's."""
    said_in: Language = "ru" if answer.language == "ru" else "en" if answer.language == "en" else language
    parts = [_searched_for(answer.question, answer.standalone)]
    if answer.status == "abstained":
        parts += [_paragraph("none", messages.no_answer(answer.language)), _closest(answer.hits, said_in, extent)]
    else:
        if answer.status == "partial" and answer.answerer == "reader":
            parts.append(_paragraph("unsure", messages.unsure(answer.language)))
        parts += [_sentences(answer.sentences, answer.answerer), _sources(answer, said_in)]
    if answer.unsupported:
        parts.append(_unsupported(answer.unsupported, answer.language))
    parts += [_paragraph("note", note) for note in answer.notes]
    parts.append(_footer(answer, said_in))
    return f'<div class="answer {answer.status}">{"".join(parts)}</div>'


def progress_html(happenings: Sequence[Happening], language: Language) -> str:
    """Show what is being done, and the sentences that passed their check so far."""
    doing = said("begun", language)
    sentences: list[Sentence] = []
    for happening in happenings:
        match happening:
            case Queued():
                doing = said("queued", language).format(happening.position)
            case Progress():
                doing = said(happening.stage, language).format(happening.count)
            case Checking():
                doing = said("checking", language).format(happening.text)
            case Checked(sentence) if sentence.is_supported:
                sentences.append(sentence)
    shown = _sentences(sentences, "") if sentences else ""
    return f'<div class="answer working">{shown}<p class="doing">{escaped(doing)} …</p></div>'


def _searched_for(question: str, standalone: str) -> str:
    return _paragraph("searched", f"→ {standalone}") if standalone != question else ""


def _sentences(sentences: Iterable[Sentence], answerer: str) -> str:
    shown = [
        escaped(sentence.text) + "".join(f" {_marker(citation)}" for citation in sentence.citations)
        for sentence in sentences
    ]
    return f'<p class="text">{("<br>" if answerer == "reader" else " ").join(shown)}</p>'


def _marker(citation: Citation) -> str:
    place = permalink(citation.article_id, citation.start, citation.end)
    return f'<a class="cite" href="{escaped(place)}" title="{escaped(citation.quote)}">{citation.marker}</a>'


def _sources(answer: Answer, language: Language) -> str:
    relevance = {hit.article.id: hit.relevance for hit in one_an_article(answer.hits)}
    items = "".join(_source(c, answer.language, language, relevance.get(c.article_id)) for c in answer.citations)
    return f'<div class="sources">{items}</div>'


def _source(citation: Citation, asked_in: str, language: Language, relevance: float | None) -> str:
    quote = citation.quote
    low, high = citation.answer_start - citation.start, citation.answer_end - citation.start
    before, answer, after = quote[:low], quote[low:high], quote[high:]
    marked = f"{_spaced(before)}<b>{_spaced(answer)}</b>{_spaced(after)}" if answer.strip() else escaped(quote)
    facts = [citation.published or said("date_unknown", language), origin(citation.uri)]
    if citation.language != asked_in:
        facts.append(messages.quoted_in(language, citation.language))
    if relevance is not None:
        facts.append(said("relevance", language).format(round(100 * relevance)))
    place = permalink(citation.article_id, citation.start, citation.end)
    links = [f'<a class="permalink" href="{escaped(place)}">{escaped(said("permalink", language))}</a>']
    live = live_link(citation.uri, quote)
    if live:
        links.append(f'<a href="{escaped(live)}">{escaped(said("live", language))}</a>')
    return (
        f'<div class="source">{_marker(citation)} <span class="title">{escaped(citation.title)}</span>'
        f"<blockquote>{marked}</blockquote>"
        f'<span class="facts">{" · ".join([*map(escaped, facts), *links])}</span></div>'
    )


def _spaced(text: str) -> str:
    """Escape a piece of a line, keeping one space at each end that has any."""
    seen = _UNSEEN.sub("", text)
    low = " " if seen[:1].isspace() else ""
    high = " " if seen.strip() and seen[-1:].isspace() else ""
    return f"{low}{escaped(text)}{high}"


def _closest(hits: Sequence[Hit], language: Language, extent: Extent) -> str:
    if not hits:
        return _paragraph("closest", said("nothing_passes", language))
    intro = said("searched_all", language).format(passages=extent.passages, articles=extent.articles)
    items = "".join(_close(hit, language) for hit in one_an_article(hits)[:_CLOSEST])
    return f"{_paragraph('closest', intro)}<ul>{items}</ul>"


def _close(hit: Hit, language: Language) -> str:
    place = permalink(hit.article.id, hit.passage.start, hit.passage.end)
    facts = f"{hit.article.published or said('date_unknown', language)} · {origin(hit.article.uri)}"
    return f'<li><a class="cite named" href="{escaped(place)}">{escaped(hit.article.title)}</a> {escaped(facts)}</li>'


def _unsupported(sentences: Sequence[Sentence], language: str) -> str:
    items = "".join(
        f"<li><s>{escaped(s.text)}</s> {escaped(f'({s.verdict}: {s.detail})' if s.detail else f'({s.verdict})')}</li>"
        for s in sentences
    )
    return f'<div class="unsupported">{_paragraph("", messages.unsupported(language))}<ul>{items}</ul></div>'


def _footer(answer: Answer, language: Language) -> str:
    facts = list(_facts(answer, language))
    copy = f'<a class="copy" href="#copy">{escaped(said("copy", language))}</a>'
    return f'<p class="footer">{" · ".join([*map(escaped, facts), copy])}</p>'


def _facts(answer: Answer, language: Language) -> Iterator[str]:
    if answer.as_of:
        yield messages.as_of(language, answer.as_of).rstrip(".")
    if answer.answerer != "reader":
        yield said("written_by", language).format(answer.answerer).rstrip(".")
    elif answer.sentences:
        yield said("confidence", language).format(int(100 * answer.confidence))
    yield said("seconds", language).format(sum(answer.timings.values()) / 1000)


def _paragraph(kind: str, text: str) -> str:
    return f'<p class="{kind}">{escaped(text)}</p>'
