"""What the JSON API takes: checked by pydantic, described in its OpenAPI document."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from index.errors import BadRequest
from index.types import Where
from rag.types import Turn

IsoDate = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Question = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


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
    today: Annotated[date | None, Field(description='the day that "now" and "last week" are said on')] = None
    stream: Annotated[bool, Field(description="send server-sent events as it happens; the last one is `done`")] = False


class Searched(_Strict):
    """A question for passages."""

    question: Question
    k: Annotated[int, Field(ge=1, le=100, description="how many passages at most")] = 10
    where: Filter = Filter()
    rerank: Annotated[bool, Field(description="those that answer first; takes twenty times as long")] = False


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
    start: int = Field(ge=0, description="the quote's first character in the article's text")
    end: int = Field(ge=0)
    answer_start: Annotated[int, Field(ge=0, description="the short answer's")] = 0
    answer_end: Annotated[int, Field(ge=0)] = 0


class Problem(BaseModel):
    """What went wrong."""

    type: str
    message: str = Field(description="one line for people: what, where, what to do")
    request_id: str = ""


class ProblemBody(BaseModel):
    """The body of every error."""

    error: Problem
