"""Hybrid retrieval: dense and lexical evidence on one scale, fused with knowledge of how much the latter means."""

import re
from collections.abc import Iterator

from index.article_index import ArticleIndex
from index.types import Passage, Where
from rag.types import Hit, Question

LEXICAL_WEIGHT = 0.15  # fitted on question-paragraph pairs in 14 languages; see eval/LOG.md
_CANDIDATES = 50  # of each retriever, at least
_SAME_SHARE = 0.8  # of three-word runs: above it two passages say the same
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+")


class HybridRetriever:
    """Dense (cosine) and lexical (BM25) search, fused.

    The fused score is the cosine plus `LEXICAL_WEIGHT` times the coverage: BM25 as a share of the most that this
    question could score (see `LexicalIndex.search`). Ranks would not do: where question and passages are in different
    languages BM25 still ranks, confidently, by the odd shared word, and fusing ranks lets that noise win. Coverage is
    low exactly then, because most of the question's words are in no passage, and the cosine decides.
    """

    def __init__(self, index: ArticleIndex, per_article: int, where: Where) -> None:
        """Search ``index`` for articles that pass ``where``, with at most ``per_article`` passages of each."""
        self._index = index
        self._per_article = per_article
        self._where = where

    def retrieve(self, question: Question, k: int) -> list[Hit]:
        """Give up to ``k`` hits, best first, no two of which say the same."""
        wanted = max(_CANDIDATES, 4 * k)
        dense = dict(self._index.search_dense(question.vector, wanted, self._where))
        lexical = {
            i: share
            for i, _, share in self._index.search_lexical(question.text, question.language, wanted, self._where)
        }
        only_lexical = self._index.vectors([i for i in lexical if i not in dense])
        dense.update({i: float(vector @ question.vector) for i, vector in only_lexical.items()})
        scores = {i: cosine + LEXICAL_WEIGHT * lexical.get(i, 0.0) for i, cosine in dense.items()}
        ranked = sorted(scores, key=lambda i: (-scores[i], i))
        passages = self._index.passages(ranked)
        hits: list[Hit] = []
        for passage in self._chosen([passages[i] for i in ranked if i in passages]):
            article = self._index.article(passage.article_id)
            if article is not None:  # else removed a moment ago
                i = passage.id
                hits.append(Hit(passage, article, scores[i], len(hits) + 1, dense[i], lexical.get(i, 0.0)))
                if not _is_repeated(hits[-1], hits[:-1]):
                    if len(hits) == k:
                        break
                else:
                    hits.pop()
        return hits

    def _chosen(self, ranked: list[Passage]) -> Iterator[Passage]:
        taken: dict[str, int] = {}
        for passage in ranked:
            taken[passage.article_id] = taken.get(passage.article_id, 0) + 1
            if taken[passage.article_id] <= self._per_article:
                yield passage


def _is_repeated(hit: Hit, before: list[Hit]) -> bool:
    return any(is_near_copy(hit.text, other.text) for other in before)


def is_near_copy(a: str, b: str) -> bool:
    """Tell whether two passages are nearly the same words with exactly the same numbers.

    A report with one figure changed is no copy: the change is the news.
    """
    if sorted(_NUMBER.findall(a)) != sorted(_NUMBER.findall(b)):
        return False
    runs_a, runs_b = _runs(a), _runs(b)
    return len(runs_a & runs_b) >= _SAME_SHARE * len(runs_a | runs_b)


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    if len(words) * 8 < len(text):  # no spaces between words: single characters instead
        words = [c for c in text if c.isalnum()]
    return set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}
