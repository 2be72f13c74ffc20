"""The numbers and dates that a text states, in any language: what each is worth, and whether two can be the same.

Units and months go by CLDR's names, which Babel carries; scales and money, of which it lacks forms, by tables here.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import cache, lru_cache
from typing import NamedTuple, TypeAlias

from rag.number_words import counted

Day: TypeAlias = tuple[int | None, int | None, int | None]  # year, month, day; None for what is not said


@dataclass(frozen=True, slots=True)
class Number:
    """A number: the values it may have ("1.234" has two) and the units it may be in, none if none is recognised.

    Units have CLDR's names (percent, kilometer), money its ISO 4217 code. The span is in characters, unit included.
    """

    values: frozenset[Decimal]
    units: frozenset[str]
    start: int
    end: int

    @property
    def days(self) -> frozenset[Day]:
        """The years that this may be, as in "Erfurt, 2025"; empty if it is none."""
        if self.units and "year" not in self.units:
            return frozenset()
        return frozenset((int(n), None, None) for n in self.values if 1000 <= n < 2200 and n == int(n))


@dataclass(frozen=True, slots=True)
class Date:
    """A date: the days that it may be, as "05/06/2024" may be two. The span is in characters."""

    days: frozenset[Day]
    start: int
    end: int


Quantity: TypeAlias = Number | Date


@lru_cache(maxsize=256)
def quantities(text: str) -> tuple[Quantity, ...]:
    """Give the numbers and dates of ``text`` in order and without overlaps. No text makes it fail.

    A year that stands alone is a `Number`, see `Number.days`. Numbers in words ("five") are not found.
    """
    found: list[Quantity] = []

    def take(match: re.Match[str]) -> str:
        found.extend(read := _read_date(match))
        return "\0" * len(match.group()) if read else match.group()

    plain = text.translate(_PLAIN)
    for pattern in _DATES:
        plain = _compiled(pattern).sub(take, plain)
    return tuple(sorted([*found, *_numbers(plain)], key=lambda quantity: quantity.start))


def compatible(a: Quantity, b: Quantity) -> bool:
    """Tell whether two quantities can be the same: they share something said, and nothing said contradicts.

    A unit or a part of a date that only one of them says does not matter. Units are not converted: 5 km is not 5000 m.
    """
    if isinstance(a, Number) and isinstance(b, Number):
        return not a.values.isdisjoint(b.values) and not (a.units and b.units and a.units.isdisjoint(b.units))
    said = ([pair for pair in zip(x, y, strict=True) if None not in pair] for x in a.days for y in b.days)
    return any(pairs and all(x == y for x, y in pairs) for pairs in said)


def states(quantity: Quantity, source: str, published: str | None) -> bool:
    """Tell whether a text published at a date (ISO 8601) states a quantity.

    A small number may be in words there. A year that the text leaves out has to be that of its publication, which may
    also stand for a whole date ("yesterday").
    """
    said = [other for other in quantities(source) if compatible(quantity, other)]
    issued = _published_day(published)
    years: set[int | None] = {year for year, _, _ in quantity.days if year}
    if isinstance(quantity, Number):
        stated: set[int | None] = {year for other in quantities(source) for year, _, _ in other.days if year}
        is_year_of_issue = issued is not None and issued[0] in years and not stated
        return bool(said) or is_year_of_issue or any(value in counted(source) for value in quantity.values)
    is_dated = any(None not in day for other in quantities(source) for day in other.days)
    if issued is not None and issued in quantity.days and not is_dated:
        return True
    stated = {year for other in said for year, _, _ in other.days if year}
    if not stated:
        stated = years if issued is None else {issued[0]}
    return bool(said) and (not years or bool(years & stated))


def _published_day(published: str | None) -> Day | None:
    """Read an ISO 8601 date of any precision."""
    if not published:
        return None
    parts = [int(part) for part in published[:10].split("-")]
    return (parts[0], parts[1] if len(parts) > 1 else None, parts[2] if len(parts) > 2 else None)


def month(word: str) -> int | None:
    """Give the month (1..12) that ``word`` names in a known language; ``None`` if none."""
    plain = word.translate(_PLAIN)
    return _names(_script(plain)).months.get(plain.lower())


class _Plain(dict[int, str]):
    """Maps each character to one, so that spans stay true: digits of all scripts to ASCII, wide forms to plain ones."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = str(unicodedata.decimal(char)) if char.isdecimal() else unicodedata.normalize("NFKC", char)
        self[code] = char if len(folded) != 1 or char.isdigit() > char.isdecimal() else folded  # ² is no 2
        return self[code]


