"""Synthetic articles: shuffled copies of real ones, or words by Zipf's law and vectors in clusters.

Seeded, so that every run sees the same ones.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from index.language import sentence_spans
from index.types import Article

Floats = npt.NDArray[np.float32]

_ONSETS = (*"bcdfghklmnprstvz", "br", "ch", "dr", "fl", "gr", "kl", "pr", "sh", "st", "tr")
_VOWELS = (*"aeiou", "ai", "ea", "io", "ou")
_VOCABULARY = 50_000
_LONGER_FROM = (100, 2_000, 20_000)  # ranks from which words have a syllable more: common ones are short
_FLATTENED = 2.7  # Mandelbrot's correction: the commonest words are less common than Zipf's law alone says
_PER_STORY = 50  # vectors around one centre
_STORIES_PER_TOPIC = 20
_NOISE = 2.5
_NUMBERED = 4  # one sentence in so many has the copy's number put in


def shuffled_copies(articles: Sequence[Article]) -> Iterator[dict[str, str | None]]:
    """Give copies of articles without end, as records of a .jsonl file, each with its sentences in another order.

    Every fourth sentence is numbered, so that no two copies have a passage in common.
    """
    chance = random.Random(1)
    for copy in count(1):
        for number, article in enumerate(articles):
            sentences = [article.text[start:end] for start, end in sentence_spans(article.text, article.language)]
            chance.shuffle(sentences)
            numbered = [f"({copy}) {text}" if n % _NUMBERED == 0 else text for n, text in enumerate(sentences)]
            url = f"copy:{copy}/{number}"
            yield {"title": article.title, "text": " ".join(numbered), "url": url, "published": article.published}


class Words:
    """Texts of pseudo-words whose frequencies follow Zipf's law."""

    def __init__(self, seed: int) -> None:
        """Make the vocabulary that ``seed`` stands for."""
        self._random = np.random.default_rng(seed)
        self._vocabulary = list(_vocabulary(self._random))
        weights = 1 / (np.arange(len(self._vocabulary)) + _FLATTENED)
        self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self, count: int) -> list[str]:
        """Draw ``count`` words."""
        found = np.searchsorted(self._cumulative, self._random.random(count))
        return [self._vocabulary[i] for i in np.minimum(found, len(self._vocabulary) - 1)]

    def text(self, count: int) -> str:
        """Give ``count`` words in sentences of twelve."""
        words = self.draw(count)
        return " ".join(" ".join(words[i : i + 12]).capitalize() + "." for i in range(0, count, 12))


def _vocabulary(random: np.random.Generator) -> Iterator[str]:
    known: set[str] = set()
    while len(known) < _VOCABULARY:
        syllables = 1 + sum(len(known) >= rank for rank in _LONGER_FROM)
        onsets, vowels = random.integers(len(_ONSETS), size=syllables), random.integers(len(_VOWELS), size=syllables)
        word = "".join(_ONSETS[o] + _VOWELS[v] for o, v in zip(onsets, vowels, strict=True))
        if word not in known:
            known.add(word)
            yield word


class Vectors:
    """Unit vectors in clusters of two levels: topics hold stories, a story holds some fifty vectors.

    Each is topic + story + `_NOISE` times noise: two of one story have a cosine of about 0.24. Much tighter clusters
    would make an inverted file look better than it is: its nearest list alone would hold nearly all neighbours.
    """

    def __init__(self, count: int, dim: int, seed: int) -> None:
        """Prepare centres for ``count`` vectors of length ``dim``."""
        self._random = np.random.default_rng(seed)
        self._dim = dim
        stories = max(1, count // _PER_STORY)
        topics = self._gaussian(max(1, stories // _STORIES_PER_TOPIC))
        self._centres = topics[self._random.integers(len(topics), size=stories)] + self._gaussian(stories)

    def draw(self, count: int) -> Floats:
        """Draw vectors around centres chosen at random: float32 ``(count, dim)``, of length 1."""
        centres = self._centres[self._random.integers(len(self._centres), size=count)]
        vectors = centres + _NOISE * self._gaussian(count)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def _gaussian(self, count: int) -> Floats:
        return self._random.standard_normal((count, self._dim), np.float32)
