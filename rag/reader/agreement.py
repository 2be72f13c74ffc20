"""Do two short answers say the same? Across languages and scripts, without a model."""

import math
import re
from functools import lru_cache
from typing import TypeAlias

from index.language import alphabet
from rag.quantities import Number, Quantity, compatible, month, quantities

Word: TypeAlias = tuple[str, int | None, str]  # in Latin letters, the month that it names, and its own alphabet

_LATIN_WORD = re.compile(r"[^\W\d_]+")
# From the front, for words are inflected at the end: what share of two words' length has to be the same, and how many
# letters. In one alphabet more, or Iran were Iraq; across two, where Линц is Linz, less.
_SHARED, _SHORTEST = 0.65, 4
_SHARED_ACROSS, _SHORTEST_ACROSS = 0.6, 3


def agree(a: str, b: str) -> bool:
    """Tell whether two short answers are the same, or one says the other with more words; their order does not matter.

    Of the numbers and dates, one answer has to state all that the other does, but a date may be left out altogether.
    Words are compared in Latin letters, by how they begin: «Жвачкина» and "Zhvachkin" agree.
    """
    stated_a, stated_b = quantities(a), quantities(b)
    lost_a = [x for x in stated_a if not any(compatible(x, y) for y in stated_b)]
    lost_b = [y for y in stated_b if not any(compatible(x, y) for x in stated_a)]
    is_shared = len(lost_a) < len(stated_a)
    if (lost_a and lost_b) or (not is_shared and not all(quantity.days for quantity in lost_a + lost_b)):
        return False
    rest_a, rest_b = _without_quantities(a), _without_quantities(b)
    words_a, words_b = _words(rest_a), _words(rest_b)
    is_named = (
        _has_name(rest_a)
        and _has_name(rest_b)
        and not any(compatible(x, y) and not _is_year(x) and not _is_year(y) for x in stated_a for y in stated_b)
    )  # Erfurt and Дрезден may share a year, yet hardly 8.3 billion
    if is_shared and (not words_a or not words_b or (alphabet(rest_a) != alphabet(rest_b) and not is_named)):
        return True
    words_a, words_b = words_a or _words(rest_a, shortest=1), words_b or _words(rest_b, shortest=1)
    return bool(words_a and words_b) and (_within(words_a, words_b) or _within(words_b, words_a))


def is_other_figure(a: str, b: str) -> bool:
    """Tell whether two short answers give different figures of one kind: two sums of money, two dates, two lengths."""
    stated_a, stated_b = quantities(a), quantities(b)
    is_comparable = any(_is_one_kind(x, y) for x in stated_a for y in stated_b)
    return is_comparable and not any(compatible(x, y) for x in stated_a for y in stated_b)


def _is_one_kind(x: Quantity, y: Quantity) -> bool:
    """Tell whether two quantities are dates, are in one unit, or are about as large where a unit is left out."""
    if x.days or y.days:
        return bool(x.days and y.days)
    if not isinstance(x, Number) or not isinstance(y, Number):
        return False
    if x.units and y.units:
        return bool(x.units & y.units)
    return any(p and q and 0.1 <= p / q <= 10 for p in x.values for q in y.values)


def _is_year(quantity: Quantity) -> bool:
    return isinstance(quantity, Number) and bool(quantity.days)


def _has_name(text: str) -> bool:
    return any(word != word.lower() or word == word.upper() for word in _LATIN_WORD.findall(text))


def _without_quantities(text: str) -> str:
    for quantity in reversed(quantities(text)):
        text = f"{text[: quantity.start]} {text[quantity.end :]}"
    return text


@lru_cache(maxsize=256)
def _words(text: str, shortest: int = 3) -> tuple[Word, ...]:
    """Give the words of a text, but for small ones (in, в) of fewer letters than ``shortest``."""
    from anyascii import anyascii

    parts = [part for part in text.split() if len(part) >= shortest or not part.islower()]
    return tuple(
        (word, month(part), alphabet(part))
        for part in parts
        for word in _LATIN_WORD.findall(str(anyascii(part)).casefold())
    )


def _within(words: tuple[Word, ...], others: tuple[Word, ...]) -> bool:
    return all(any(_is_same(word, other) for other in others) for word in words)


def _is_same(word: Word, other: Word) -> bool:
    (a, month_a, alphabet_a), (b, month_b, alphabet_b) = word, other
    if month_a and month_b:
        return month_a == month_b
    is_across = alphabet_a != alphabet_b
    share, shortest = (_SHARED_ACROSS, _SHORTEST_ACROSS) if is_across else (_SHARED, _SHORTEST)
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a == b or same >= max(shortest, math.ceil(share * max(len(a), len(b))))