_PLAIN = _Plain({ord(a): b for a, b in zip("−–‐‑٫٬٪’º，", "----.,%'°，", strict=True)})
_LANGUAGES = {  # that write a script, which goes by the first word of its letters' names in Unicode
    "LATIN": "en de es fr it pt pl nl sv tr id", "CYRILLIC": "ru uk", "ARABIC": "ar", "CJK": "zh ja", "KATAKANA": "ja",
    "HANGUL": "ko", "THAI": "th", "DEVANAGARI": "hi", "GREEK": "el", "HEBREW": "he",
}  # fmt: skip
_UNSPACED = {"CJK", "KATAKANA", "HANGUL", "THAI"}  # letters may follow a name
_LOCATIVE = {"ru": "е", "uk": "і", "pl": "u"}  # «в мае 2024»: CLDR has the nominative and the genitive
_UNITS = """angle-degree area-acre area-hectare area-square-kilometer area-square-meter concentr-percent duration-day
duration-hour duration-minute duration-month duration-second duration-week duration-year energy-kilowatt-hour
length-centimeter length-kilometer length-meter length-mile mass-gram mass-kilogram mass-pound mass-tonne
power-gigawatt power-kilowatt power-megawatt speed-kilometer-per-hour temperature-celsius temperature-fahrenheit
volume-cubic-meter volume-liter"""
_ALIASES = {  # common, yet not in CLDR
    "%": "percent", "per cent": "percent", "году": "year", "°": "degree", "도": "degree", "°c": "celsius",
    "° c": "celsius", "℃": "celsius", "°f": "fahrenheit", "кв. м": "square-meter", "кв.м": "square-meter",
    "sq m": "square-meter", "кв. км": "square-kilometer", "sq km": "square-kilometer", "куб. м": "cubic-meter",
    "公斤": "kilogram", "tonne": "tonne", "tonnes": "tonne", "吨": "tonne", "톤": "tonne", "квт·ч": "kilowatt-hour",
    "周年": "year", "週年": "year", "주년": "year", "mwh": "megawatt-hour", "мвт·ч": "megawatt-hour",
    "мегаватт-час": "megawatt-hour", "мегаватт-часа": "megawatt-hour", "мегаватт-часов": "megawatt-hour",
    "megawatt-hours": "megawatt-hour", "megawatt-hour": "megawatt-hour",
}  # fmt: skip
_OPEN = {"degree": {"celsius", "fahrenheit"}}  # a unit that leaves open which one
# But of a year: "nel 2024 ha vinto" has no hectares, "2024日本" no days
_WORD_LIKE = r"(?!km|kg|cm|[kmg]w|км|кг|см|мвт|квт|руб|(?-i:[A-Z]{3}))[^\W\d_]{2,3}|[ก-๛ぁ-힣]"
_ONE_LETTER = set("mgtlhмгтлч")  # as units; other single letters are words


class _Names(NamedTuple):
    units: dict[str, set[str]]
    months: dict[str, int]
    short: dict[str, int]  # months whose names are words as well ("set", "out"): they count only beside a year


@cache
def _names(script: str) -> _Names:
    """Gather what units and months are called in the languages of a script; the first call takes up to 0.1 s."""
    names, named = _Names({}, {}, {}), list(_ALIASES.items())
    for language in _LANGUAGES.get(script, "").split():
        from babel import Locale

        data = Locale.parse(language)._data
        for key in _UNITS.split():
            patterns = data["unit_patterns"].get(key, {})
            forms = {form for width in ("long", "short") for form in patterns.get(width, {}).values()}
            for name in (form[3:] for form in forms if form.startswith("{0}")):
                british, typed = re.sub("(met|lit)er", r"\1re", name), name.replace("²", "2").replace("³", "3")
                named += [(spelling, key.partition("-")[2]) for spelling in {name, british, typed}]
        for width, use in ((w, u) for w in ("wide", "abbreviated") for u in ("format", "stand-alone")):
            known = names.months if width == "wide" or language == "en" else names.short
            for number, name in data["months"][use][width].items():
                name = name.translate(_PLAIN).lower().strip(".")
                known.setdefault(name, number)
                if (width, use) == ("wide", "format"):
                    known.setdefault(name[:-1] + _LOCATIVE.get(language, name[-1]), number)
    for name, unit in named:
        name = name.translate(_PLAIN).lower().strip(" .")
        if (len(name) > 1 and name != "an") or name in _ONE_LETTER or script in _UNSPACED or not name.isalpha():
            names.units.setdefault(name, set()).update({unit}, _OPEN.get(unit, ()))
    return names


