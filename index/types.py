"""What flows through the write path. Standard library only."""

import re
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Article:
    """One cleaned article. Its text never changes under its id: a changed article is another id.

    ``published`` is the article's own date, never the time of scraping, as ISO 8601 of the precision known
    (``2017``, ``2017-06`` or ``2017-06-26``); unknown is ``None``. The same form sorts and compares as text.
    """

    id: str
    uri: str
    title: str
    text: str
    language: str  # ISO 639 code, or "und" where there are no words to tell by
    published: str | None
    updated: str | None
    fetched: str  # ISO 8601 time (UTC) at which the article was read in
    source: str  # host of a web page, or the folder's name
    raw_sha256: str


@dataclass(frozen=True, slots=True)
class Span:
    """A passage before it is stored: ``article.text[start:end]``, offsets in characters."""

    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored passage: ``article.text[start:end]``, offsets in characters, ``ordinal`` from 0."""

    id: int
    article_id: str
    ordinal: int
    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True)
class Where:
    """A filter over articles; an empty one admits all.

    ``published_from`` and ``published_to`` are inclusive ISO dates of any precision (``2024``, ``2024-03``);
    an article whose date is unknown passes neither.
    """

    published_from: str | None = None
    published_to: str | None = None
    languages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the dates, and take lists for tuples.

        Raises:
            ValueError: a date is not ISO 8601, or a text stands where a tuple of texts is due.
        """
        for name in ("published_from", "published_to"):
            value = getattr(self, name)
            if value is not None and not _is_date(value):
                raise ValueError(f"{name} is {value!r}: write 2024, 2024-03 or 2024-03-15")
        for name in ("languages", "sources"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ValueError(f"{name} is {value!r}: write ({value!r},)")
            object.__setattr__(self, name, tuple(value))

    def __bool__(self) -> bool:
        """Tell whether anything is filtered at all."""
        return bool(self.published_from or self.published_to or self.languages or self.sources)


def _is_date(value: str) -> bool:
    """Tell whether a text is a date of the calendar in ISO 8601, of any precision."""
    if not re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", value):
        return False
    try:
        date.fromisoformat(f"{value}-01-01"[:10])
    except ValueError:
        return False
    return True


EVERYTHING = Where()
