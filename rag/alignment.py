"""Matching a sentence's words with a passage's, across languages, by what they mean where they stand.

Every token of both is embedded in its context by the embedding model; a word is matched as well as the nearest token of
the passage's sentence is near. This is the recall of BERTScore (Zhang et al., 2020, https://arxiv.org/abs/1904.09675),
word by word: a name or a "not" that the source does not have stands out, whatever the rest says.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from index.language import is_unspaced, sentence_spans

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Span = tuple[int, int]

_WORD = re.compile(r"\w+(?:[-'’.,]\w+)*")
_CHARACTER = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|[^\W\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+")


class TokenEmbedder(Protocol):
    """Embeds the tokens of texts in their context."""

    def embed_tokens(self, texts: Sequence[str]) -> list[tuple[Integers, Floats]]:
        """Give for each text the characters under its tokens, ``(n, 2)``, and their unit vectors, ``(n, dim)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A text with its tokens: ``offsets`` ``(n, 2)`` in characters, ``vectors`` ``(n, dim)``."""

    text: str
    offsets: Integers
    vectors: Floats

    def under(self, span: Span) -> Integers:
        """Give the numbers of the tokens in a span."""
        return np.flatnonzero((self.offsets[:, 0] < span[1]) & (self.offsets[:, 1] > span[0]))


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How near each word of a claim is to each sentence of a passage, and to which of its words.

    ``words`` are spans of the claim, ``places`` the starts of the passage's words, ``sentences`` spans of the passage.
    ``scores`` ``(words, sentences)`` are cosines (-1..1), ``partners`` ``(words, sentences)`` numbers of places.
    """

    words: list[Span]
    places: list[int]
    sentences: list[Span]
    scores: Floats
    partners: Integers

    def within(self, run: slice) -> tuple[Floats, Integers]:
        """Give of each word how well a run of sentences matches it, and by which of the passage's words."""
        best = self.scores[:, run].argmax(axis=1) + run.start
        rows = np.arange(len(self.words))
        return self.scores[rows, best], self.partners[rows, best]

    def word(self, at: int) -> int:
        """Give the number of the claim's word at a character."""
        return max(0, bisect_right([start for start, _ in self.words], at) - 1)

    def place(self, at: int) -> int:
        """Give the number of the passage's word at a character."""
        return max(0, bisect_right(self.places, at) - 1)


def align(claim: Tokens, passage: Tokens, language: str) -> Alignment | None:
    """Match a claim with a passage in ``language``; ``None`` if either has no words."""
    words = [(span, under) for span in _words(claim.text) if len(under := claim.under(span))]
    sentences = [(s, under) for s in sentence_spans(passage.text, language) if len(under := passage.under(s))]
    if not words or not sentences:
        return None
    starts = [start for start, _ in _words(passage.text)]
    places = np.maximum(0, np.searchsorted(starts, passage.offsets[:, 1] - 1, side="right") - 1)
    cosines = claim.vectors @ passage.vectors.T
    scores = np.zeros((len(words), len(sentences)), np.float32)
    partners = np.zeros((len(words), len(sentences)), np.int64)
    for column, (_, inside) in enumerate(sentences):
        here = cosines[:, inside]
        nearest, where = here.max(axis=1), inside[here.argmax(axis=1)]
        for row, (_, own) in enumerate(words):
            scores[row, column] = nearest[own].mean()
            partners[row, column] = places[where[own[nearest[own].argmax()]]]
    return Alignment([span for span, _ in words], starts, [span for span, _ in sentences], scores, partners)


def _words(text: str) -> list[Span]:
    """Give a text's words; in scripts that put no spaces between words, its characters."""
    return [match.span() for match in (_CHARACTER if is_unspaced(text) else _WORD).finditer(text)]


def likeness(a: Tokens, b: Tokens) -> float:
    """Give how alike two texts are, -1..1: BERTScore's F1, of how well each one's tokens are matched by the other's."""
    if not len(a.vectors) or not len(b.vectors):
        return 0.0
    cosines = a.vectors @ b.vectors.T
    recall, precision = float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())
    return 2 * recall * precision / (recall + precision)