def _script(text: str) -> str:
    return unicodedata.name(text[0], "").partition(" ")[0] if text else ""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | (re.VERBOSE if "\n" in pattern else 0))


# Dates

_YEAR = r"(?:1\d|2[05])\d\d"  # 2567 is the Thai 2024
_WORD = r"(?<![^\W\d_])(?P<name>[^\0\s\d.,;:!?()«»\"'/+-]{2,20})"
_OF = r"(?:(?:de|del|of|من)\s|พ\.ศ\.\s?)?"
# English alone has the day behind: «в мае 12 компаний», "in May 12 firms"
_ENGLISH = r"(?<!\bi[nm]\s)(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:r?uary|ch|il|ust|ember|ober)?\Z"
_AND = r"(?:\s?-\s?|\s(?:и|по|до|та|and|to|bis|und|y|al|et|au)\s)"
_DATES = (  # the surer first
    rf"(?<!\d)(?P<y>{_YEAR})(?P<s>[-./])\s?(?P<m>\d\d?)(?P=s)\s?(?P<d>\d\d?)(?!\d)",
    rf"(?<![\d.,])(?P<d>\d\d?)(?P<mark>[-./])(?P<m>\d\d?)(?P=mark)(?P<y>{_YEAR}|(?<!-)\d\d)(?!\.?\d)",
    rf"(?<!\d)(?:(?P<y>{_YEAR})\s?[年년]\s?)?(?P<m>\d\d?)\s?[月월](?:\s?(?P<d>\d\d?)\s?[日號号일])?",
    rf"(?:(?<!\d)(?P<d>\d\d?)\s)?tháng\s(?P<m>\d\d?)(?!\d)(?:(?:\snăm|,)?\s(?P<y>{_YEAR})(?!\d))?",
    rf"(?<!\d)(?P<y>{_YEAR})[.,]?\s{_WORD}\s(?P<d>\d\d?)(?![\d:])",
    rf"(?<![\d.,])(?:(?P<other>\d\d?){_AND})?(?P<d>\d\d?)(?:st|nd|rd|th|er|°|-?го|-?е)?\.?\s?{_OF}{_WORD}"
    rf"(?:[.,]{{0,2}}\s?{_OF}(?P<y>{_YEAR})(?!\d))?",
    rf"{_WORD}\.?\s(?P<d>\d\d?)(?:st|nd|rd|th)?(?:{_AND}(?P<other>\d\d?))?(?!\d|[.,:]\d|\s?%)"
    rf"(?:,?\s(?P<y>{_YEAR})(?!\d))?",
    rf"{_WORD}[.,]?\s?{_OF}(?P<y>{_YEAR})(?!\d|[.,]\d)",
    r"(?<![\d.,/])(?P<m>0[1-9]|1[0-2](?=/))[./](?P<y>(?:19|20)\d\d)(?![\d.,/]*\d)",
    r"(?<![\d.,])(?P<d>0?[1-9]|[12]\d|3[01])\s?[日일](?!\s?(?:[间間간本内後后之以]|동안|연속))",  # no month
)


