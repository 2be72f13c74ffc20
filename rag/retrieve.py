"""Hybrid retrieval: dense and lexical evidence on one scale, fused with knowledge of how much the latter means."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from index.article_index import ArticleIndex
from index.language import is_unspaced
from index.types import Passage, Where
from rag.types import Hit, Question

LEXICAL_WEIGHT = 0.15  # fitted on question-paragraph pairs in 14 languages; see eval/LOG.md
FOREIGN_BONUS = 0.05  # likewise
_CANDIDATES = 50  # of each retriever, at least
_SAME_SHARE = 0.8  # of three-word runs: above it two passages say the same
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+")

Shape = tuple[list[str], set[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that a search found, with its cosine (-1..1) and its coverage of the question's wording (0..1)."""

    passage: Passage
    dense: float
    coverage: float


Fusion = Callable[[Question, Sequence[Candidate]], Sequence[float]]


def weighted(question: Question, candidates: Sequence[Candidate]) -> list[float]:
    """Give the fused score of each candidate, more for the better ones.

    It is the cosine, plus `LEXICAL_WEIGHT` times the coverage, plus `FOREIGN_BONUS` for a passage in
    another language than the question's. Coverage is BM25 as a share of the most that this question could score (see
    `LexicalIndex.search`). Ranks would not do: where question and passages are in different languages BM25 still
    ranks, confidently, by the odd shared word, and fusing ranks lets that noise win. Coverage is low exactly then,
    because most of the question's words are in no passage, and the cosine decides.

    The bonus makes up for what any passage gains by being in the question's language: .03 in cosine, whatever it says
    (measured over six pairs of languages), and some coverage. Without it an answer in another language hardly ever
    comes before unrelated passages in the question's own.
    """
    return [
        c.dense + LEXICAL_WEIGHT * c.coverage + FOREIGN_BONUS * (c.passage.language != question.language)
        for c in candidates
    ]


class HybridRetriever:
    """Dense (cosine) and lexical (BM25) search, fused."""

    def __init__(self, index: ArticleIndex, per_article: int, where: Where, fusion: Fusion = weighted) -> None:
        """Search ``index`` for articles that pass ``where``, with at most ``per_article`` passages of each."""
        self._index = index
        self._per_article = per_article
        self._where = where
        self._fusion = fusion

    def retrieve(self, question: Question, k: int) -> list[Hit]:
        """Give up to ``k`` hits, best first, no two of which say the same."""
        candidates = self._candidates(question, max(_CANDIDATES, 4 * k))
        scored = zip(self._fusion(question, candidates), candidates, strict=True)
        ranked = sorted(scored, key=lambda each: (-each[0], each[1].passage.id))
        hits: list[Hit] = []
        shapes: list[Shape] = []
        for score, candidate in self._chosen(ranked):
            passage = candidate.passage
            article = self._index.article(passage.article_id)
            if article is None:  # removed a moment ago
                continue
            hit = Hit(passage, article, score, len(hits) + 1, candidate.dense, candidate.coverage)
            shape = shape_of(hit.text)
            if not any(is_near_copy(shape, other) for other in shapes):
                hits.append(hit)
                shapes.append(shape)
            if len(hits) == k:
                break
        return hits

    def _candidates(self, question: Question, wanted: int) -> list[Candidate]:
        """Give what either search finds, each with its cosine and its coverage."""
        dense: dict[int, float] = {}
        coverage: dict[int, float] = {}
        for where in self._parts(question):
            dense.update(self._index.search_dense(question.vector, wanted, where))
            found = self._index.search_lexical(question.text, question.language, wanted, where)
            coverage.update({i: share for i, _, share in found})
        only_lexical = self._index.vectors([i for i in coverage if i not in dense])
        dense.update({i: float(vector @ question.vector) for i, vector in only_lexical.items()})
        passages = self._index.passages(list(dense))
        return [Candidate(passage, dense[i], coverage.get(i, 0.0)) for i, passage in passages.items()]

    def _parts(self, question: Question) -> list[Where]:
        """Give the searches to make: one, or a second one so that the other languages have candidates at all."""
        languages = [code for code in self._index.languages() if code in (self._where.languages or (code,))]
        foreign = tuple(code for code in languages if code != question.language)
        if not foreign or len(foreign) == len(languages):
            return [self._where]
        return [self._where, replace(self._where, languages=foreign)]

    def _chosen(self, ranked: Sequence[tuple[float, Candidate]]) -> Iterator[tuple[float, Candidate]]:
        taken: dict[str, int] = {}
        for score, candidate in ranked:
            article = candidate.passage.article_id
            taken[article] = taken.get(article, 0) + 1
            if taken[article] <= self._per_article:
                yield score, candidate


def shape_of(text: str) -> Shape:
    """Give what two near copies have in common: the numbers, sorted, and the set of all runs of three words."""
    words = [c for c in text if c.isalnum()] if is_unspaced(text) else _WORD.findall(text.casefold())
    runs: set[tuple[str, ...]] = set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}
    return sorted(_NUMBER.findall(text)), runs


def is_near_copy(a: Shape, b: Shape) -> bool:
    """Tell whether two passages are nearly the same words with exactly the same numbers.

    A report with one figure changed is no copy: the change is the news.
    """
    (numbers_a, runs_a), (numbers_b, runs_b) = a, b
    return numbers_a == numbers_b and len(runs_a & runs_b) >= _SAME_SHARE * len(runs_a | runs_b)
