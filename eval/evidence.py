"""Where gold evidence stands in an index, and which passages and citations are that evidence."""

from collections.abc import Iterable, Mapping

from eval.gold import GoldQuestion
from eval.metrics import contains
from eval.records import Cited, Found, Piece
from index.types import Article
from rag.types import Citation, Hit

_COVERED = 0.5  # of a quote's characters: from here on a span is taken to hold it


def pieces_of(gold: GoldQuestion, articles: Mapping[str, Article]) -> tuple[Piece, ...]:
    """Locate the evidence of a question that `eval.gold.problems` has nothing against."""
    return tuple(_piece(articles[e.article], e.quote) for e in gold.evidence)


def _piece(article: Article, quote: str) -> Piece:
    start = article.text.index(quote)
    return Piece(article.uri, article.language, start, start + len(quote), quote)


def needs_of(gold: GoldQuestion) -> tuple[tuple[int, ...], ...]:
    """Group the pieces of evidence: of each group one is enough, and every group is needed."""
    numbers = range(len(gold.evidence))
    if gold.kind == "multi-article":
        return tuple((n,) for n in numbers)
    return (tuple(numbers),) if gold.evidence else ()


def found_of(hit: Hit, pieces: Iterable[Piece]) -> Found:
    """Note a hit, and which pieces of evidence it covers: those of which it has at least half."""
    passage, article = hit.passage, hit.article
    return Found(
        uri=article.uri,
        title=article.title,
        start=passage.start,
        end=passage.end,
        language=passage.language,
        relevance=hit.relevance,
        text=hit.text,
        pieces=_covered(pieces, article.uri, passage.start, passage.end),
    )


def cited_of(citation: Citation, article: Article | None, pieces: tuple[Piece, ...], gold: GoldQuestion) -> Cited:
    """Note a citation, whether it is verbatim, and whether it is right.

    It is right if it has half of a piece of evidence, or if it quotes a right answer from an article that evidence is
    in. It is verbatim if what it quotes stands at its offsets in the article that its address names. ``article`` is the
    one cited, as the index holds it.
    """
    covered = _covered(pieces, citation.uri, citation.start, citation.end)
    is_there = gold.kind != "yes-no" and any(contains(citation.quote, a, gold.language) for a in gold.answers)
    return Cited(
        uri=citation.uri,
        title=citation.title,
        start=citation.start,
        end=citation.end,
        quote=citation.quote,
        answer=citation.answer,
        is_verbatim=_is_verbatim(citation, article),
        is_right=bool(covered) or (is_there and any(piece.uri == citation.uri for piece in pieces)),
        pieces=covered,
    )


def _is_verbatim(citation: Citation, article: Article | None) -> bool:
    if article is None or article.uri != citation.uri or not 0 <= citation.start < citation.end:
        return False
    return article.text[citation.start : citation.end] == citation.quote


def _covered(pieces: Iterable[Piece], uri: str, start: int, end: int) -> tuple[int, ...]:
    """Number the pieces of which a span of an article has at least half."""
    return tuple(
        n
        for n, piece in enumerate(pieces)
        if piece.uri == uri and _overlap(piece, start, end) >= _COVERED * (piece.end - piece.start)
    )


def _overlap(piece: Piece, start: int, end: int) -> int:
    return max(0, min(piece.end, end) - max(piece.start, start))
