"""Do two short answers say the same? Across languages and scripts, without a model."""

import re
from functools import lru_cache

from index.language import alphabet

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f ]\d{3}(?!\d))*(?:[.,]\d+)?")
_THOUSANDS = re.compile(r"[.,](?=\d{3}(?:\D|$))|[\s\u00a0\u202f]")
_SHARED = 0.6  # of two words' length, from the front: words are inflected at the end
_SHORTEST = 3  # letters that have to be shared
_SCALES = (  # powers of ten, by how their words begin in Latin letters
    (re.compile(r"\b(?:thousand|tys|tausend|tyś|tisíc|mille?\b|mil\b)", re.IGNORECASE), 3),
    (re.compile(r"\b(?:million|mln|mio\b|millon|milion|milhao|milhoes)", re.IGNORECASE), 6),
    (re.compile(r"\b(?:billion|bn\b|mlrd|mrd|milliard|milyar|miliard|bilhao|bilhoes)", re.IGNORECASE), 9),
    (re.compile(r"\b(?:trillion|trln|bilion)", re.IGNORECASE), 12),
)
_MONTH_LANGUAGES = ("en", "ru", "uk", "de", "es", "fr", "it", "pt", "pl", "nl", "sv", "tr", "id")


def agree(a: str, b: str) -> bool:
    """Tell whether two short answers are the same, or one says the other with more words.

    Numbers, their scale (млрд, billion) and months (мая, May) have to be the same wherever both answers give them.
    Words are compared in Latin letters, by how they begin: «Жвачкина» and "Zhvachkin" agree.
    """
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    if bool(numbers_a) != bool(numbers_b):
        return False
    if numbers_a and not (numbers_a <= numbers_b or numbers_b <= numbers_a):
        return False
    if _differ(_scales(a), _scales(b)) or _differ(_months(a), _months(b)):
        return False
    if numbers_a and alphabet(a) != alphabet(b):
        return True
    fewer, more = sorted((_words(a), _words(b)), key=len)
    if not fewer:
        return bool(numbers_a)
    return all(any(_same_word(word, other) for other in more) for word in fewer)


def _numbers(text: str) -> set[str]:
    return {_THOUSANDS.sub("", number).replace(",", ".") for number in _NUMBER.findall(text)}


def _differ(a: set[int], b: set[int]) -> bool:
    return bool(a and b and not a & b)


def _scales(text: str) -> set[int]:
    return {power for pattern, power in _SCALES if pattern.search(_latin(text))}


def _months(text: str) -> set[int]:
    names = _month_names()
    words = _WORD.findall(text.casefold())
    return {names[form] for word in words for form in (word, word[:-1], word[:-2]) if form in names}


@lru_cache(maxsize=1)
def _month_names() -> dict[str, int]:
    from babel import Locale

    names: dict[str, int] = {}
    for language in _MONTH_LANGUAGES:
        for forms in Locale.parse(language).months.values():
            for width in ("wide", "abbreviated"):
                for month, name in forms.get(width, {}).items():
                    names[name.casefold().strip(".")] = month
    return {name: month for name, month in names.items() if len(name) > 2}


def _words(text: str) -> list[str]:
    return _WORD.findall(_latin(text))


@lru_cache(maxsize=10_000)
def _latin(text: str) -> str:
    from anyascii import anyascii

    return str(anyascii(text)).casefold()


def _same_word(a: str, b: str) -> bool:
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a == b or shared >= max(_SHORTEST, round(_SHARED * max(len(a), len(b))))
