"""Publication dates at work: which passages a question's time prefers, and whether a newer report says otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from rag.injection import speaks_to_a_model
from rag.reader.agreement import is_other_figure
from rag.time_scope import TimeScope
from rag.types import Citation, Hit, Sentence

_PREFERENCE = 0.15  # of relevance (0..1): what being of the right time makes up for
_AS_RELEVANT = 0.5  # of the cited passage's relevance: a newer passage less relevant is about something else


def is_within(published: str | None, scope: TimeScope) -> bool:
    """Tell whether a publication date may be in the period of a scope; an unknown one never is."""
    if published is None:
        return False
    return _not_before(published, scope.since) and _not_before(scope.until, published)


def _not_before(date: str | None, other: str | None) -> bool:
    """Compare two dates as far as both are known: May 2024 is not before 2024."""
    if date is None or other is None:
        return True
    known = min(len(date), len(other))
    return date[:known] >= other[:known]


def preferring(scope: TimeScope, hits: Sequence[Hit]) -> list[Hit]:
    """Order hits by relevance with a bonus for the right time: the period asked about, or else the newest dates.

    Hits that were not read keep their place after those that were.
    """
    dates = sorted({hit.article.published for hit in hits if hit.article.published and hit.relevance is not None})

    def bonus(hit: Hit) -> float:
        if scope.since or scope.until:
            return _PREFERENCE * is_within(hit.article.published, scope)
        if scope.is_recent and hit.article.published and len(dates) > 1:
            return _PREFERENCE * dates.index(hit.article.published) / (len(dates) - 1)
        return 0.0

    ordered = sorted(hits, key=lambda hit: -(-1.0 if hit.relevance is None else hit.promise + bonus(hit)))
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, 1)]


def superseded_by(citations: Sequence[Citation], hits: Sequence[Hit]) -> Hit | None:
    """Give the newest passage that answers as well as those cited, is newer than all of them, and has another figure.

    The figures compared are those of the short answers that the reader found.
    """
    cited = {citation.article_id for citation in citations}
    latest = max((c.published for c in citations if c.published), default=None)
    ours = [hit for hit in hits if hit.relevance is not None and any(_holds(hit, c) for c in citations)]
    least = _AS_RELEVANT * max((hit.relevance or 0.0 for hit in ours), default=2.0)
    newer = [
        hit
        for hit in hits
        if latest
        and (hit.article.published or "") > latest
        and (hit.relevance or 0.0) >= least
        and hit.article.id not in cited
    ]
    changed = [hit for hit in newer if any(is_other_figure(answer_of(old), answer_of(hit)) for old in ours)]
    changed = [hit for hit in changed if not speaks_to_a_model(hit.text)]  # asked last: it reads the whole text
    return max(changed, key=lambda hit: hit.article.published or "", default=None)


def with_contradictions(written: Sequence[Sentence], read: Sequence[Sentence], hits: Sequence[Hit]) -> list[Sentence]:
    """Add to what a chat model wrote what the reader found in other articles that gives another figure, newer first.

    Args:
        written: supported sentences.
        read: the reader's own, each with its dates.
        hits: as they were read.
    """
    citations = [citation for sentence in written for citation in sentence.citations]
    cited = {citation.article_id for citation in citations}
    answers = [answer_of(hit) for hit in hits if hit.reading and any(_holds(hit, c) for c in citations)]
    markers = count(1 + max((citation.marker for citation in citations), default=0))
    added = [
        replace(sentence, citations=tuple(replace(c, marker=next(markers)) for c in sentence.citations))
        for sentence in read
        if not cited & {c.article_id for c in sentence.citations}
        and any(is_other_figure(answer, sentence.citations[0].answer) for answer in answers)
    ]
    latest = _latest(written)
    newer = [sentence for sentence in added if _latest([sentence]) > latest]
    return [*newer, *written, *(sentence for sentence in added if sentence not in newer)]


def _latest(sentences: Sequence[Sentence]) -> str:
    return max((c.published or "" for sentence in sentences for c in sentence.citations), default="")


def _holds(hit: Hit, citation: Citation) -> bool:
    is_here = hit.article.id == citation.article_id
    return is_here and hit.passage.start <= citation.start and citation.end <= hit.passage.end


def answer_of(hit: Hit) -> str:
    """Give the short answer that was read in a passage."""
    return hit.text[hit.reading.start : hit.reading.end] if hit.reading else ""
