"""A conversation as a Markdown document: questions, answers, quotes, and where these stand.

Whatever comes out of articles, questions and models is put on one line and has its punctuation escaped, as CommonMark
(https://spec.commonmark.org/0.31.2/#backslash-escapes) and GitHub's extensions of it read them: it is shown as it is
and can make no heading, list, table, footnote, HTML, image or link.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal
from urllib.parse import quote

from rag import messages
from rag.links import origin, permalink, web_address
from rag.records import one_an_article
from rag.types import Answer, Citation, Sentence

_CLOSEST = 3  # articles named when none answers
# All ASCII punctuation but , ; ? % ' " which no Markdown reads inside a line of text.
_PUNCTUATION = re.compile(r"[!#$&()*+\-./:<=>@\[\\\]^_`{|}~]")
# Controls other than white space, and what reverses the direction of the text that follows, ours as well.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
_IN_ADDRESSES = ":/?#[]@!$&'()*+,;=%~"  # what RFC 3986 reserves, and what is encoded already

_WORDS = {
    "en": {
        "exported": "Exported on {}.",
        "searched for": "Searched for: {}",
        "sources": "Sources",
        "no date": "date unknown",
        "place": "Place in the article",
        "closest": "Closest, but not an answer:",
        "note": "Note: {}",
        "written by": "Written by {}; every sentence of the answer was checked against its quote.",
    },
    "ru": {
        "exported": "Сохранено {}.",
        "searched for": "Искали: {}",
        "sources": "Источники",
        "no date": "дата неизвестна",
        "place": "Место в статье",
        "closest": "Ближе всего, но это не ответ:",
        "note": "Примечание: {}",
        "written by": "Написано моделью {}; каждое предложение ответа сверено с цитатой.",
        "no source": "нет источника",
        "other number": "другое число",
        "other name": "другое имя",
        "negation": "отрицание",
        "other meaning": "другой смысл",
    },
}


def as_markdown(
    answers: Sequence[Answer], title: str, language: Literal["en", "ru"], exported: date, base_url: str = ""
) -> str:
    """Write a conversation as Markdown that any renderer shows alike and that loads nothing.

    Args:
        answers: oldest first; without hits, an abstention does not say what came closest.
        title: of the document.
        language: of what is said around the answers.
        exported: the day to put on it.
        base_url: where ``/articles/ID?start=…&end=…`` is served, so that quotes link to their places.
    """
    blocks = [f"# {_escaped(title)}", _WORDS[language]["exported"].format(exported.isoformat())]
    for answer in answers:
        blocks += _turn(answer, language, base_url)
    return "\n\n".join(blocks) + "\n"


def _turn(answer: Answer, language: str, base_url: str) -> Iterator[str]:
    words = _WORDS[language]
    yield f"## {_escaped(answer.question)}"
    if answer.standalone != answer.question:
        yield words["searched for"].format(_escaped(answer.standalone))
    if answer.status == "partial" and answer.answerer == "reader":
        yield messages.unsure(language)
    places = {str(c.marker): base_url.rstrip("/") + permalink(c.article_id, c.start, c.end) for c in answer.citations}
    for line in answer.text.splitlines():
        yield _with_links(_one_line(line), places)
    if answer.status == "abstained" and answer.hits:
        yield words["closest"]
        yield "\n".join(_closest(answer, language, base_url))
    if answer.citations:
        yield f"### {words['sources']}"
    for citation in answer.citations:
        yield from _source(citation, answer.language, language, places[str(citation.marker)])
    if answer.unsupported:
        yield messages.unsupported(language)
        yield "\n".join(_unsupported(sentence, language) for sentence in answer.unsupported)
    for note in answer.notes:
        yield words["note"].format(_escaped(note))
    if answer.as_of:
        yield _escaped(messages.as_of(language, answer.as_of))
    if answer.answerer != "reader" and answer.citations:
        yield words["written by"].format(_escaped(answer.answerer))


def _with_links(line: str, places: dict[str, str]) -> str:
    """Make the markers at the ends of sentences, ``[1]``, links to the places quoted."""
    parts = re.split(r"(?<= )\[(\d+)\]", line)  # text, marker, text, marker, ...
    for i, part in enumerate(parts):
        if i % 2 and part in places:
            parts[i] = _link(f"[{part}]", places[part])
        else:
            parts[i] = _escaped_line(f"[{part}]" if i % 2 else part)
    return "".join(parts)


def _closest(answer: Answer, language: str, base_url: str) -> Iterator[str]:
    for hit in one_an_article(answer.hits)[:_CLOSEST]:
        article, passage = hit.article, hit.passage
        place = base_url.rstrip("/") + permalink(article.id, passage.start, passage.end)
        about = _about(article.title, article.uri, article.published, language)
        yield f"- {about} · {_link(_WORDS[language]['place'], place)}"


def _source(citation: Citation, asked_in: str, language: str, place: str) -> Iterator[str]:
    about = _about(citation.title, citation.uri, citation.published, language)
    is_foreign = citation.language != asked_in
    foreign = f" · {_escaped(messages.quoted_in(language, citation.language))}" if is_foreign else ""
    yield f"**{_escaped(f'[{citation.marker}]')}** {about}{foreign}"
    yield f"> {_escaped(citation.quote)}"
    links = [_link(_WORDS[language]["place"], place)]
    if address := web_address(citation.uri):
        links.append(_link(address, address))
    yield " · ".join(links)


def _unsupported(sentence: Sentence, language: str) -> str:
    verdict = _WORDS[language].get(sentence.verdict, sentence.verdict)
    reason = f"{verdict}: {sentence.detail}" if sentence.detail else verdict
    return f"- {_escaped(sentence.text)} ({_escaped(reason)})"


def _about(title: str, uri: str, published: str | None, language: str) -> str:
    return " · ".join(map(_escaped, (title, origin(uri), published or _WORDS[language]["no date"])))


def _link(text: str, address: str) -> str:
    """Write a link; of its address nothing but what RFC 3986 allows stays as it is, and no entity is read into it."""
    encoded = quote(address, _IN_ADDRESSES, errors="replace")
    return f"[{_escaped(text)}](<{re.sub('&(?=#?[0-9A-Za-z]+;)', '&amp;', encoded)}>)"


def _escaped(text: str) -> str:
    return _escaped_line(_one_line(text))


def _escaped_line(line: str) -> str:
    return _PUNCTUATION.sub(r"\\\g<0>", line)


def _one_line(text: str) -> str:
    encodable = text.encode("utf-8", "replace").decode()
    return " ".join(_UNSEEN.sub("", encodable).split())
