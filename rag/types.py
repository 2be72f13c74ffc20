"""What flows through the read path."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from index.types import Article, Passage

Floats = npt.NDArray[np.float32]
AnswerStatus = Literal["answered", "partial", "abstained"]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question as it is searched for: its text, its language (ISO 639) and its embedding, ``(dim,)``."""

    text: str
    language: str
    vector: Floats


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a passage for the answer to a question gave.

    ``relevance`` is the logit that the passage answers; ``start`` and ``end`` are the best answer's span in characters
    of the passage's text; ``margin`` says by how much its score (a sum of logits) is above that of no answer.
    """

    relevance: float
    margin: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    ``score`` orders the hits of one question as they were retrieved: ``dense``, the cosine of question and passage
    (-1..1), raised by what ``coverage`` adds, the share of the question's wording that the passage has (0..1). Once
    the passage has been read, ``reading`` says what came of it, and ``relevance`` (0..1) how likely it answers.
    """

    passage: Passage
    article: Article
    score: float
    rank: int
    dense: float
    coverage: float
    reading: Reading | None = None
    relevance: float | None = None

    @property
    def text(self) -> str:
        """The passage's text."""
        return self.article.text[self.passage.start : self.passage.end]


@dataclass(frozen=True, slots=True)
class Citation:
    """A verbatim quote: always ``quote == article.text[start:end]``; offsets in characters.

    ``answer_start`` and ``answer_end`` bound the short answer within it, ``article.text[answer_start:answer_end]``.
    """

    marker: int
    article_id: str
    title: str
    uri: str
    published: str | None
    language: str
    start: int
    end: int
    quote: str
    answer_start: int
    answer_end: int

    @property
    def answer(self) -> str:
        """The short answer, verbatim."""
        return self.quote[self.answer_start - self.start : self.answer_end - self.start]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reader proposes: lines with markers such as ``[1]``, their citations, and the chance that they answer.

    A draft without citations says that the passages do not hold the answer.
    """

    sentences: tuple[str, ...]
    citations: tuple[Citation, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all that it stands on; its status is ``partial`` where it is not sure to be the right one."""

    question: str
    text: str
    status: AnswerStatus
    confidence: float  # 0..1: how likely the citations hold the answer
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    language: str  # of the question
    as_of: str | None  # the latest publication date among the cited articles
    timings: dict[str, float] = field(default_factory=dict)  # milliseconds by stage


class Retriever(Protocol):
    """Finds passages that bear on a question."""

    def retrieve(self, question: Question, k: int) -> list[Hit]:
        """Give up to ``k`` hits, best first."""


class Reranker(Protocol):
    """Puts the passages that answer before those that are only about the matter."""

    def rerank(self, question: Question, hits: list[Hit]) -> list[Hit]:
        """Give the same hits, best first, ranked and read anew."""


class Reader(Protocol):
    """Makes an answer out of passages, as the reranker gave them."""

    def read(self, question: Question, hits: list[Hit]) -> Draft:
        """Quote what answers the question, or give a draft without citations."""
