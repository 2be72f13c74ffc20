"""False claims made out of true ones, each by one change, to measure whether a check notices.

A change is made only where its result is surely false: a new figure, date or name is one that the quote, and mostly
the whole article, does not have; what bounds a figure ("more than 20") leaves it alone; a passage cited instead of the
right one lacks some figure or name of the claim. When in doubt there is no change of that kind. Nothing here is shared
with what is measured: an error of both would not be seen.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

from babel import Locale

from eval.gold import GoldQuestion
from index.errors import BadRequest
from index.language import is_unspaced, sentence_spans
from index.types import Article, Span

ClaimKind = Literal["verbatim", "paraphrase", "across"]
Kind = Literal[
    "true",
    "number",
    "article's number",
    "scale",
    "date",
    "article's name",
    "name",
    "negation",
    "other passage",
    "other article",
]


@dataclass(frozen=True, slots=True)
class SourcedClaim:
    """A true sentence and the words of an article, verbatim, that say so; ``across`` languages or within one."""

    id: str
    article: str  # by its file's name, as in `eval.gold`
    quote: str
    quote_language: str
    claim: str
    language: str
    kind: ClaimKind


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence, true or not, and the passages that it cites: an article's, by ordinals from 0."""

    origin: SourcedClaim
    kind: Kind
    claim: str
    article: str
    passages: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """The articles by name, the passages that each is cut into, and the claims about them."""

    articles: Mapping[str, Article]
    passages: Mapping[str, Sequence[Span]]
    claims: Sequence[SourcedClaim]

    def text(self, article: str, ordinal: int) -> str:
        """Give a passage's text."""
        span = self.passages[article][ordinal]
        return self.articles[article].text[span.start : span.end]

    def cited(self, claim: SourcedClaim) -> tuple[int, ...]:
        """Give the ordinals of the passages that hold the claim's quote, or parts of it.

        Raises:
            BadRequest: there is no such article, or it does not have the quote.
        """
        article = self.articles.get(claim.article)
        start = article.text.find(claim.quote) if article else -1
        if start < 0:
            raise BadRequest(f"{claim.id}: not in {claim.article}: {claim.quote}")
        end = start + len(claim.quote)
        spans = self.passages[claim.article]
        return tuple(n for n, span in enumerate(spans) if span.start < end and start < span.end)

    @cached_property
    def _texts(self) -> dict[tuple[str, str], list[SourcedClaim]]:
        return {key: list(same) for key, same in groupby(sorted(self.claims, key=_about), key=_about)}

    def told_elsewhere(self, claim: SourcedClaim) -> str:
        """Give what the article, or across languages other claims about it, tell in the claim's language.

        The quote, the title and the first paragraph are left out: what these name goes together too often.
        """
        article = self.articles[claim.article]
        if article.language == claim.language:
            return article.text.partition("\n")[2].replace(claim.quote, "\n")
        others = self._texts.get(_about(claim), [])
        return "\n".join(o.claim for o in others if o.quote not in claim.quote and claim.quote not in o.quote)


def _about(claim: SourcedClaim) -> tuple[str, str]:
    return claim.article, claim.language


