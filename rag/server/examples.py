"""Questions to begin with: made of the titles of indexed articles, and tried out, so that each has an answer."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain, zip_longest

from index.errors import RagError
from index.types import Article
from rag.names import names
from rag.quantities import Number, Quantity, quantities
from rag.server.service import Service
from rag.types import Citation

_LOOKED_AT = 40  # articles, the newest
_TRIED = 16  # questions
_LONGEST_TITLE = 90  # characters: of a longer one no question is made
_COST = {
    "en": "{}: how much does it cost?",
    "ru": "{}: сколько это стоит?",
    "de": "{}: Was kostet das?",
    "fr": "{} : combien cela coûte-t-il ?",
}
_HOW_MANY = {"en": "{}: how many {}?", "ru": "{}: сколько {}?", "de": "{}: Wie viele {}?"}
# What is counted: after a number it has the form that it has in the question, in these languages.
_COUNTED = {
    "en": re.compile(r"[ \u00a0]((?:[a-z]+[ ])?[a-z]{3,}s)\b"),
    "ru": re.compile(r"[ \u00a0]([а-яё]{3,}(?:ов|ев|ей|ий))\b"),
    "de": re.compile(r"[ \u00a0]([A-ZÄÖÜ][a-zäöüß]{3,}(?:n|en|er|e))\b"),
}


async def examples(service: Service, most: int = 4) -> AsyncIterator[str]:
    """Find up to ``most`` questions that are answered, and surely, from the very article they are made of."""
    index = service.index
    _, newest = index.listing(order="published", limit=_LOOKED_AT)
    by_language: dict[str, list[str]] = {code: [] for code in index.languages()}  # the most frequent first
    for listed in newest:
        by_language.setdefault(listed.language, []).append(listed.id)
    tried = found = 0
    for article_id in filter(None, chain.from_iterable(zip_longest(*by_language.values()))):
        article = index.article(article_id)
        for question, answers in _questions(article) if article else ():
            if tried == _TRIED or found == most:
                return
            tried += 1
            try:
                answer = await service.quote(question)
            except RagError:  # removed meanwhile, or too many ask
                continue
            best = answer.citations[0] if answer.status == "answered" else None
            if best and best.article_id == article_id and answers(best):
                found += 1
                yield question
                break


def _questions(article: Article) -> Iterator[tuple[str, Callable[[Citation], bool]]]:
    """Give questions that an article may answer, each with how to tell that a quote answers it."""
    title = re.split(r"[:|—–]|\s-\s", article.title)[0].strip(" .!?…")
    language = article.language
    if not title or len(title) > _LONGEST_TITLE or language not in _COST:
        return
    stated = quantities(article.text)
    if language in _COUNTED:
        topic = _topic(title, language)
        for number in stated:
            counted = _COUNTED[language].match(article.text, number.end)
            if topic and counted and isinstance(number, Number) and not number.units:
                stated_so = article.text[number.start : counted.end()]
                yield _HOW_MANY[language].format(topic, counted[1]), lambda citation: stated_so in citation.quote  # noqa: B023
                break
    if any(map(_is_money, stated)):
        yield _COST[language].format(title), lambda citation: any(map(_is_money, quantities(citation.answer)))


def _topic(title: str, language: str) -> str:
    """Give what a title is about in a word or two: the names it has; nothing if it has none."""
    named = [title[start:end] for start, end in names(title, language)] or title.split()[:1]
    return " ".join(named[:2]) if any(map(str.isupper, "".join(named))) else ""


def _is_money(quantity: Quantity) -> bool:
    return isinstance(quantity, Number) and any(len(unit) == 3 and unit.isupper() for unit in quantity.units)
