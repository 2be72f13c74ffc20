"""Do two short answers say the same? Across languages and scripts, without a model."""

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f ]\d+)*")
_SHARED = 0.6  # of two words' length, from the front: words are inflected at the end
_SHORTEST = 3  # letters that have to be shared


def agree(a: str, b: str) -> bool:
    """Tell whether two short answers are the same or one says the other with more words.

    Numbers have to be the same numbers; words are compared in Latin letters, by how they begin («Жвачкина» and
    "Zhvachkin"). Two dates that name the same day in different languages agree by their numbers.
    """
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    if numbers_a or numbers_b:
        return numbers_a <= numbers_b or numbers_b <= numbers_a if numbers_a and numbers_b else False
    words_a, words_b = _words(a), _words(b)
    fewer, more = sorted((words_a, words_b), key=len)
    return bool(fewer) and all(any(_same_word(word, other) for other in more) for word in fewer)


def _numbers(text: str) -> set[str]:
    return {re.sub(r"[\s\u00a0\u202f]", "", number).replace(",", ".") for number in _NUMBER.findall(text)}


def _words(text: str) -> list[str]:
    return _WORD.findall(_latin(text))


@lru_cache(maxsize=10_000)
def _latin(text: str) -> str:
    from anyascii import anyascii

    return str(anyascii(text)).casefold()


def _same_word(a: str, b: str) -> bool:
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a == b or shared >= max(_SHORTEST, round(_SHARED * max(len(a), len(b))))