def read_claims(path: Path) -> list[SourcedClaim]:
    """Read true claims, one JSON object a line with the fields of `SourcedClaim`.

    Raises:
        BadRequest: the file cannot be read, or a line is not a claim; says which line and why.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read the claims {path}: {error}") from error
    claims = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                claims.append(_claim(json.loads(line)))
            except ValueError as error:
                raise BadRequest(f"{path}, line {number}: not a claim ({error})") from error
    return claims


def _claim(row: Any) -> SourcedClaim:  # noqa: ANN401 - whatever JSON holds
    names = [field.name for field in fields(SourcedClaim)]
    if not isinstance(row, dict) or sorted(row) != sorted(names):
        raise ValueError(f"it needs {', '.join(names)}, and nothing else")
    if not all(isinstance(value, str) and value for value in row.values()):
        raise ValueError("all of it is text, none of it empty")
    if row["kind"] not in get_args(ClaimKind):
        raise ValueError(f"unknown kind {row['kind']!r}, none of {', '.join(get_args(ClaimKind))}")
    return SourcedClaim(**row)


def verbatim_claims(questions: Iterable[GoldQuestion], articles: Mapping[str, Article]) -> list[SourcedClaim]:
    """Take the quotes that answer gold questions, where they are one whole sentence, as claims of their own."""
    claims: dict[tuple[str, str], SourcedClaim] = {}
    for question in questions:
        for number, evidence in enumerate(question.evidence):
            article = articles[evidence.article]
            sentences = {article.text[a:b] for a, b in sentence_spans(article.text, article.language)}
            if evidence.quote in sentences:
                claims.setdefault(
                    (evidence.article, evidence.quote),
                    SourcedClaim(
                        f"{question.id}/{number}",
                        evidence.article,
                        evidence.quote,
                        article.language,
                        evidence.quote,
                        article.language,
                        "verbatim",
                    ),
                )
    return list(claims.values())


def true_case(claim: SourcedClaim, corpus: Corpus) -> Case:
    """Cite, for a true claim, the passages that hold its quote."""
    return Case(claim, "true", claim.claim, claim.article, corpus.cited(claim))


def perturb(claim: SourcedClaim, corpus: Corpus, seed: int = 7) -> list[Case]:
    """Make false claims out of a true one, at most one of each kind; the same ones for the same seed."""
    cited = corpus.cited(claim)
    edits: dict[Kind, Sequence[_Edit]] = {
        "number": _changed_numbers(claim, corpus),
        "article's number": _numbers_of_the_article(claim, corpus),
        "scale": _matches(claim.claim, _SCALES.get(claim.language, ())),
        "date": _changed_dates(claim, corpus),
        "article's name": _names_of_the_article(claim, corpus),
        "name": _names_of_others(claim, corpus),
        "negation": _negations(claim.claim, claim.language),
    }
    made = []
    for kind, possible in edits.items():
        if possible:
            edit = random.Random(f"{seed} {claim.id} {kind}").choice(possible)
            false = claim.claim[: edit.start] + edit.text + claim.claim[edit.end :]
            made.append(Case(claim, kind, false, claim.article, cited))
    return made + list(_wrongly_cited(claim, corpus, cited))


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


def _matches(text: str, rules: Sequence[tuple[str, str]]) -> list[_Edit]:
    return [_Edit(m.start(), m.end(), m.expand(new)) for rule, new in rules for m in re.finditer(rule, text)]


# Numbers

_FIGURE = re.compile(
    r"(?<![A-Za-zÀ-ÿЀ-ӿ\d.,:/])(?<![A-Za-zÀ-ÿЀ-ӿ]-)"
    r"(?:\d{1,3}(?:[ \u00a0\u202f]\d{3})+|\d+(?:[.,]\d+)*)"
    r"(?![ \u00a0\u202f]?\d|[.,:/]\d|(?:st|nd|rd|th)\b)"
)
_WHOLE = re.compile(r"\d+")
_YEAR = re.compile(r"(?<![\d.,])(?:19|20)\d\d(?![\d.,]\d|\d)")
_PERCENT = re.compile(r"\s?(?:%|per ?cent|Prozent|por ciento|процент)")
# A figure with one of these before it, or in a sentence of what is enough, stays true when it changes one way.
_BOUND = re.compile(
    r"(?:\b(?:than|over|under|above|below|up to|at least|at most|within|minimum|maximum"
    r"|более|больше|менее|меньше|свыше|до|выше|ниже|не дальше|максимум|минимум"
    r"|als|über|unter|bis zu|bis|mindestens|höchstens|maximal|wenigstens|binnen"
    r"|más de|menos de|hasta|al menos|como mínimo|como máximo|plus de|moins de|jusqu'à|au moins|au plus)"
    r"|超过|超|不足|至少|至多|最多|最高|不到|低于|高于|多于|少于|达|近)\W{0,2}(?:минус |minus |menos )?$",
    re.IGNORECASE,
)
_ENOUGH = re.compile(r"\b(?:enough|хватит|хватает|reicht|reichen|basta|bastan|suffi)|足够", re.IGNORECASE)
_DECIMAL = re.compile(r"[.,]\d{1,2}$")
_BOUND_AFTER = re.compile(
    r"\W?(?:\w+ )?(?:or (?:more|less|fewer)|и (?:более|выше)|oder mehr|o más)|\w?(?:以上|以下|以内|多)"
)
_ABOUT = re.compile(
    r"(?:\b(?:about|around|roughly|some|nearly|almost|approximately|около|почти|примерно|порядка|etwa|rund|fast|knapp"
    r"|ungefähr|unos|unas|casi|cerca de|aproximadamente|environ|près de)|约|大约)\W{0,2}$",
    re.IGNORECASE,
)
_SCALES = {
    "en": (
        (r"(?<=\d)( ?)million\b", r"\1billion"),
        (r"(?<=\d)( ?)billion\b", r"\1million"),
        (r"(?<=\d)m\b(?! )", "bn"),
        (r"(?<=\d)bn\b", "m"),
    ),
    "de": (
        (r"(?<=\d )Million(en)?\b", "Milliarden"),
        (r"(?<=\d )Milliarden?\b", "Millionen"),
        (r"(?<=\d )Mio\b", "Mrd"),
        (r"(?<=\d )Mrd\b", "Mio"),
    ),
    "es": ((r"(?<=\d )mil millones\b", "millones"), (r"(?<=\d )mill[oó]n(?:es)?\b", "mil millones")),
    "fr": ((r"(?<=\d )million", "milliard"), (r"(?<=\d )milliard", "million")),
    "ru": (
        (r"(?<=\d )миллион(?=а|ов|\b)", "миллиард"),
        (r"(?<=\d )миллиард(?=а|ов|\b)", "миллион"),
        (r"(?<=\d )млн\b", "млрд"),
        (r"(?<=\d )млрд\b", "млн"),
        (r"(?<=\d )тысячи\b", "миллиона"),
        (r"(?<=\d )тысяч\b", "миллионов"),
        (r"(?<=\d )тыс\b\.?", "млн"),
    ),
    "zh": ((r"(?<=\d)万(?!亿)", "亿"), (r"(?<=\d)亿", "万")),
}


def _digits(figure: str) -> str:
    """Give what a figure has in common with all others that may mean the same, however written or scaled."""
    return re.sub(r"\D", "", figure).strip("0")


def _all_digits(*texts: str) -> set[str]:
    return {_digits(m.group()) for text in texts for each in (_FIGURE, _WHOLE) for m in each.finditer(text)}


def _figures(text: str, language: str) -> list[re.Match[str]]:
    """Find the figures that are neither part of a date nor bounds."""
    if _ENOUGH.search(text):
        return []
    dates = [part.span for part in _date_parts(text, language)]
    return [
        figure
        for figure in _FIGURE.finditer(text)
        if not any(start <= figure.start() < end for start, end in dates)
        and not _BOUND.search(text, 0, figure.start())
        and not _BOUND_AFTER.match(text, figure.end())
    ]


def _changed_numbers(claim: SourcedClaim, corpus: Corpus) -> list[_Edit]:
    taken = _all_digits(claim.claim, corpus.articles[claim.article].text)
    edits = []
    for figure in _figures(claim.claim, claim.language):
        is_rough = bool(_ABOUT.search(claim.claim, 0, figure.start()))
        for new in _near(figure.group(), is_rough):
            is_too_much = _PERCENT.match(claim.claim, figure.end()) and int(re.split(r"\D", new)[0]) > 100
            if _digits(new) not in taken and not is_too_much:
                edits.append(_Edit(figure.start(), figure.end(), new))
    return edits


def _near(figure: str, is_rough: bool) -> Iterator[str]:
    """Give the figures that differ in the first digit, or unless the figure is rough the second, by one or two."""
    places = [n for n, c in enumerate(figure) if c.isdigit()][: 1 if is_rough else 2]
    for place in places:
        old = int(figure[place])
        for digit in range(max(old - 2, place == 0), min(old + 2, 9) + 1):
            if digit != old:
                yield f"{figure[:place]}{digit}{figure[place + 1 :]}"


def _numbers_of_the_article(claim: SourcedClaim, corpus: Corpus) -> list[_Edit]:
    """Put another figure of the article in place of one, of its sort and of as many digits as can be."""
    article = corpus.articles[claim.article]
    taken = _all_digits(claim.claim, claim.quote)
    others = [
        (other.group(), _sort_of(other))
        for other in _figures(article.text, article.language)
        if _digits(other.group()) not in taken
        and (article.language == claim.language or other.group().isdigit())  # separators mean other things elsewhere
    ]
    edits = []
    for figure in _figures(claim.claim, claim.language):
        same = {other: abs(len(other) - len(figure.group())) for other, sort in others if sort == _sort_of(figure)}
        nearest = min(same.values(), default=0)
        edits += [_Edit(figure.start(), figure.end(), other) for other, gap in same.items() if gap == nearest]
    return edits


def _sort_of(figure: re.Match[str]) -> tuple[bool, bool]:
    is_percent = bool(_PERCENT.match(figure.string, figure.end()))
    return is_percent, bool(_DECIMAL.search(figure.group()))


# Dates

_RUSSIAN_MONTHS = (
    "январ",
    "феврал",
    "март",
    "апрел",
    "ма",
    "июн",
    "июл",
    "август",
    "сентябр",
    "октябр",
    "ноябр",
    "декабр",
)
_RUSSIAN_CASES = {
    "март": ("", "а", "у", "ом", "е"),
    "август": ("", "а", "у", "ом", "е"),
    "ма": ("й", "я", "ю", "ем", "е"),
}
_SOFT_CASES = ("ь", "я", "ю", "ем", "е")
_VOWELS = "aeiouAEIOU"  # French elides before them: d'avril, de mars
# A date with one of these before it is made an earlier one: a later one could be true as well.
_SINCE_OR_BY = re.compile(
    r"(?:\b(?:by|before|until|till|since|from|до|с|со|к|vor|bis|seit|ab"
    r"|antes de|hasta|desde|avant|depuis|jusqu'en)\s(?:\w+\.?\s){0,3}|[自从至到])$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _DatePart:
    span: tuple[int, int]
    others: tuple[str, ...]  # earlier ones first
    earlier: int  # how many of these are


@lru_cache
def _month_forms(language: str) -> tuple[tuple[str, ...], ...]:
    """Give the names of the twelve months, in every form that the language has, the same forms for each."""
    if language == "ru":
        return tuple(
            tuple(stem + ending for ending in _RUSSIAN_CASES.get(stem, _SOFT_CASES)) for stem in _RUSSIAN_MONTHS
        )
    if language == "zh":
        return tuple((f"{month}月",) for month in range(1, 13))
    names = Locale(language).months["format"]["wide"]
    return tuple((names[month],) for month in range(1, 13))


def _date_parts(text: str, language: str) -> list[_DatePart]:
    months = _month_forms(language)
    names = "|".join(sorted((name for forms in months for name in forms), key=len, reverse=True))
    edge = (r"(?<!\d)", r"(?!球|亮)") if language == "zh" else (r"\b", r"\b")
    month = f"{edge[0]}(?:{names}){edge[1]}"
    parts = [_other_years(m) for m in _YEAR.finditer(text)]
    for match in re.finditer(month, text):
        if match.start() or language in ("ru", "zh"):  # May and March open sentences as other words
            parts.append(_other_months(match, months))
    number = r"(?<!\d)([12]?\d|3[01])(?!\d)"
    day = rf"{number}(?=(?:st|nd|rd|th)?\.?(?: de)? ?{month})|{month} {number}|{number}(?=日)"
    for match in re.finditer(day, text):
        if match.lastindex:
            parts.append(_other_days(match, match.lastindex))
    return parts


def _other_years(match: re.Match[str]) -> _DatePart:
    year = int(match.group())
    return _DatePart(match.span(), tuple(str(year + by) for by in (-3, -2, -1, 1, 2, 3)), 3)


def _other_months(match: re.Match[str], months: Sequence[Sequence[str]]) -> _DatePart:
    month, form = next((n, forms.index(match.group())) for n, forms in enumerate(months) if match.group() in forms)
    has_vowel = match.group()[0] in _VOWELS
    near = [n for n in range(max(0, month - 5), min(12, month + 6)) if n != month]
    fitting = [n for n in near if (months[n][form][0] in _VOWELS) == has_vowel]
    return _DatePart(match.span(), tuple(months[n][form] for n in fitting), sum(n < month for n in fitting))


def _other_days(match: re.Match[str], group: int) -> _DatePart:
    day = int(match.group(group))
    earlier = [str(n) for n in range(max(2, day - 9), day)]
    return _DatePart(
        match.span(group), (*earlier, *(str(n) for n in range(day + 1, min(28, day + 9) + 1))), len(earlier)
    )


def _changed_dates(claim: SourcedClaim, corpus: Corpus) -> list[_Edit]:
    article = corpus.articles[claim.article]
    parts = _date_parts(claim.claim, claim.language)
    taken = {claim.claim[slice(*part.span)] for part in parts} | _all_digits(article.text)
    for told, own in zip(_month_forms(article.language), _month_forms(claim.language), strict=True):
        taken |= set(own) if any(name in article.text for name in told) else set()
    edits = []
    for part in parts:
        is_bound = _SINCE_OR_BY.search(claim.claim, 0, part.span[0])
        others = part.others[: part.earlier] if is_bound else part.others
        edits += [_Edit(*part.span, other) for other in others if other not in taken and _digits(other) not in taken]
    return edits


# Names

_UPPER, _LOWER = "A-ZÀ-ÖØ-ÞА-ЯЁ", "a-zß-öø-ÿа-яё"
_WORD = rf"[{_UPPER}][{_LOWER}]+(?:[-'’]?[{_UPPER}{_LOWER}]+)*"
_PLAIN = re.compile(rf"(?<![\w«„“”\"'’-]){_WORD}(?: {_WORD})*(?![\w-])")
_QUOTED = re.compile(rf"(?<=[«„“])[{_UPPER}\u4e00-\u9fff][^«»„“”.,;:!?，。；！？]{{1,30}}(?=[»“”])")
_BEFORE_A_PLACE = re.compile(
    r"(?<!\w)(?:in|at|near|around|off|from|to|en|desde|a|aus|nach|bei|à|de|в|во|из|под|на)\s$", re.IGNORECASE
)
_NO_NAME = re.compile(
    r"(?:Dr|Mr|Mrs|Ms|Professor|Mayor|French|German|Dutch|Welsh|Swiss|Greek|Internet|Prof|Frau|Herr|\w+(?:ian|ese|ish))$"
)
_PERSON = (
    r"(?:(?:said|says|told|explained|sagte?|erklärt|сказал|рассказал|объяснил|отметил|пояснил|dijo|afirmó|resumió)\w*)"
)
_POST = (
    r"(?:(?:engineer|director|lead|leader|head|chair|coordinator|president|rector|Projektleiter|Leiter|Direktor|Sprecher"
    r"|директор|инженер|руковод|председател|начальник|ректор|глав|энергетик|координатор|directora?|ingenier|jef)\w*)"
)
_BEFORE_A_PERSON = re.compile(rf"\b(?:{_PERSON}|{_POST}|Dr|Professor)\s$", re.IGNORECASE)
_AFTER_A_PERSON = re.compile(rf",? (?:who|кто|который|которая|{_PERSON}|(?:\w+ ){{0,2}}{_POST})\b", re.IGNORECASE)
# Nouns are capital in German: there a name is what another noun introduces, "Projektleiter Henning Schwabhäuser".
_MEASURES = re.compile(r"(?:Million|Milliarde|Prozent|Tonne|Liter|Kilo|Meter|Hektar|Ende|Anfang|Mitte|Euro|Cent)")
_CHINESE_NAMES = {
    "place": "北京|上海|天津|重庆|广州|深圳|杭州|南京|苏州|无锡|青岛|济南|潍坊|寿光|山东|江苏|浙江|广东"
    "|韩国|日本|美国|俄罗斯|德国|英国",
    "person": r"(?<=[经书理长师任家])[\u4e00-\u9fff]{2,3}(?=说|表示|介绍|指出|称)",
    "organisation": r"(?<=[由为与和是给])[^\W\d由为与和是给的在，。、]{2,10}(?:公司|学院|大学|集团|银行)",
    "foreign": r"[^\W\d_说是的在由和与]{1,5}·[^\W\d_说是的在由和与表]{1,5}",
}
_CHINESE_NAME = re.compile("|".join(f"(?P<{look}>{pattern})" for look, pattern in _CHINESE_NAMES.items()))


@dataclass(frozen=True, slots=True)
class _Name:
    start: int
    text: str
    look: tuple[str, int]  # what it may be exchanged for: the sort, and how many words

    @property
    def stems(self) -> set[str]:
        """Give what a name keeps in all of its forms."""
        return {word[:4] for word in re.findall(r"\w+", self.text.casefold())}


@lru_cache(maxsize=1024)
def _names(text: str, language: str) -> tuple[_Name, ...]:
    """Find names; a word that opens a sentence only if it is a name elsewhere in the text."""
    found = [_Name(m.start(), m.group(), ("quoted", m.group().count(" "))) for m in _QUOTED.finditer(text)]
    if language == "zh":
        found += [_Name(m.start(), m.group(), (m.lastgroup or "", 0)) for m in _CHINESE_NAME.finditer(text)]
    quoted = {at for name in found for at in range(name.start, name.start + len(name.text))}
    plain = [n for n in _plain_names(text, language) if n.start not in quoted]
    openings = {start for start, _ in sentence_spans(text, language)}
    inside = {name.text for name in plain if name.start not in openings}
    return tuple(found + [n for n in plain if n.start not in openings or n.text in inside])


def _plain_names(text: str, language: str) -> Iterator[_Name]:
    locale = Locale(language)
    openings = {start for start, _ in sentence_spans(text, language)} if language == "de" else set()
    calendar = {*locale.months["format"]["wide"].values(), *locale.days["format"]["wide"].values()}
    for match in _PLAIN.finditer(text):
        name, start = match.group(), match.start()
        if language == "de":
            noun, _, name = name.partition(" ")
            start += len(noun) + 1
            if (
                not name
                or match.start() in openings
                or _MEASURES.match(noun)
                or text[: match.start()].rstrip()[-1:].isdigit()
            ):
                continue
        if not calendar & set(name.split()) and not any(map(_NO_NAME.match, name.split())):
            yield _Name(start, name, (_sort_of_name(text, start, start + len(name)), name.count(" ")))


def _sort_of_name(text: str, start: int, end: int) -> str:
    if _BEFORE_A_PLACE.search(text, 0, start):
        return "place"
    is_person = _BEFORE_A_PERSON.search(text, 0, start) or _AFTER_A_PERSON.match(text, end)
    return "person" if is_person else "name"


def _stems(text: str) -> set[str]:
    return _Name(0, text, ("", 0)).stems


def _names_of_the_article(claim: SourcedClaim, corpus: Corpus) -> list[_Edit]:
    """Put another name of the article in place of one, neither of its topic: a town may stand for its quarter."""
    article = corpus.articles[claim.article]
    topic = f"{article.title}\n{article.text.partition(chr(10))[0]}"
    names = _names(claim.claim, claim.language)
    others = _names(corpus.told_elsewhere(claim), claim.language)
    if article.language == claim.language:
        names = tuple(n for n in names if not n.stems <= _stems(topic))
    else:  # what the article's topic is cannot be told in another language: towns and lone words are left alone
        names = tuple(n for n in names if n.look[0] == "quoted" or (n.look[0] != "place" and n.look[1]))
    return _renamed(claim, names, others, topic + claim.quote)


def _names_of_others(claim: SourcedClaim, corpus: Corpus) -> list[_Edit]:
    others = [
        other
        for name, article in corpus.articles.items()
        if name != claim.article and article.language == claim.language
        for other in _names(article.text, article.language)
    ]
    told = corpus.articles[claim.article]
    return _renamed(claim, _names(claim.claim, claim.language), others, told.title + told.text)


def _renamed(claim: SourcedClaim, names: Sequence[_Name], others: Sequence[_Name], told: str) -> list[_Edit]:
    """Exchange names for such as share the look but nothing else with them, and are not told of."""
    taken = _stems(claim.claim) | _stems(told)
    edits = []
    for name in names:
        fitting = sorted(
            {
                other.text
                for other in others
                if other.look == name.look and not other.stems & taken and other.text not in told + claim.claim
            }
        )
        alike = [_common_ending(name.text, other) for other in fitting]
        least = 1 if claim.language == "ru" and name.look[0] != "quoted" else 0  # as likely to be of the same case
        best = max(alike, default=0)
        edits += [
            _Edit(name.start, name.start + len(name.text), other)
            for other, ending in zip(fitting, alike, strict=True)
            if ending == best >= least
        ]
    return edits


def _common_ending(name: str, other: str) -> int:
    """Count the letters, two at most, that both end in."""
    return next((n for n in (2, 1) if name[-n:] == other[-n:]), 0)


# Negation

_IDIOMS_EN = "only|just|until|yet|later|earlier|sooner|less|more|fewer|longer|merely|even|necessarily|one|doubt"
_RUSSIAN_IDIOMS = "только|менее|более|меньше|больше|раньше|ранее|позже|позднее|лишь|просто|совсем|так|столько"
_PAST = {
    "opened": "open", "signed": "sign", "bought": "buy", "built": "build", "began": "begin", "fell": "fall",
    "rose": "rise", "grew": "grow", "won": "win", "gave": "give", "took": "take", "lost": "lose", "found": "find",
    "agreed": "agree", "lasted": "last", "replaced": "replace", "received": "receive", "approved": "approve",
    "preferred": "prefer", "lowered": "lower", "closed": "close", "moved": "move", "awarded": "award", "led": "lead",
}  # fmt: skip
_NOT_A_VERB_BEFORE = (
    r"(?<!\bthe )(?<!\ba )(?<!\bof )(?<!\bits )(?<!\bin )(?<!\bby )(?<!, )(?<!-)(?<!\band )"
    r"(?<!have )(?<!has )(?<!had )(?<!is )(?<!are )(?<!was )(?<!were )(?<!be )(?<!been )"
)
_GERMAN_VERB = (
    r"ist|sind|war|waren|wird|werden|wurde|wurden|hat|haben|hatte|kann|können|soll|sollen|muss|müssen|darf|dürfen"
    r"|kostet|kosten|erhält|bekommt|übernimmt|erlaubt|läuft|arbeiten|arbeitet|zahlt|trägt|sank|stieg|entsteht|umfasst"
)
_SPANISH_VERB = (
    r"es(?! decir)|son|está|están|fue|fueron|era|eran|ha|han|había|puede|pueden|debe|deben|tiene|tienen|costó|incluye"
    r"|cuesta|cuestan|cuenta(?= con)|cuentan(?= con)|dispone|recibe|permite|lleva|recorre|trabajan|funciona"
    r"|\w+[aei]r(?:á|án)|\w{2,}(?:aron|ieron)|\w{3,}ó"
)
_RUSSIAN_NOUN = (
    r"(?:канал|материал|персонал|капитал|квартал|отдел|вокзал|сигнал|журнал|метал|скал|предел|раздел|модел|кабел|недел"
    r"|мебел|бюджет|кабинет|комитет|интернет|приоритет|паритет|планет|кредит|дефицит|институт|минут|предмет|монет"
    r"|результат|площад|замен|подмен|обмен|экран|стран|орган|океан|времен|племен|перемен|фонтан|ресторан|ветеран|охран"
    r"|совет|билет|пакет|университет|авторитет|\w+тел[ией]|автомобил|начал[аоу]\b|стал[иь]\b|дел[ао]\b)"
)
_RUSSIAN_VERB = (
    r"(?:был[аои]?|может|могут|будет|будут|долж(?:ен|на|но|ны)"
    r"|\w{2,}[аяеиуы]л(?:[аои]|ась|ось|ись|ся)?"
    r"|\w{2,}(?:[аяеу]ет|[аяу]ют|[дтнжчшщклмв]ит|[дсвржчлн]ят|[жчшщ]ат|[дцшнмст]ут|[джнмт]ет)(?:ся)?"
    r"|\w{4,}(?:ен|ан)[аоы]?)"
)
_CHINESE_IDIOMS = "过仅超足少同断但到低多得久如止只论管锈等良高小大易必"
# First what takes a negation away, then what puts one in where there is none.
_REMOVALS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        (
            r"\b(is|are|was|were|has|have|had|will|must|could|should|would|does|do|did)(?: not|n[’']t)\b"
            rf"(?! (?:{_IDIOMS_EN})\b)",
            r"\1",
        ),
        (rf"\bcan(?:not| not|[’']t)\b(?! (?:{_IDIOMS_EN})\b)", "can"),
        (r"\bwon[’']t\b", "will"),
        (rf"\bno (?!(?:{_IDIOMS_EN})\b)(?=[a-z])", ""),
        (r"\bNobody\b", "Everybody"),
        (r"\bnobody\b", "everybody"),
        (r"\bwithout\b", "with"),
    ),
    "ru": ((rf"\bне (?!(?:{_RUSSIAN_IDIOMS})\b)(?=[а-яё])", ""),),
    "de": (
        (r" nicht\b(?! (?:nur|allein|mehr|weniger|vor|später|früher|zuletzt|einmal)\b)", ""),
        (r"\bkein(en|em|er|es)?\b(?! einzig)", r"ein\1"),
        (r"\bkeine (?!einzig|Rolle)", ""),
    ),
    "es": ((r"\bno (?!(?:sol[oa]|sólo|obstante|menos|más|antes|después|solamente|únicamente)\b)(?=[a-záéíóú])", ""),),
    "zh": (
        (r"没有", "有"),
        (r"(?<![而])不是", "是"),
        (rf"(?<!而)不(?![是{_CHINESE_IDIOMS}])", ""),
        (r"未(?![来必])", "已"),
        (r"无[需须](?=[\u4e00-\u9fff])", "需"),
    ),
}
_INSERTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        (
            r"(?<!ould )(?<!must )(?<!may )\b(is|are|was|were|has|have|will|can|must)\b"
            rf"(?! (?:{_IDIOMS_EN}|to)\b)(?= )",
            r"\1 not",
        ),
        *(
            (
                rf"(?<=[a-z]) {_NOT_A_VERB_BEFORE}{past}\b(?! (?:by|in|between|at)\b)(?= )",
                f" did not {base}",
            )
            for past, base in _PAST.items()
        ),
    ),
    "ru": (
        (
            rf"(?<![\w-])(?<!не )(?<!ни )(?!{_RUSSIAN_NOUN})(?=[а-яё])({_RUSSIAN_VERB})(?![\w-])"
            rf"(?! (?:{_RUSSIAN_IDIOMS}|ли|бы)\b)",
            r"не \1",
        ),
    ),
    "de": (
        (rf"\b({_GERMAN_VERB}) ein(e|en|em|er|es)?\b", r"\1 kein\2"),
        (rf"\b({_GERMAN_VERB})(?= \w)(?! (?:ein|nur|auch|zu|sich)\w*\b)(?! (?:und|oder|als)\b)", r"\1 nicht"),
    ),
    "es": ((rf"(?<!\bla )(?<!\buna )(?<![\w])((?:se |le |les |lo )?)(?<!\bse )({_SPANISH_VERB})(?!\w)", r"no \1\2"),),
    "zh": (
        (r"(?<![不但还于只总就正即可都便])是(?!否)", "不是"),
        (r"将(?=[\u4e00-\u9fff])(?![士军])", "将不"),
        (r"已经|(?<!而)已(?=[\u4e00-\u9fff])", "尚未"),
        (r"(?<!不)可以", "不可以"),
        (r"能够", "不能"),
        (r"(?<![智功性节可太阳产热电动只才])能(?![源力量耗效够])", "不能"),
        (r"可(?=[载行摘容供达乘])", "不可"),
        (r"(?<!不)(位于|使用|包括|提供|负责|需要|用于|来自|采用|设有|占地)", r"不\1"),
        (r"计划(?=于|在|建|新|将)", "不计划"),
        (r"(?<![未已])(建成|开工|投产|达到|完成|引进|投入)", r"未\1"),
        (r"(?<=[，。])由(?![于])", "不由"),
    ),
}
# A sentence with one of these has a negation, or only supposes something: nothing is put in.
_NEGATED_OR_SUPPOSED = {
    "en": r"\b(?:not|no|never|nobody|none|nothing|neither|nor|without|cannot|if|whether|unless)\b|n[’']t\b",
    "ru": r"\b(?:не|ни|нет|без|никто|ничто|никогда|если|ли|бы|чтобы)\b",
    "de": r"\b(?:nicht|kein\w*|nie|niemand|nichts|ohne|weder|wenn|ob|falls)\b",
    "es": r"\b(?:no|ni|nunca|nadie|nada|sin|ningún|ninguna|tampoco|si)\b",
    "zh": r"[不没未无非]|如果|若|是否",
}
# One negation of several that agree cannot be taken away alone.
_TWICE_NEGATED = {
    "ru": r"\b(?:ни|никто|ничего|никогда|никак\w*|если|чтобы|пока)\b",
    "es": r"\b(?:nadie|nada|nunca|ningun\w*|ningún|ni|si)\b",
}
_NEVER = r"(?!)"


def _negations(text: str, language: str) -> list[_Edit]:
    """Take a negation away; where there is none, put one in."""
    if language not in _REMOVALS or re.search(_TWICE_NEGATED.get(language, _NEVER), text, re.IGNORECASE):
        return []
    if re.search(_NEGATED_OR_SUPPOSED[language], text, re.IGNORECASE):
        return _matches(text, _REMOVALS[language])
    return _matches(text, _INSERTIONS[language])


# Other passages


def _wrongly_cited(claim: SourcedClaim, corpus: Corpus, cited: tuple[int, ...]) -> Iterator[Case]:
    """Leave the claim and cite, for it, the most similar passages of the same article and of others."""
    places = [(name, n) for name, spans in corpus.passages.items() for n in range(len(spans))]
    language = corpus.articles[claim.article].language
    own_words = _words(claim.quote)

    def similarity(place: tuple[str, int]) -> tuple[bool, int]:
        return corpus.articles[place[0]].language == language, len(own_words & _words(corpus.text(*place)))

    other_kinds: dict[Kind, list[tuple[str, int]]] = {
        "other passage": [(name, n) for name, n in places if name == claim.article and n not in cited],
        "other article": [(name, n) for name, n in places if name != claim.article],
    }
    for kind, possible in other_kinds.items():
        false = [place for place in possible if not _may_state(corpus.text(*place), claim)]
        if false:
            name, n = max(false, key=similarity)
            yield Case(claim, kind, claim.claim, name, (n,))


def _may_state(passage: str, claim: SourcedClaim) -> bool:
    """Tell whether a passage has all figures and names of a claim, or across languages any of its quote."""
    figures = {_digits(m.group()) for m in _WHOLE.finditer(claim.claim)}
    if figures - {_digits(m.group()) for m in _WHOLE.finditer(passage)}:
        return False
    if claim.language == claim.quote_language:
        names = _names(claim.claim, claim.language)
        return all(name.stems <= _stems(passage) or name.text in passage for name in names)
    names = _names(claim.quote, claim.quote_language)
    return not names or any(name.stems & _stems(passage) or name.text in passage for name in names)


def _words(text: str) -> set[str]:
    if is_unspaced(text):
        return {text[n : n + 2] for n in range(len(text) - 1)}
    return {word[:5] for word in re.findall(r"\w{4,}", text.casefold())}