def _read_date(match: re.Match[str]) -> list[Date]:
    """Read what one of `_DATES` found, both days of "5-7 May"; empty if it is no date."""
    said = match.groupdict("")
    name, year, mark = (said.get(key, "") for key in ("name", "y", "mark"))
    names = _names(_script(name))
    in_words = names.months.get(name.lower(), 0) or (names.short.get(name.lower(), 0) if year else 0)
    number = in_words if name else int(said.get("m", 0))
    spans = sorted(match.span(key) for key in ("d", "other") if said.get(key))
    if name and spans and spans[0] > match.span("name"):  # but "they march 12 km", "in May 5 million came"
        is_english = _compiled(_ENGLISH).match(match.string, match.start("name"), match.end("name"))
        is_counted = not is_english or _compiled(_SCALES).match(match.string, match.end())
        number = 0 if (is_counted and not year) or "a" <= name[0] <= "z" else number
    number = 0 if name in ("may", "march") and not year else number  # 12 may have died
    y = int(year or 0)
    years = [y - 543 * (y > 2400)] if y > 99 else [1900 + y, 2000 + y] if year else [None]
    starts, ends = [match.start(), *(a for a, _ in spans[1:])], [*(b for _, b in spans[:-1]), match.end()]
    found, lowest = [], 1 if "m" in said or "name" in said else 0
    for (a, b), start, end in zip(spans or [(0, 0)], starts, ends, strict=True):
        day = int(match.string[a:b] or 0)
        pairs = [(number, day), (day, number)] if mark and mark in "-/" else [(number, day)]  # nobody can tell which
        days = frozenset((y, m or None, d or None) for y in years for m, d in pairs if lowest <= m < 13 and d < 32)
        found += [Date(days, start, end)] if days else []
    return found


# Numbers

