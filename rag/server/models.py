"""What the JSON API takes and gives, described in its OpenAPI document; what it takes is checked by pydantic."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

from index.errors import BadRequest
from index.store import Listed
from index.types import Where
from rag.feedback import Feedback
from rag.types import AnswerStatus, Turn, Verdict

IsoDate = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Question = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


def _day(value: object) -> date:
    """Read a date as its JSON schema has it; pydantic alone would take numbers too, for seconds since 1970."""
    if not isinstance(value, str):
        raise ValueError("a date is a text, as 2024-03-15")
    return date.fromisoformat(value)


class _Strict(BaseModel):
    """A mistyped field is an error, not a field passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Filter(_Strict):
    """Which articles may be used; an empty filter admits all."""

    published_from: Annotated[IsoDate | None, Field(description="on or after: 2024, 2024-03 or 2024-03-15")] = None
    published_to: Annotated[IsoDate | None, Field(description="on or before")] = None
    languages: Annotated[list[Name], Field(max_length=100, description="ISO 639 codes")] = []
    sources: Annotated[list[Name], Field(max_length=1000, description="sites, or folders of files")] = []

    def as_where(self) -> Where:
        """Give the filter as the index takes it.

        Raises:
            BadRequest: a date is none of the calendar.
        """
        languages = tuple(code.lower() for code in self.languages)
        try:
            return Where(self.published_from, self.published_to, languages, tuple(self.sources))
        except ValueError as error:
            raise BadRequest(str(error)) from error


class PastTurn(_Strict):
    """A question asked before, with its answer."""

    question: Question
    answer: Annotated[str, StringConstraints(max_length=100_000)] = ""
    sources: Annotated[
        list[Annotated[str, StringConstraints(max_length=2000)]],
        Field(max_length=100, description="titles of the articles cited"),
    ] = []

    def as_turn(self) -> Turn:
        """Give it as the assistant takes it."""
        return Turn(self.question, self.answer, tuple(self.sources))


class Asked(_Strict):
    """A question for an answer."""

    question: Question = Field(description="in any language; its first 2,000 characters count")
    where: Filter = Filter()
    history: Annotated[list[PastTurn], Field(max_length=100, description="the turns before a follow-up")] = []
    today: Annotated[
        Annotated[date, BeforeValidator(_day)] | None,
        Field(description='the day that "now" and "last week" are said on'),
    ] = None
    stream: Annotated[
        StrictBool, Field(description="send server-sent events as it happens; the last one is `done`")
    ] = False


class Searched(_Strict):
    """A question for passages."""

    question: Question
    k: Annotated[StrictInt, Field(ge=1, le=100, description="how many passages at most")] = 10
    where: Filter = Filter()
    rerank: Annotated[StrictBool, Field(description="those that answer first; takes twenty times as long")] = False


