"""Which of the passages that a tool found hold the evidence: one rule for all, however each cuts its passages.

A passage is relevant to a piece of evidence if it is of the same article and holds at least half of the quote in one
piece, all whitespace counted as one space: so a quote cut in two by a passage's end counts in the longer part's
passage, and a tool's markup beside it does no harm. In a question of kind ``multi-article`` every piece is a need of
its own; in any other kind the pieces are alternatives, and one need together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import inf
from statistics import mean

from eval.evidence import needs_of as numbered_needs
from eval.gold import Evidence, GoldQuestion
from index.types import Article


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage that a tool found: the URI of its article, and its text as the tool keeps it."""

    article: str
    text: str


@dataclass(frozen=True, slots=True)
class Need:
    """What one question needs to see: any of these pieces of evidence; ``pair`` is as ``ru→en``, asked and written."""

    evidence: tuple[Evidence, ...]
    pair: str


def needs_of(question: GoldQuestion, articles: Mapping[str, Article]) -> list[Need]:
    """Give the needs of an answerable question.

    Args:
        question: has evidence.
        articles: by the names that the evidence uses.
    """
    groups = [tuple(question.evidence[n] for n in group) for group in numbered_needs(question)]
    return [Need(group, _pair(question, group, articles)) for group in groups]


def _pair(question: GoldQuestion, group: Sequence[Evidence], articles: Mapping[str, Article]) -> str:
    return f"{question.language}→{'/'.join(sorted({articles[piece.article].language for piece in group}))}"


def first_rank(need: Need, passages: Sequence[FoundPassage], articles: Mapping[str, Article]) -> float:
    """Give the place (from 1) of the first passage that meets a need; infinity if none does."""
    for rank, passage in enumerate(passages, 1):
        for piece in need.evidence:
            if passage.article == articles[piece.article].uri and holds_half(passage.text, piece.quote):
                return rank
    return inf


def holds_half(text: str, quote: str) -> bool:
    """Tell whether a text holds at least half of a quote in one piece."""
    text, quote = " ".join(text.split()), " ".join(quote.split())
    shared = SequenceMatcher(None, text, quote, autojunk=False).find_longest_match()
    return 2 * shared.size >= len(quote)


def recall(ranks: Sequence[float], depth: int) -> float:
    """Give the share of a question's needs that the first ``depth`` passages meet, 0..1."""
    return mean(rank <= depth for rank in ranks)


def reciprocal_rank(ranks: Sequence[float], depth: int) -> float:
    """Give 1 over the place of the first passage that meets any need, 0 if none of the first ``depth`` does."""
    first = min(ranks)
    return 1 / first if first <= depth else 0.0