_END = r"[a-zß-ɏͰ-Ͽа-ӿ]*"
_SCALES = rf"""(?:(?<![\d.])\.)?\s?-?(?:  # powers of ten
  (?P<e3>(?:thousand|tausend|tisíc|tusen|tusind|тыс|хиляд|χιλι[άα]δ){_END}|(?:tys(?:i[ąę]c{_END})?|тис(?:яч{_END})?)\b
    |(?:tsd|mil|mila|mille|milliers?|duizend|ribu|nghìn|ngàn|mii|ezer)\b|ألف|آلاف|هزار|אלף|ह(?:ज़|ज़|ज)ार|พัน(?!ธ)|千(?![米克瓦伏卡赫帕焦])|천)
| (?P<e2>hundred\b|百|백) | (?P<e0_3>bin\b) | (?P<e12_18>trill(?:ion(?:en|er)|ón|ones)\b|trylion{_END})
| (?P<e4>万|萬|만|หมื่น) | (?P<e5>lakhs?\b|लाख|แสน) | (?P<e7>crores?\b|करोड़|करोड़) | (?P<e8>億|亿|억) | (?P<e11>खरब)
| (?P<e12>billions?(?=\s+d(?:e\s|'))  # this one is French; most languages of Europe use the long scale
    |(?:billione[nr]|bill[oó]n|bilion|bili(?:ão|ões)|biljo|trill?[iíy]?[oóuê]n|trilh[ãõ]|трил+[иь]|трлн|τρισεκατομμ){_END}
    |(?:trln|trn|tn)\b|تريليون|ترليون|تریلیون|טריליון|兆(?![瓦赫帕字比宽])|(?<!제\d)(?<!제\d\d)조(?![각건항]))
| (?P<e9_12>(?<=1\ )(?-i:Billion)\b|billions\b) | (?P<e0_9_12>bln\b) | (?P<e0_6>mn\b)  # German? months? minutes?
| (?P<e9>(?:mill?[ijy]?[aá]rd|milyar|miliar|billion|bilh[ãõ]|bilyon|млрд|милл?[иь]?[яй]?ард|мільярд|δισεκατομμ){_END}
    |(?:mlrd|mrd|mld|bn|tỷ|tỉ|δισ)\b|(?<!\d{{4}}\ )(?:(?-i:Mia\b)|mia(?=\.))  # not "nel 2024 mia madre"
    |mds?(?=\s?[€$]|\s[ed][e'])|مليار|میلیارد|מיליארד|अरब|बिलियन)
| (?P<e6>(?:mill?[ijy]?[oó]+e?[nó]|millió|milioan|milh[ãõ]|млн|миллион|милион|мільйон|εκατομμ){_END}
    |(?:mln|juta|jt|triệu|εκατ)\b|(?<!\d{{4}}\ )(?:(?-i:Mio\b)|mio(?=\.))|مليون|ملايين|میلیون|מיליון|मिलियन|ล้าน)
)"""
_LETTER = r"(\s?)(k|mi?|bi?|t|tri)\b(?=\s?([€$£]?))"
_LETTERS = {"k": 3, "m": 6, "mi": 6, "b": 9, "bi": 9, "t": 12, "tri": 12}  # beside a sign of money: $5m
_MONEY = rf"""(?:
  (?P<USD>US\ ?\$|(?:US|U\.S\.)\ dollar{_END}|дол+ар{_END}\ США|美元|米ドル|미국\ ?달러)
| (?P<BRL>R\$|reais\b) | (?P<CAD>CA?\$) | (?P<AUD>AU?\$) | (?P<NZD>NZ\$) | (?P<HKD>HK\$|港元)
| (?P<USD_CAD_AUD_NZD_HKD_SGD_TWD>\$|(?:dollar|d[oó]lar|дол+ар|δολάρι){_END}|ドル|달러|دولار|דולר|डॉलर|ดอลลาร์)
| (?P<EUR>€|(?:euro[san]?|eura|avro|евро|євро|ευρώ)\b|欧元|歐元|ユーロ|유로|يورو|אירו|यूरो|ยูโร)
| (?P<GBP_EGP_pound>£|(?:pound|pfund|фунт){_END}|英镑|英鎊|ポンド|파운드|جنيه)
| (?P<RUB_BYN>₽|(?:rubl|rubel|roubl|рубл|руб\b){_END}|卢布|盧布|ルーブル|루블|روبل|रूबल)
| (?P<JPY_CNY>¥) | (?P<JPY>円|日元|엔|(?:yens?|[ий]ен[аыу]?|єн[аиу]?)\b) | (?P<KRW>₩|韩元|원|ウォン|(?:(?-i:won)|вон)\b)
| (?P<CNY_TWD_HKD>元(?!旦)|(?:yuan|юан){_END}|人民币|人民幣|위안)
| (?P<NOK_SEK_DKK_ISK_CZK>(?:kron(?:[ae]n?|[eou]r)|крон(?:[аыу]|а[мх]и?)?|korun[ay]?|kr|kč)\b|克朗|クローネ|크로네)
| (?P<CHF_XAF_XOF>(?:francs?|franc[oh][si]|frank(?:en|i|ów)?|франк(?:а|ов|и)?)\b|法郎|フラン) | (?P<KZT>₸|тенге\b)
| (?P<PLN>(?:zł(?:ot{_END})?|злот{_END}|zloty)\b) | (?P<TRY>₺|(?:lira(?:s|sı)?|лир[аыу]?)\b)
| (?P<UAH>₴|(?:hryv|гривн|гривен|грн|hrywi){_END}) | (?P<IDR>rp\b|rupiah\b)
| (?P<INR_PKR_LKR_NPR>₹|rs\b|(?:rupee|rupie|рупи){_END}|卢比|ルピー|रुपये)
| (?P<code>(?-i:USD|EUR|GBP|CHF|RUB|JPY|CNY|KRW|INR|CAD|AUD|NZD|HKD|SGD|BRL|NOK|SEK|DKK|PLN|CZK|UAH|KZT|TRY)(?![a-z]))
)"""
_MINUS = r"(?<![\w)%°])-(?!\s)|\b(?:minus|минус|мінус|moins|menos|meno|eksi)\s|零下|マイナス|영하\s?"
_BEFORE = rf"""
  (?:{_MINUS})?
  (?:(?:(?=\W|\b(?:(?-i:(?:[A-Z]{{1,2}}|US\ )\$|[A-Z]{{3}}(?![a-z]))|(?:kr|rs|rp)\b)){_MONEY}\.?\s?
    |(?P<percent>%|\byüzde\s|百分之))(?:(?<![^\W\d_])-)?)?\Z
"""
_GOES_ON = r"[^\W\d_]|[²³/·⋅*]|(?<!\w\w)'"  # kg/m²; l'azienda
_GAP = r"(?:(?<![\d.])\.)?\s?-?(?:(?:of|de|di)\s|d')?"
_FIGURE = r"\d{1,3}(?:[ ']\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+){0,6}"
_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d\d)+,\d{3}"  # the latter is Indian
_TO = {"-", " - ", " to ", " of ", " до ", " из ", " von ", " de ", " bis ", " a ", " hasta ", " à ", "到", "至"}
_EXACT = Context(prec=100, traps=[])  # a number of a million digits becomes infinite, not an error