class GivenArticle(_Strict):
    """An article as text."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000_000)]
    title: Annotated[str, StringConstraints(max_length=2000)] = ""
    url: Annotated[str, Field(max_length=4000, description="its address; what has the same one is replaced")] = ""
    published: IsoDate | None = None


class Given(_Strict):
    """Articles to index: by address, or as text."""

    urls: Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=4000)]], Field(max_length=100)] = []
    articles: Annotated[list[GivenArticle], Field(max_length=1000)] = []


class Opinion(_Strict):
    """What someone says about an answer; the answer as `/v1/ask` gave it."""

    answer_id: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="any id of the answer: a later opinion with the same one takes its place"
    )
    verdict: Literal["up", "down"]
    comment: Annotated[str, StringConstraints(max_length=4000)] = ""
    question: Question
    standalone: Annotated[str, StringConstraints(max_length=20_000)] = ""
    answer: Annotated[str, StringConstraints(max_length=100_000)]
    status: Literal["answered", "partial", "abstained"]
    language: Name
    answerer: Name = "reader"
    citations: Annotated[list["Cited"], Field(max_length=100)] = []


class Cited(_Strict):
    """A quote of the answer."""

    article_id: Name
    start: StrictInt = Field(ge=0, description="the quote's first character in the article's text")
    end: StrictInt = Field(ge=0)
    answer_start: Annotated[StrictInt, Field(ge=0, description="the short answer's")] = 0
    answer_end: Annotated[StrictInt, Field(ge=0)] = 0


# What is given


class FoundPassage(BaseModel):
    """A passage that was found."""

    article_id: str
    title: str
    uri: str
    published: str | None = Field(description="ISO 8601, as exact as it is known")
    language: str
    start: int = Field(description="the passage's first character in the article's text")
    end: int
    score: float
    relevance: float | None = Field(description="0 to 1, how likely it answers; null if it was not read")
    text: str


class Found(BaseModel):
    """Passages, best first."""

    question: str
    hits: list[FoundPassage]


class CitedQuote(BaseModel):
    """A verbatim quote: the article's text from `start` to `end`, in characters."""

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
    answer: str = Field(description="the short answer, which stands in the quote")
    link: str = Field(description="path of the article here, with the quote marked")
    live: str | None = Field(description="the page on the web, at the quote; null if the article is not from the web")


class CheckedSentence(BaseModel):
    """A sentence of an answer, with the markers of what supports it, or why nothing does."""

    text: str
    markers: list[int]
    verdict: Verdict
    detail: str


class Answered(BaseModel):
    """An answer; it is `partial` where it is not sure to be the right one."""

    id: str
    question: str = Field(description="as it was asked")
    standalone: str = Field(description="as it was searched for: a follow-up completed")
    language: str
    text: str
    status: AnswerStatus
    confidence: float = Field(description="0 to 1")
    as_of: str | None = Field(description="the latest date of publication among the articles cited")
    answerer: str
    sentences: list[CheckedSentence]
    unsupported: list[CheckedSentence]
    notes: list[str]
    citations: list[CitedQuote]
    hits: list[FoundPassage]
    timings: dict[str, float] = Field(description="milliseconds by stage")


class Listing(BaseModel):
    """Some of the articles, and how many there are."""

    total: int
    articles: list[Listed]


class Skipped(BaseModel):
    """What was not indexed, and why."""

    uri: str
    reason: str


class Added(BaseModel):
    """What became of what was given."""

    added: int
    updated: int
    unchanged: int
    passages_embedded: int
    skipped: list[Skipped]


class WholeArticle(BaseModel):
    """An article with its text, as it is cited."""

    id: str
    uri: str
    title: str
    text: str
    language: str
    published: str | None
    updated: str | None
    fetched: str
    source: str
    raw_sha256: str
    link: str = Field(description="path of the page that shows it")
    current_id: str | None = Field(description="another id if it has changed since; null if it is there no more")


class Removed(BaseModel):
    """How many articles were removed."""

    removed: int


class Holdings(BaseModel):
    """What the index holds."""

    embedder: str
    articles: int
    passages: int
    generation: int = Field(description="counts the changes")
    bytes: int
    languages: list[list[str | int]] = Field(description="each with its number of articles, most frequent first")
    sources: list[list[str | int]]
    earliest: str | None
    latest: str | None
    undated: int
    answerer: str
    waiting: int = Field(description="questions in line")


class Noted(BaseModel):
    """An opinion that was kept."""

    id: str


class Opinions(BaseModel):
    """The latest opinion on each answer, oldest first."""

    feedback: list[Feedback]


class GoldQuestions(BaseModel):
    """Rows of `feedback-gold.jsonl` and `feedback-drafts.jsonl`, as `rag feedback --gold` writes them."""

    questions: list[dict[str, Any]]
    drafts: list[dict[str, Any]]


class Problem(BaseModel):
    """What went wrong."""

    type: str
    message: str = Field(description="one line for people: what, where, what to do")
    request_id: str = ""


class ProblemBody(BaseModel):
    """The body of every error."""

    error: Problem
