"""A reader without a model of its own: it quotes the sentences that the embedder and their wording speak for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.embed import Embedder
from index.language import alphabet, is_common_term, sentence_spans, terms
from rag.reader.evidence import has_what_is_asked, names_and_numbers, share_of_names
from rag.types import Citation, Draft, Hit, Question

_PASSAGES = 5  # of the hits, from the best on, whose sentences are looked at
_SENTENCES = 10  # of them are embedded: each costs as much as a question
_MOST_QUOTES = 3
_BESIDE = 0.4  # of the best one's probability: what is as likely is quoted beside it
_USUAL_LEAD = 0.05  # in cosine, of a passage that answers over the fourth and later ones; where there are none
_FOREIGN_OVERLAP = (0.1, 0.3)  # the least, and what names and numbers add to it, if the alphabets differ
FEATURES = (
    "cosine_sentence",
    "cosine_passage",
    "cosine_lead",
    "coverage",
    "overlap",
    "names",
    "kind",
    "same_language",
    "rank",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a hit, by offsets in the hit's article."""

    hit: Hit
    start: int
    end: int

    @property
    def text(self) -> str:
        """The sentence."""
        return self.hit.article.text[self.start : self.end]


class SentenceReader:
    """Quotes up to three sentences, the likeliest first, or abstains.

    Each sentence has a probability of holding the answer: logistic regression over `FEATURES`, fitted by
    ``eval/fit_sentence_reader.py`` on public question-answer pairs that no reported figure uses.
    """

    def __init__(self, embedder: Embedder, min_confidence: float) -> None:
        """Read with ``embedder``, the index's own; abstain below ``min_confidence`` (0..1)."""
        self._embedder = embedder
        self._min_confidence = min_confidence

    def read(self, question: Question, hits: list[Hit]) -> Draft:
        """Quote what answers the question, best first, or give a draft without citations."""
        candidates = choose_candidates(question, hits)
        if not candidates:
            return Draft((), (), 0.0)
        chances = [probability(row) for row in features(question, hits, candidates, self._embedder)]
        order = sorted(range(len(candidates)), key=lambda i: -chances[i])
        best = chances[order[0]]
        if best < self._min_confidence:
            return Draft((), (), best)
        quoted = [candidates[i] for i in order[:_MOST_QUOTES] if chances[i] >= _BESIDE * best]
        citations = tuple(_cite(marker, candidate) for marker, candidate in enumerate(quoted, 1))
        return Draft(tuple(f"{c.quote} [{c.marker}]" for c in citations), citations, best)


def choose_candidates(question: Question, hits: Sequence[Hit]) -> list[Candidate]:
    """Choose the sentences of the best passages that are worth embedding: nearest in wording and place."""
    asked = set(terms(question.text, question.language))
    names, numbers = names_and_numbers(question.text)
    scored: list[tuple[float, Candidate]] = []
    for hit in hits[:_PASSAGES]:
        article, passage = hit.article, hit.passage
        for start, end in sentence_spans(hit.text, passage.language):
            candidate = Candidate(hit, passage.start + start, passage.start + end)
            own = set(terms(candidate.text, passage.language))
            wording = len(asked & own) / max(1, len(asked))
            named = share_of_names(names, numbers, candidate.text) + 0.5 * share_of_names(names, numbers, article.title)
            kind = has_what_is_asked(question.text, candidate.text)
            scored.append((wording + 0.3 * named + 0.3 * kind - 0.15 * (hit.rank - 1), candidate))
    scored.sort(key=lambda pair: -pair[0])
    return [candidate for _, candidate in scored[:_SENTENCES]]


def features(
    question: Question, hits: Sequence[Hit], candidates: Sequence[Candidate], embedder: Embedder
) -> list[list[float]]:
    """Give one row of `FEATURES` for each candidate."""
    vectors = embedder.embed_passages([c.text for c in candidates])
    rarity = _rarity(set(terms(question.text, question.language)), hits)
    names, numbers = names_and_numbers(question.text)
    others = [hit.dense for hit in hits[3:]]
    rows = []
    for candidate, vector in zip(candidates, vectors, strict=True):
        hit = candidate.hit
        around = f"{hit.article.title}\n{hit.text}"
        own = set(terms(candidate.text, hit.passage.language))
        rows.append(
            [
                float(vector @ question.vector),
                hit.dense,
                hit.dense - float(np.mean(others)) if others else _USUAL_LEAD,
                hit.coverage,
                _overlap(rarity, own, alphabet(question.text) == alphabet(candidate.text)),
                share_of_names(names, numbers, around),
                has_what_is_asked(question.text, candidate.text),
                float(hit.passage.language == question.language),
                1 / hit.rank,
            ]
        )
    return rows


def _rarity(asked: set[str], hits: Sequence[Hit]) -> dict[str, float]:
    """Weigh the question's terms by how few of the hits have them, as IDF does."""
    found = [set(terms(hit.text, hit.passage.language)) for hit in hits]
    return {term: math.log(1 + (len(found) + 1) / (1 + sum(term in own for own in found))) for term in asked}


def _overlap(rarity: dict[str, float], own: set[str], is_same_alphabet: bool) -> float:
    """Tell what share (0..1) of the question's terms, by weight, a sentence has.

    In another alphabet only names and numbers can be compared: they move the share about what is usual.
    """
    comparable = {t: w for t, w in rarity.items() if is_same_alphabet or is_common_term(t)}
    share = sum(w for t, w in comparable.items() if t in own) / sum(comparable.values()) if comparable else 0.5
    return share if is_same_alphabet else _FOREIGN_OVERLAP[0] + _FOREIGN_OVERLAP[1] * share


# In the order of FEATURES; see eval/fit_sentence_reader.py.
_WEIGHTS = (15.496, 0.982, 12.049, -3.426, 4.946, 0.478, 1.051, -0.739, 2.837)
_INTERCEPT = -19.519


def probability(row: Sequence[float]) -> float:
    """Give the probability (0..1) that a sentence with these features holds the answer."""
    return 1 / (1 + math.exp(-(_INTERCEPT + sum(w * x for w, x in zip(_WEIGHTS, row, strict=True)))))


def _cite(marker: int, candidate: Candidate) -> Citation:
    article = candidate.hit.article
    return Citation(
        marker=marker,
        article_id=article.id,
        title=article.title,
        uri=article.uri,
        published=article.published,
        language=candidate.hit.passage.language,
        start=candidate.start,
        end=candidate.end,
        quote=candidate.text,
    )
