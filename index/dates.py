"""Publication dates written by people: found by pattern, then parsed; unknown stays unknown."""

import re
from datetime import date, timedelta
from typing import Any, cast

_MONTH_WORD = r"[^\W\d_]{3,}\.?"
_YEAR = r"(?:19|20)\d\d"
# Candidates have a year: a date without one says nothing of when the article was published.
_DATE = re.compile(
    rf"""(?<!\d)(?:
      (?P<iso>{_YEAR}-\d\d-\d\d)
    | (?P<cjk>{_YEAR}\s*年\s*\d{{1,2}}\s*月\s*\d{{1,2}}\s*日)
    | (?P<ko>{_YEAR}\s*년\s*\d{{1,2}}\s*월\s*\d{{1,2}}\s*일)
    | (?P<dotted>\d{{1,2}}\.\d{{1,2}}\.{_YEAR})
    | (?P<slashed>\d{{1,2}}/\d{{1,2}}/{_YEAR})
    | (?P<day_first>\d{{1,2}}(?:st|nd|rd|th|º|er|-?го)?\.?\s*(?:de\s+|of\s+)?{_MONTH_WORD},?\s*(?:de\s+|del\s+)?{_YEAR})
    | (?P<month_first>{_MONTH_WORD}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+{_YEAR})
    )(?!\d)""",
    re.VERBOSE | re.IGNORECASE,
)
_PUBLISHED = re.compile(
    r"опубликован|дата публикации|размещено|published|posted|veröffentlicht|publicado|publié"
    r"|发布(?:时间|日期|于)|發布(?:時間|日期)",
    re.IGNORECASE,
)
_UPDATED = re.compile(r"обновлен|изменен|updated|modified|aktualisiert|actualizado|mis à jour|更新", re.IGNORECASE)
# The day on which the page was fetched, a copyright, another article, a quotation.
_NOT_OURS = re.compile(
    r"(?:©|\(c\)|copyright|сегодня|today|heute|следующ|предыдущ|next|previous|[\"«“„])", re.IGNORECASE
)
_LONGEST_DATE_LINE = 90


def is_update_line(line: str) -> bool:
    """Tell whether a date line speaks of a later change."""
    return bool(_UPDATED.search(line)) and not _PUBLISHED.search(line)


def date_of_line(line: str, language: str) -> str | None:
    """Give the date (ISO) of a line that is little more than a date, such as «26 Июнь2017» or "By A. Fox, May 3, 2024".

    A date inside a sentence does not count: it tells of the story, not of the article.
    """
    line = line.strip()
    if _NOT_OURS.match(line):
        return None
    if len(line) > _LONGEST_DATE_LINE or (line.endswith((".", "!", "?")) and len(line.split()) > 6):
        return None
    match = _DATE.search(line)
    if match is None or (len(match.group()) * 2 < len(line) and not _PUBLISHED.search(line) and len(line.split()) > 8):
        return None
    return _parse(match, language)


def is_labelled(line: str) -> bool:
    """Tell whether a line says of itself that it gives the time of publication."""
    return bool(_PUBLISHED.search(line))


def parse_iso(value: object) -> str | None:
    """Read the date of a metadata field: ISO 8601 (time and zone dropped) or a bare year or month; else ``None``."""
    match = re.match(rf"({_YEAR})(?:-(\d\d)(?:-(\d\d))?)?(?!\d)", str(value or "").strip())
    if match is None:
        return None
    year, month, day = (int(g) if g else None for g in match.groups())
    return _checked(cast(int, year), month, day)


def _parse(match: re.Match[str], language: str) -> str | None:
    numbers = [int(n) for n in re.findall(r"\d+", match.group())]
    if match["iso"] or match["cjk"] or match["ko"]:
        return _checked(numbers[0], numbers[1], numbers[2])
    if match["dotted"]:
        return _checked(numbers[2], numbers[1], numbers[0])
    if match["slashed"]:
        a, b, year = numbers
        if a > 12:
            return _checked(year, b, a)
        if b > 12:
            return _checked(year, a, b)
        return _checked(year, a, a) if a == b else _checked(year, None, None)  # day or month first: nobody can tell
    return _parse_words(match.group(), language, numbers)


def _parse_words(text: str, language: str, numbers: list[int]) -> str | None:
    import dateparser

    spaced = re.sub(r"(?<=[^\W\d_])(?=\d)", " ", text)  # «Июнь2017»
    spaced = re.sub(r"(?<=\d)(?:st|nd|rd|th|º|er|-?го)\b|\b(?:de|del|of)\b", " ", spaced)
    known = [code for code in dict.fromkeys([language, "en", "ru"]) if code in _PARSED_LANGUAGES]
    settings = cast(Any, {"REQUIRE_PARTS": ["day", "month", "year"]})
    try:
        found = dateparser.parse(spaced, languages=known, settings=settings)
    except (ValueError, OverflowError):
        return None
    return _checked(found.year, found.month, found.day) if found else None


_PARSED_LANGUAGES = {
    "en",
    "ru",
    "de",
    "es",
    "fr",
    "it",
    "pt",
    "nl",
    "pl",
    "uk",
    "be",
    "bg",
    "cs",
    "sv",
    "da",
    "fi",
    "tr",
    "ro",
    "hu",
    "id",
}


def _checked(year: int, month: int | None, day: int | None) -> str | None:
    """Write an ISO date of the precision known; impossible and future dates are unknown."""
    try:
        earliest = date(year, 1 if month is None else month, 1 if day is None else day)
    except ValueError:
        return None
    if earliest > date.today() + timedelta(days=1):
        return None
    if month is None:
        return f"{year:04}"
    return f"{year:04}-{month:02}" if day is None else f"{year:04}-{month:02}-{day:02}"