def _numbers(plain: str) -> list[Number]:
    found: list[Number] = []
    at = power = 0  # where the number before ends, and its scale
    while match := _compiled(_FIGURE).search(plain, at):
        before = _compiled(_BEFORE).search(plain, max(at, match.start() - 12), match.start())
        lead, given = (before.group(), _units_of(before)) if before else ("", frozenset[str]())
        figures, end = _figures(match)
        shifts, end = _scale(plain, end, bool(given))
        units, unit_end = _unit(plain, end)
        is_year = _compiled(r"(?:1\d|2[01])\d\d").fullmatch(plain, match.start(), end)
        if is_year and "year" not in units and _compiled(_WORD_LIKE).fullmatch(plain[end:unit_end].strip()):
            units, unit_end = frozenset(), end
        if given:  # before the figure; after it stands the same, or none
            units, unit_end = (units & given, unit_end) if units & given else (given, end)
        sign = -1 if lead.endswith("-") or _compiled(_MINUS).match(lead) else 1
        values = frozenset(_EXACT.multiply(sign, n.scaleb(shift, _EXACT)) for n in figures for shift in shifts)
        gap, start = plain[at : match.start()], match.start() - len(lead)
        is_joined = not gap or (gap == " " and (shifts != {0} or plain[at - 1] > "\u2e80"))
        if found and not power and gap in _TO and not (low := found[-1]).days:  # 5-7 млн, from $5 to $7 million
            scaled = frozenset(n.scaleb(shift, _EXACT) for n in low.values for shift in shifts)
            found[-1] = replace(low, values=low.values | scaled, units=low.units or units)
            units = units or low.units
        if power and is_joined and not found[-1].units and max(values) < 10**power:  # 2 млн 300 тыс., 3万5000
            start, more = found[-1].start, found.pop().values
            values = frozenset(_EXACT.add(a, b) for a in more for b in values)
        found.append(Number(values, units, start, unit_end))
        at, power = unit_end, min(shifts)
    return found


def _figures(match: re.Match[str]) -> tuple[set[Decimal], int]:
    """Read digits, as many as are one number: of "1.2.3" the first. Three after a mark may be decimals or not."""
    *whole, last = re.split("[.,]", re.sub("[ ']", "", match.group()))
    marks = re.findall("[.,]", match.group())
    decimal, grouped = Decimal(f"{''.join(whole)}.{last}" if whole else last), Decimal("".join([*whole, last]))
    if len(set(marks)) == 1 and re.fullmatch(_GROUPED, ",".join([*whole, last])):
        is_sure = len(marks) > 1 or last.endswith("00")  # hardly anyone writes 1.500 for one and a half
        return {grouped} if is_sure else {grouped, decimal}, match.end()
    if len(marks) < 2 or (marks.count(marks[-1]) == 1 and re.fullmatch(_GROUPED, ",".join(whole))):
        return {decimal}, match.end()
    return {Decimal(whole[0])}, match.start() + len(whole[0])


def _scale(plain: str, at: int, is_money: bool) -> tuple[set[int], int]:
    """Read the scale after a figure, such as "mil millones": the powers of ten it may be, and where it ends."""
    letter = _compiled(_LETTER).match(plain, at)
    if letter and (is_money or letter[3] or (not letter[1] and letter[2] in ("k", "K", "M", "B"))):
        return {_LETTERS[letter[2].lower()], *(() if is_money or letter[3] else (0,))}, letter.end()
    shifts = {0}
    for _ in range(3):
        if match := _compiled(_SCALES).match(plain, at):
            shifts = {a + int(b) for a in shifts for b in (match.lastgroup or "")[1:].split("_")}
            at = match.end()
    return shifts, at


def _unit(plain: str, at: int) -> tuple[frozenset[str], int]:
    """Read the unit after a figure and its scale: what it may be, and where it ends; nothing if it is not known."""
    gap = _compiled(_GAP).match(plain, at)
    start = gap.end() if gap else at
    if money := _compiled(_MONEY).match(plain, start):
        return _units_of(money), money.end()
    known = _names(script := _script(plain[start : start + 1])).units
    for end in range(min(start + 32, len(plain)), start, -1):
        name = plain[start:end]
        is_cut = script not in _UNSPACED and name[-1].isalpha() and _compiled(_GOES_ON).match(plain, end)
        if not is_cut and (units := known.get(name if name in ("G", "M", "T") else name.lower())):
            return frozenset(units), end
    return frozenset(), at


def _units_of(match: re.Match[str]) -> frozenset[str]:
    """Name the units of what `_MONEY` or `_BEFORE` found: its groups are called by them."""
    name = match.lastgroup or ""
    return frozenset({match.group(name)} if name == "code" else name.split("_")) - {""}
