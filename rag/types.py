"""What flows through the read path."""

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from index.types import Article, Passage

Floats = npt.NDArray[np.float32]
AnswerStatus = Literal["answered", "partial", "abstained"]
Verdict = Literal["supported", "no source", "other number", "other name", "negation", "other meaning"]
Stage = Literal["rewriting", "searching", "reading", "writing"]

_HARDLY = 0.1  # a relevance (0..1)


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
    def promise(self) -> float:
        """What read passages are put in order by: the relevance, or 0 of one that hardly answers.

        Among such, reading tells less than retrieval did, whose order they keep (see eval/LOG.md).
        """
        relevance = self.relevance or 0.0
        return relevance if relevance >= _HARDLY else 0.0

    @property
    def text(self) -> str:
        """The passage's text."""
        return self.article.text[self.passage.start : self.passage.end]

    def cite(self, quote: tuple[int, int], answer: tuple[int, int]) -> "Citation":
        """Quote a span of the passage, with the short answer in it; both in characters of the passage's text."""
        article, shift = self.article, self.passage.start
        start, end = shift + quote[0], shift + quote[1]
        return Citation(
            marker=1,
            article_id=article.id,
            title=article.title,
            uri=article.uri,
            published=article.published,
            language=self.passage.language,
            start=start,
            end=end,
            quote=article.text[start:end],
            answer_start=shift + answer[0],
            answer_end=shift + answer[1],
        )


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
class Claim:
    """One sentence that a chat model wrote, without markers, and which of the passages (from 1) it says it is from."""

    text: str
    language: str
    passages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer after its check: what supports it, or why nothing does.

    ``detail`` names what was not found, such as a number, in the sentence's own words; a sentence that is not
    supported has no citations.
    """

    text: str
    citations: tuple[Citation, ...]
    verdict: Verdict
    detail: str = ""

    @property
    def is_supported(self) -> bool:
        """Whether its citations support it."""
        return self.verdict == "supported"

    @property
    def marked(self) -> str:
        """The text with the markers of its citations."""
        return " ".join([self.text, *(f"[{citation.marker}]" for citation in self.citations)])


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reader proposes: answers, each with its citations, and the chance (0..1) that the first is right.

    A draft without sentences says that the passages do not hold the answer.
    """

    sentences: tuple[Sentence, ...]
    confidence: float

    @property
    def citations(self) -> tuple[Citation, ...]:
        """All citations, in the order of their markers."""
        return tuple(citation for sentence in self.sentences for citation in sentence.citations)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question of a conversation, as it stands alone, with what was answered.

    ``sources`` are the titles of the articles cited, in the order of their markers.
    """

    question: str
    answer: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all that it stands on; its status is ``partial`` where it is not sure to be the right one.

    ``sentences`` are the supported ones, which ``text`` is made of; ``unsupported`` are those of a chat model that
    failed their check, kept apart. ``notes`` say, in the question's language, what there is to know beside: that the
    chat model did not answer and the reader did, or that a newer article gives another figure.
    """

    question: str  # as it was asked
    standalone: str  # as it was searched for: a follow-up completed from the conversation
    text: str
    status: AnswerStatus
    confidence: float  # 0..1: how likely the citations hold the answer
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    language: str  # of the question
    as_of: str | None  # the latest publication date among the cited articles
    sentences: tuple[Sentence, ...] = ()
    unsupported: tuple[Sentence, ...] = ()
    notes: tuple[str, ...] = ()
    answerer: str = "reader"  # or the chat model that wrote it, "provider:model"
    timings: dict[str, float] = field(default_factory=dict)  # milliseconds by stage

    @property
    def turn(self) -> Turn:
        """What a follow-up has to know of this answer."""
        return Turn(self.standalone, self.text, tuple(citation.title for citation in self.citations))


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a chat model: ``rules`` are the system's message, ``text`` the user's."""

    rules: str
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Work has begun: ``searching`` among so many passages, ``reading`` so many of them, ``writing`` from so many."""

    stage: Stage
    count: int = 0


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The question as it will be searched for; the same as asked where it stood alone."""

    standalone: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages found, in the order in which they are likely to answer."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Checking:
    """A sentence that is about to be checked, not to be shown as supported yet."""

    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence after its check: supported or not."""

    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Done:
    """The end: the whole answer."""

    answer: Answer


Event: TypeAlias = Progress | Rewritten | Retrieved | Checking | Checked | Done


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


class ChatModel(Protocol):
    """Writes text. Failures of whatever kind are a `ChatModelFailed` whose text has no secrets."""

    @property
    def name(self) -> str:
        """How the user called it: ``provider:model``."""

    @property
    def prompt_tokens(self) -> int:
        """How many tokens a prompt may have, what is left for the answer taken off."""

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, or estimate them from above."""

    def stream(self, rules: str, request: str) -> Generator[str, None, None]:
        """Give the answer to ``request`` under ``rules`` (the system's message) piece by piece.

        Closing the generator ends the request.
        """

    def astream(self, rules: str, request: str) -> AsyncGenerator[str, None]:
        """The same without blocking; cancelling the task ends the request."""
