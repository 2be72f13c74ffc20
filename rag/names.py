"""Proper names in a sentence, and whether a text has them: in any inflection, spelling or alphabet."""

import re
from difflib import SequenceMatcher
from functools import lru_cache

from index.language import alphabet, latin_spelling
from rag.alignment import Span

_UNCASED = "\u0590-\u0fff\u3040-\ud7ff"  # scripts without capitals, which join words without spaces
_WORD = re.compile(rf"[^\W\d_{_UNCASED}]+(?:[-'’][^\W\d_{_UNCASED}]+)*|[{_UNCASED}]+")
_QUOTED = re.compile(r"[«“„\"][^«»“”„\".!?]{1,40}[»”“\"]")
_ALIKE = 0.74  # of two names' letters in two alphabets: Жвачкин is Zhvachkin, Шеффилд is Sheffield
_SAME_STEM = 0.62  # of the longer word, from its beginning, in one alphabet: Вотского is Вотский
_SHORTEST_STEM = 4  # letters, or Iran were Iraq
_SHORTEST = 3  # letters: shorter names are not compared
_NOUNS_ARE_CAPITALISED = {"de", "lb"}


def names(text: str, language: str) -> list[Span]:
    """Give the words that are proper names; languages that capitalise all nouns have none to tell.

    A word that opens the text counts only if its spelling tells (NASA, iPhone) or it is in quotation marks.
    """
    if language in _NOUNS_ARE_CAPITALISED:
        return []
    found = []
    for word in _WORD.finditer(text):
        is_first = not any(map(str.isalnum, text[: word.start()])) and not _QUOTED.match(text, word.start() - 1)
        is_name = (word[0][0].isupper() and not is_first) or any(map(str.isupper, word[0][1:]))
        if is_name and len(word[0]) >= _SHORTEST:
            found.append(word.span())
    return found


def places_of(name: str, text: str) -> list[Span]:
    """Give where a text has a name."""
    return [match.span() for match in _WORD.finditer(text) if _is_same(name, match.group())]


def begin_alike(name: str, text: str, at: int) -> bool:
    """Tell whether the word of a text that begins at a character is capitalised and sounds like a name at first."""
    word = _WORD.match(text, at)
    return word is not None and word[0][0].isupper() and latin_spelling(word[0])[:1] == latin_spelling(name)[:1] != ""


def _is_same(a: str, b: str) -> bool:
    x, y = latin_spelling(a), latin_spelling(b)
    if not x or not y:
        return False
    if "-" in a and _is_same(a.split("-")[0], b):
        return True  # Аттерклифф-роуд is Attercliffe Road
    if alphabet(a) == alphabet(b):
        same = next((i for i, (p, q) in enumerate(zip(x, y, strict=False)) if p != q), min(len(x), len(y)))
        return x == y or same >= max(min(_SHORTEST_STEM, len(x), len(y)), _SAME_STEM * max(len(x), len(y)))
    return _likeness(x, y) >= _ALIKE


@lru_cache(maxsize=10_000)
def _likeness(x: str, y: str) -> float:
    return SequenceMatcher(None, x, y, autojunk=False).ratio()
