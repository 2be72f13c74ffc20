"""What other programs read: answers, hits and events as JSON objects. They rely on these fields."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from index.types import Article, Passage
from rag.types import (
    Answer,
    Checked,
    Checking,
    Citation,
    Done,
    Event,
    Hit,
    Progress,
    Retrieved,
    Rewritten,
    Sentence,
)

Record = dict[str, Any]


def answer_record(answer: Answer) -> Record:
    """Give an answer, as ``rag ask --json`` prints it."""
    return {
        "question": answer.question,
        "standalone": answer.standalone,
        "language": answer.language,
        "text": answer.text,
        "status": answer.status,
        "confidence": round(answer.confidence, 4),
        "as_of": answer.as_of,
        "answerer": answer.answerer,
        "sentences": [sentence_record(sentence) for sentence in answer.sentences],
        "unsupported": [sentence_record(sentence) for sentence in answer.unsupported],
        "notes": list(answer.notes),
        "citations": [citation_record(citation) for citation in answer.citations],
        "hits": [hit_record(hit) for hit in answer.hits],
        "timings": answer.timings,
    }


def kept_record(answer: Answer) -> Record:
    """Give what is needed to show an answer again: of what was found one passage an article, and no text of it."""
    hits = [{**hit_record(hit), "relevance": hit.relevance, "text": ""} for hit in one_an_article(answer.hits)]
    return {**answer_record(answer), "confidence": answer.confidence, "hits": hits}


def one_an_article(hits: Iterable[Hit]) -> list[Hit]:
    """Give of each article the hit that comes first, in the order of the hits."""
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(hit.article.id, hit)
    return list(first.values())


def answer_of(record: Record) -> Answer:
    """Give the answer that a record was made of; its hits have no texts.

    Raises:
        KeyError, TypeError, ValueError: it is no record of an answer.
    """
    if not 0 <= record["confidence"] <= 1:
        raise ValueError(f"the confidence is {record['confidence']}")
    of_citation = {field.name for field in fields(Citation)}
    citations = {c["marker"]: Citation(**{k: c[k] for k in of_citation}) for c in record["citations"]}

    def sentences(records: Sequence[Record]) -> tuple[Sentence, ...]:
        return tuple(
            Sentence(r["text"], tuple(citations[m] for m in r["markers"]), r["verdict"], r["detail"]) for r in records
        )

    return Answer(
        question=record["question"],
        standalone=record["standalone"],
        text=record["text"],
        status=record["status"],
        confidence=float(record["confidence"]),
        citations=tuple(citations.values()),
        hits=tuple(_hit_of(hit, rank) for rank, hit in enumerate(record["hits"], 1)),
        language=record["language"],
        as_of=record["as_of"],
        sentences=sentences(record["sentences"]),
        unsupported=sentences(record["unsupported"]),
        notes=tuple(record["notes"]),
        answerer=record["answerer"],
        timings=dict(record["timings"]),
    )


def _hit_of(record: Record, rank: int) -> Hit:
    article = Article(
        id=record["article_id"],
        uri=record["uri"],
        title=record["title"],
        text="",
        language=record["language"],
        published=record["published"],
        updated=None,
        fetched="",
        source="",
        raw_sha256="",
    )
    passage = Passage(0, article.id, 0, record["start"], record["end"], record["language"])
    return Hit(passage, article, record["score"], rank, 0.0, 0.0, relevance=record["relevance"])


def sentence_record(sentence: Sentence) -> Record:
    """Give a sentence with the markers of its citations."""
    return {
        "text": sentence.text,
        "markers": [citation.marker for citation in sentence.citations],
        "verdict": sentence.verdict,
        "detail": sentence.detail,
    }


def citation_record(citation: Citation) -> Record:
    """Give a citation with its short answer."""
    return {**asdict(citation), "answer": citation.answer}


def hit_record(hit: Hit) -> Record:
    """Give a passage that was found."""
    article = hit.article
    return {
        "article_id": article.id,
        "title": article.title,
        "uri": article.uri,
        "published": article.published,
        "language": hit.passage.language,
        "start": hit.passage.start,
        "end": hit.passage.end,
        "score": round(hit.score, 4),
        "relevance": None if hit.relevance is None else round(hit.relevance, 4),
        "text": hit.text,
    }


def article_record(article: Article) -> Record:
    """Give an article with its text."""
    return asdict(article)


def event_record(event: Event) -> tuple[str, Record]:
    """Give the name of an event and what it says."""
    match event:
        case Progress():
            return "progress", asdict(event)
        case Rewritten():
            return "rewritten", {"standalone": event.standalone}
        case Retrieved():
            return "retrieved", {"hits": [hit_record(hit) for hit in event.hits]}
        case Checking():
            return "checking", {"text": event.text}
        case Checked():
            citations = [citation_record(citation) for citation in event.sentence.citations]
            return "checked", {**sentence_record(event.sentence), "citations": citations}
        case Done():
            return "done", answer_record(event.answer)
