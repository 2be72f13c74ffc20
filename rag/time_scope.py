"""What time a question is about, told from its words alone: «в первом полугодии 2023», "published last week", "去年".

Dates and month names are read by `rag.quantities`, in all its languages; prepositions and words such as "last week" go
by the tables here, in six. What may as well be no time is none: a wrong period costs more than one that is missed.
"""

import calendar
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import NamedTuple, TypeAlias

from rag.quantities import Date, month, quantities


@dataclass(frozen=True, slots=True)
class TimeScope:
    """The time that a question is about, for articles to be preferred or filtered by when they were published.

    ``since`` and ``until`` are inclusive ISO dates of the precision known (``2024``, ``2024-03``, ``2024-03-15``),
    ``None`` if open. ``is_recent`` says that the latest state is asked for; ``is_publication`` that the period, and
    there is one then, is that of the articles themselves, not of the events.
    """

    since: str | None = None
    until: str | None = None
    is_recent: bool = False
    is_publication: bool = False


def time_scope(question: str, language: str, today: date) -> TimeScope:
    """Tell what time ``question`` is about; no text makes it fail.

    What is compared with, deadlines ("by 2024"), the future, years before 1900 and what stands in quotation marks do
    not count. Several periods give the one from the first to the last.

    Args:
        question: what is asked, as it was written.
        language: ISO 639; of others than en, ru, de, es, fr and zh only dates, years and months are read.
        today: by which "yesterday", or "May" without a year, is understood.
    """
    text = unicodedata.normalize("NFKC", question).translate(_PLAIN)
    text = _QUOTED.sub("_", " ".join((text.lower() if text.isupper() else text).split()))
    relative = list(_relative(text, language, today))
    found = [*relative, *_parts(text, language), *_dates(text, language, today), *_years(text, language)]
    chains = _chains(text, language, _merged([*found, *_bare_months(text, language)], text))
    periods = [period for chain in chains if (period := _period(text, language, chain, today))]
    since, until = _hull([(period.since, period.until) for period in periods])
    is_recent = any(mention.is_today for mention in relative) or _is_recent(text, language, relative)
    return TimeScope(since, until, is_recent, any(period.is_publication for period in periods))


# Tables: patterns by language. Of a unit, {one} and {many} are singular and plural, {n} is a number

_Table: TypeAlias = dict[str, str]

_NUMBERS: _Table = {  # from 1 on
    "en": "one two three four five six seven eight nine ten eleven twelve",
    "ru": "один|одну два|две|двух три|тр[её]х четыре|четыр[её]х пят[ьи] шест[ьи] сем[ьи] восемь|восьми девят[ьи]"
    " десят[ьи] одиннадцат[ьи] двенадцат[ьи]",
    "de": "eine[mr]? zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "es": "una? dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "fr": "une? deux trois quatre cinq six sept huit neuf dix onze douze",
    "zh": "一 两|二 三 四 五 六 七 八 九 十 十一 十二",
}
_ORDINALS: _Table = {
    "en": "first|1st second|2nd third|3rd fourth|4th|last",
    "ru": r"перв\w+|1(?:-\w+)?|I втор\w+|2(?:-\w+)?|II трет\w+|3(?:-\w+)?|III четв[её]рт\w+|последн\w+|4(?:-\w+)?|IV",
    "de": r"erste[mnrs]?|1\. zweite[mnrs]?|2\. dritte[mnrs]?|3\. vierte[mnrs]?|letzte[mnrs]?|4\.",
    "es": r"primera?|1\.?er segund[oa]|2\.?o tercer|3\.?er cuarto|último|4\.?o",
    "fr": "premi[eè]re?|1ere? deuxième|seconde?|2e troisième|3e quatrième|dernier|4e",
    "zh": "第?[一1]|上 第?[二2]|下 第?[三3] 第?[四4]",
}
_QUARTER: _Table = {
    "en": "{n} quarter|Q{digit}", "ru": r"{n} (?:квартал\w*|кв\.?)|Q{digit}", "de": r"{n} Quartals?|Q{digit}",
    "es": "{n} trimestre|Q{digit}", "fr": "{n} trimestre|T{digit}", "zh": "{n}季度|Q{digit}",
}  # fmt: skip
_HALF: _Table = {
    "en": "{n} half|H{digit}", "ru": r"{n} (?:полугоди\w+|половин\w+)", "de": "{n} (?:Halbjahre?s?|Hälfte)",
    "es": "{n} (?:semestre|mitad)", "fr": "{n} (?:semestre|moitié)", "zh": "{n}半年",
}  # fmt: skip
_SEASONS: _Table = {
    "en": "spring summer autumn|fall winter",
    "ru": "весн(?:а|ы|е|ой|у) лет(?:о|а|е|ом) осен(?:ь|и|ью) зим(?:а|ы|е|ой|у)",
    "de": "Frühlings?|Frühjahrs? Sommers? Herbst(?:es)? Winters?",
    "es": "primavera verano otoño invierno",
    "fr": "printemps été automne hiver",
    "zh": "春[季天]? 夏[季天]? 秋[季天]? 冬[季天]?",
}
_UNITS: dict[str, _Table] = {  # singular/plural
    "day": {
        "en": "day/days", "ru": "день|сутки/дня|дней|суток", "de": "Tag/Tagen?",
        "es": "día/días", "fr": "jour/jours", "zh": "天/天|日",
    },
    "week": {
        "en": "week/weeks", "ru": "недел[яюией]/недел[иь]", "de": "Woche/Wochen",
        "es": "semana/semanas", "fr": "semaine/semaines", "zh": "个?星期|周/个?星期|周",
    },
    "month": {
        "en": "month/months", "ru": "месяц(?:а|е|ем|у)?/месяц(?:а|ев)", "de": "Monats?/Monaten?",
        "es": "mes/meses", "fr": "mois/mois", "zh": "个?月/个月",
    },
    "quarter": {
        "en": "quarter/quarters", "ru": "квартал(?:а|е|ом|у)?/квартал(?:а|ов)", "de": "Quartals?/Quartalen?",
        "es": "trimestre/trimestres", "fr": "trimestre/trimestres", "zh": "个?季度/个季度",
    },
    "half": {
        "en": "half[- ](?:a )?year/half-years", "ru": "полгода|полугоди[еяию]/полугоди[йя]",
        "de": "(?:halben? Jahr|Halbjahre?s?)/Halbjahren?", "es": "medio año|semestre/semestres",
        "fr": "semestre/semestres", "zh": "半年/个半年",
    },
    "year": {
        "en": "year/years", "ru": "год(?:а|у|е|ом)?/года|лет", "de": "Jahr(?:es)?/Jahren?",
        "es": "año/años", "fr": "an|année/ans|années", "zh": "年/年",
    },
}  # fmt: skip
_TODAY: _Table = {
    "en": "today|tonight", "ru": "(?<!на )сегодня", "de": "heute", "es": "hoy(?! en día)", "fr": "aujourd'hui",
    "zh": "今天|今日",
}  # fmt: skip
_YESTERDAY: _Table = {
    "en": "yesterday", "ru": "вчера", "de": "gestern", "es": "ayer", "fr": "hier", "zh": "昨天|昨日",
}  # fmt: skip
_THIS: _Table = {
    "en": "(?:this|the current) {one}",
    "ru": "(?:эт|нынешн|текущ)(?:ой|у|ом|его|ого|ей|юю|ую|ем|от|ий) {one}",
    "de": "diese[mnrs]? {one}",
    "es": "est[ea] {one}",
    "fr": "ce(?:tte)? {one}",
    "zh": "(?:今|本|这)(?!半){one}",
}
_LAST: _Table = {
    "en": "(?<!the )last {one}(?! of)|previous {one}",
    "ru": "(?:прошл|предыдущ|минувш)(?:ой|ую|ом|ого|его|ей|ем|юю|ый|ий|ое|ее) {one}",
    "de": "(?:letzte|vorige|vergangene)[mnrs]? {one}",
    "es": "{one} (?:pasad[oa]|anterior)",
    "fr": "{one} (?:derni(?:er|ère)|passée?)",
    "zh": "(?<!过)去(?=年){one}|(?<!以)上一?(?!半|年){one}",  # 上半年 is the first half of a year
}
_ROLLING: _Table = {  # up to today
    "en": "(?:last|past|previous) {n} {many}|(?:the (?:last|past)|this past) {one}(?! of)",
    "ru": "последни[ех] {n} {many}|(?:за|в течение) последн(?:ий|юю|ее|его|ей|ие(?= пол)) {one}",
    "de": "(?:letzten|vergangenen) {n} {many}",
    "es": "últim[oa]s {n} {many}|últim[oa] {one}(?! del? )",
    "fr": "{n} derni(?:er|ère)s {many}",
    "zh": "(?:最近|过去|近){n} ?{many}|(?:最近|过去|近)(?=半){one}",
}
_AGO: _Table = {
    "en": "{n} {many} ago|an? {one} ago",
    "ru": "(?:{n} {many}|{one}) назад",
    "de": "vor {n} (?:{one}|{many})",
    "es": "hace {n} (?:{one}|{many})(?! que)",  # this were "for two years"
    "fr": "il y a {n} (?:{one}|{many})(?! que)",
    "zh": "{n} ?{many}[之以]?前",
}
_RECENT: _Table = {
    "en": r"(?<!at the )latest|at the latest (?!by|on|in)\w+|newest|most recent|recent(?:ly)?|now(?!-| that| defunct)"
    r"|currently|nowadays|presently|at (?:present|the moment)|these days|so far|to date(?= ?\W*\Z)"
    r"|(?<!direct )(?<!ating )(?<!ctric )(?<!ocean )current (?!account|flow|density|of\b|in\b|is\b|was\b)\w+",
    "ru": r"сейчас|теперь|ныне|нынешн\w+|текущ(?!\w* (?:вод|ремонт))\w+|актуальн\w+|недавно|в последнее время"
    r"|в настоящ(?:ее|ий) (?:время|момент)|на (?:данный|текущий|этот) момент|на сегодня(?:шний день)?"
    r"|(?:последн|свеж)\w+ (?:новост|данн|сведени|известия|информац|событи|цифр|верси)\w*|самы[ей] (?:последн|нов)\w+",
    "de": r"aktuell\w*|derzeit\w*|momentan|zurzeit|zur Zeit|gegenwärtig\w*|jetzt|jetzige\w?|heutzutage|neue?ste\w?"
    r"|kürzlich|neulich|vor kurzem|bisher|letzten? (?:Nachrichten|Meldungen|Neuigkeiten)",
    "es": r"actual(?:es|mente)?|ahora|hoy en día|reciente(?:s|mente)?|en este momento|hasta la fecha"
    r"|últim[oa]s (?:noticias|datos|cifras|novedades)",
    "fr": r"actuel(?:s|le|les|lement)?|maintenant|en ce moment|à ce jour|à l'heure actuelle|récente?s?|récemment"
    r"|désormais|derni(?:er|ère)s (?:nouvelles|infos|informations|données|chiffres|actualités)",
    "zh": "目前|现在|当前|如今|最新|最近|近期|眼下|现任|近日",
}
_LINKS: _Table = {  # between the two ends of a range, or the last members of a list
    "en": "to|and|or|through|until|till", "ru": "по|и|до|или", "de": "bis|und|oder", "es": "a|al|y|o|hasta",
    "fr": "à|au|et|ou|jusqu'(?:en|à|au)", "zh": "到|至|和|与|或",
}  # fmt: skip
_FILLERS: _Table = {  # between a preposition and what it governs
    "en": "the|year|early|late|mid-?|month of|(?:beginning|start|middle|end|course) of|in",
    "ru": "(?:само(?:м|го) )?(?:начал|конц|середин)[аеуы]|вс[ею]го?|в",
    "de": "de[mnrs]|das|die|Jahre?s?|Anfang|Mitte|Ende|im",
    "es": "el|la|año|mes de|(?:principios|inicios|mediados|finales|fines) de(?:l año)?|en",
    "fr": "l'|le|la|année|mois de|(?:le )?(?:début|milieu|fin)(?: de)?|mi-|en",
    "zh": "年初|年底",
}
_RELATIONS: dict[str, _Table] = {  # what a preposition says of the period after it; the first that fits
    "than": {
        "en": r"(?:than|as(?! of)|(?:that|those) (?:of|in)|compared (?:to|with)|relative to|versus|against|unlike)"
        "(?: (?:in|it|they|was|were|had|did|been|that|those|of|for|during))*",
        "ru": "(?:чем|же,? (?:как|сколько|что)(?: и)?)(?: был[оаи]?)?(?: (?:в|за))?|(?:по сравнению|в сравнении) со?"
        "|в отличие от|относительно|против",
        "de": "(?:als|wie)(?: (?:es|sie))?(?: im| in)?|gegenüber|im (?:Vergleich|Gegensatz) zu[mr]?|verglichen mit",
        "es": "(?:que|como)(?: (?:en|durante))?|(?:comparad[oa]|en comparación) con|frente a|respecto (?:de|a)l?",
        "fr": "qu'en|que|comme|par rapport (?:à|au)|comparée? (?:à|au)|en comparaison de|contre",
        "zh": "比|较|对比|相较于|高于|低于|超过",
    },
    "by": {
        "en": "by|no later than", "ru": "ко?|не поздн?ее", "de": r"(?<!\. )bis(?: zum)?|spätestens",
        "es": "a más tardar", "fr": "d'ici(?: à)?", "zh": "(?<!直)到|(?<!截)至",
    },
    "since": {
        "en": "since|starting(?: (?:in|from|on))?", "ru": "со?", "de": "seit|ab", "es": "desde|a partir de",
        "fr": "depuis|dès|à (?:partir|compter) de", "zh": "自从?|从",
    },
    "after": {
        "en": "after|later than", "ru": "после|позже|позднее", "de": "nach", "es": "después de|tras", "fr": "après",
    },
    "until": {
        "en": "until|till|up to", "ru": "по|вплоть до", "es": "hasta", "fr": "jusqu'(?:en|à|au)", "zh": "截[至止]|直到",
    },
    "before": {
        "en": "before|prior to|earlier than", "ru": "до|раньше|ранее|перед", "de": "vor", "es": "antes de",
        "fr": "avant",
    },
    "in": {
        "en": "in|on|during|throughout|of|for|from|between|the|(?:mid|early|late)-?|year|last|this|dated",
        "ru": "во?|за|на|от|между", "de": "im|in|am|von|vom|aus|für|zwischen|während|Jahre?s?|Anfang|Mitte|Ende",
        "es": "en|del?|durante|entre|para|el|año", "zh": "在|于",
        "fr": "en|de|du|d'|durant|pendant|entre|pour|le|au|année|fin|début|mi-",
    },
}  # fmt: skip
_SUFFIXES: dict[str, _Table] = {  # the same of the period before it
    "than": {"zh": "(?:同期)?相[比较同]|一样"},
    "since": {"zh": "以来|起|至今|开始", "en": "(?:and )?onwards?|and later", "ru": "и позже"},
    "after": {"zh": "[之以]?后"},
    "before": {"zh": "[之以]?前"},
}
_PRESS: _Table = {  # what is published
    "en": "articles?|news|headlines?|publications|coverage|press|newspapers",
    "ru": r"стать(?:[яиюе]|[её]й|ях|ями)|новост\w+|публикаци\w+|заметк\w+|прессе?|СМИ|газет\w*|заголовк\w+",
    "de": "Artikeln?|Nachrichten|Meldungen|Berichten?|Beiträgen?|Presse|Medien|Zeitungen|Schlagzeilen",
    "es": "artículos?|noticias?|prensa|titulares|publicaciones",
    "fr": "articles?|nouvelles|actualités|presse|publications|dépêches",
}
_PUBLISHED: _Table = {  # may follow it, before the period
    "en": "(?: that (?:was|were|appeared))?(?: (?:published|written|printed|posted|reports?|reported|wrote|appeared))?",
    "ru": r"(?:,? (?:опубликованн|написанн|вышедш|напечатанн|датированн|писал|сообщал)\w*)?",
    "de": r"(?:,? die)?(?: (?:veröffentlicht|erschienen|geschrieben)\w*)?",
    "es": "(?: (?:publicad|escrit|aparecid)[oa]s?)?",
    "fr": "(?: (?:publié|paru|écrit)e?s?)?",
}
_ABOUT: _Table = {  # after the matter they are about, says that the period is theirs
    "en": "from|dated|(?:published|written|posted)(?: (?:in|on|during|since|after|before))?",
    "ru": r"за|от|(?:опубликованн|написанн|вышедш)\w+(?: (?:во?|после|до|с))?",
    "de": "vom|von|aus",
    "es": "(?:publicad|escrit)[oa]s?(?: en)?",
    "fr": "(?:publié|paru)e?s?(?: en)?|datant de",
}
_WROTE: _Table = {  # a question for what was written, before the period
    "en": "what (?:(?:was|were|is|has been|have been)(?: being)? (?:published|written|reported)"
    "|(?:did|do|does|have|has) (?:the )?(?:press|media|papers|newspapers|news|articles|journalists|they) "
    "(?:report(?:ed)?|write|written|say|said|publish(?:ed)?))",
    "ru": r"(?:что|о ч[её]м|как)(?: \w+)?(?: \w+)? (?:писал[иа]|пишут|сообщал(?:и|ось|а)|публиковал(?:и|ось)"
    r"|опубликовали|опубликовано|написано|написали|рассказывали)",
    "de": "was (?:schrieb(?:en)?|berichteten?|stand|meldeten?)(?: (?:die|der|den|in|man|Presse|Medien|Zeitungen?))*",
    "es": "qué (?:se )?(?:publi|escribi|inform|di[cj])(?:ó|o|eron|aron|ía)(?: (?:la prensa|los medios))?",
    "fr": "qu'a(?:-t-on| été| la presse)? (?:écrit|publié|dit)(?: la presse)?|que disait la presse",
}
_PRESS_AFTER: _Table = {  # what is published, behind the period
    "en": "(?:'s?)? (?:news|articles?|headlines|papers|press|coverage)(?! (?:conference|release|agency|channel))",
    "de": r"(?:[^.,;?!]* )?(?:berichtet|geschrieben|veröffentlicht|gemeldet)(?=[ ?]*\Z)",
    "zh": "[^，。？]?(?:发表|刊登|报道|新闻|文章)|的?(?:新闻|文章|报道|消息)|发布的(?:新闻|文章|报道|消息)",
}
_COUNTED: _Table = {  # behind a number, makes it no year: "2024 trams"; the exceptions only look like plurals
    "en": "(?!(?:was|has|is|does|its|his|as|this|plus|across|versus|elections|results|figures|accounts|onwards)\\b)"
    "(?-i:(?:(?:new|old|other|more|electric) )?[a-z]+s|people|men|women|children|of)\\b",
    "ru": r"(?-i:(?!\w*(?:л|ла|ло|ли|лся|лась|лось|лись|ет|ут|ют|ит)\b|учебн|сколько|как|когда|почему)[а-яё]{4,})",
    "de": "(?-i:[A-ZÄÖÜ])",
    "es": "(?!(?:después|además|menos|elecciones|resultados)\\b)(?-i:[a-zñáéíóú]{3,}s|gente)\\b",
    "fr": "(?!(?:dans|sous|vers|plus|mais|après|leurs|élections|résultats)\\b)(?-i:[a-zéèêàç]{3,}[sx]|gens)\\b",
}

_PLAIN = str.maketrans("–—−‐‑’´", "-----''")
_QUOTED = re.compile(r"«[^»]*»|“[^”“]*[”“]|„[^“”]*[“”]|\"[^\"]*\"|《[^》]*》|「[^」]*」|『[^』]*』")
_YEAR_WORD = re.compile(
    r" ?(?:год(?:а|у|ом|е|ы|ов|ам|ами|ах)?|г\.?г?\.?|р(?:ік|оку|оці)|roku|yıl\w*)(?!\w)| ?[年년]|'s?(?=[ td])"
    r"|-(?:й|го|м|му)(?!\w)(?: год\w{,2}(?!\w))?"
)
_OF = re.compile(r"(?:[ ,]|of|in|the|year|des|im|vom|de|del|du|en|l'|année|в|года?|的|年|'s)*", re.IGNORECASE)
_ATTACHED = re.compile(  # to a word, as in «Олимпиада-2014», a sign, or another number
    r"(?:(?<!mid)(?<!early)(?<!late)(?<!\bmi)(?<=[a-zа-яёà-ÿ])-|[a-zа-яёà-ÿ_#№@:+=&]|(?<!\d)/|[№#] )\Z",
    re.IGNORECASE,
)
_DECADE = re.compile(r"'?s\b|-?er\b|-[хе]\b|年代")
_GERMAN_NAME = re.compile(
    r"\b(?:Vision|Agenda|Expo|Euro|Plan|Strategie|Projekt|Programm|Horizont?|Ziel|[EW]M|Olympia|\w*-) \Z"
)
_GERMAN_YEAR = re.compile(r"\b(?:Jahre?s?|seit|ab|Anfang|Mitte|Ende) \Z")
_STREET = re.compile(
    r"(?:rue|avenue|place|boulevard|calle|plaza|avenida|улиц\w*|площад\w*|проспект\w*|\w*stra(?:ß|ss)e|platz)"
    r" (?:de[lsr]? |du )?\Z",
    re.IGNORECASE,
)
_GOES_ON = re.compile(  # into a word, a number, a percentage, or on to a number that is no year: "2000 to 3000 homes"
    r"\w|[-/](?!(?:19|2\d)\d\d(?!\d))\w|[.,:]\d| ?%"
    r"| (?:-|to|or|до|или|bis|oder|a|o|à|ou) (?!(?:19|2\d)\d\d(?!\d))\d+\b(?! \w+ \d{4})"
)
_NAME = re.compile(r"[^\W\d_]{3,}")
_SHORT_WORD = re.compile(r"(?<!\w)[^\W\d_]{1,4} \Z")
_AT_MAY = re.compile(r"(?<!\w)(?:in|since|until|last) \Z", re.IGNORECASE)
_NOTHING = "(?!)"
_EARLIEST = 1900


# What times a text names


class _Mention(NamedTuple):
    """A time that is named: a year, a part of a year whose year may not be said (yet), or a ``span`` of ISO dates."""

    start: int
    end: int
    year: int | None = None
    months: tuple[int, int] | None = None  # the first and the last; a winter's last one is in the year that counts
    day: int | None = None
    span: tuple[str, str] | None = None
    is_sure: bool = True  # else it needs a preposition, or another mention beside it, to be a time at all
    is_today: bool = False


def _relative(text: str, language: str, today: date) -> Iterator[_Mention]:
    """Find what is told from today on, such as "yesterday", "last week", "three months ago"."""
    if language not in _TODAY:
        return
    for table, days in ((_TODAY, 0), (_YESTERDAY, -1)):
        iso = _shifted(today.isoformat(), days)
        for match in _spoken(_whole(table[language], language), text):
            yield _Mention(*match.span(), span=(iso, iso), is_today=days == 0)
    for unit in _UNITS:
        for match in _spoken(_of_unit(_ROLLING[language], language, unit), text):
            yield _Mention(*match.span(), span=_up_to(today, unit, _nth(match)))
        for table in (_THIS, _LAST, _AGO) if unit != "day" else (_AGO,):
            for match in _spoken(_of_unit(table[language], language, unit), text):
                back = _nth(match) if table is _AGO else int(table is _LAST)
                if unit == "year":
                    yield _Mention(*match.span(), year=today.year - back)
                else:
                    yield _Mention(*match.span(), span=_calendar(today, unit, -back))


def _parts(text: str, language: str) -> Iterator[_Mention]:
    """Find quarters, halves and seasons; they are times once a year stands beside them."""
    if language not in _QUARTER:
        return
    for table, size in ((_QUARTER, 3), (_HALF, 6)):
        row = table[language].format(n=_choice(_ORDINALS[language]), digit="(?P<digits>[1-4])")
        for match in _whole(row, language).finditer(text):
            if (last := _nth(match) * size) <= 12:
                yield _Mention(*match.span(), months=(last - size + 1, last), is_sure=False)
    for match in _whole(_choice(_SEASONS[language]), language).finditer(text):
        first = 3 * _nth(match)
        yield _Mention(*match.span(), months=(first, (first + 1) % 12 + 1), is_sure=False)


def _dates(text: str, language: str, today: date) -> Iterator[_Mention]:
    """Find what `quantities` reads as dates, except in names; of one with two readings, the time between them."""
    for found in quantities(text):
        if not isinstance(found, Date) or _STREET.search(text, max(0, found.start - 40), found.start):
            continue
        if (name := _NAME.search(text, found.start, found.end)) and _is_proper(name, text, language):
            continue
        if len(found.days) == 1:
            ((year, number, day),) = found.days
            if number and (year is None or year >= _EARLIEST):
                is_sure = year is not None or language in ("ru", "zh")  # «15 марта» needs no preposition
                yield _Mention(found.start, found.end, year, (number, number), day, is_sure=is_sure)
        elif isos := sorted(iso for day in found.days if (iso := _iso(*day)) and iso <= today.isoformat()):
            same_year = [iso for iso in isos if iso[:4] == isos[-1][:4]]  # 05/06/24 is not of 1924
            yield _Mention(found.start, found.end, span=(same_year[0], same_year[-1]))


def _years(text: str, language: str) -> Iterator[_Mention]:
    """Find the numbers that may be years and count nothing; sure if they are called years."""
    for found in quantities(text):
        start, end = found.start, found.start + 4
        years = [] if isinstance(found, Date) else [year for year, _, _ in found.days if year and year >= _EARLIEST]
        if len(years) != 1 or not text[start:end].isdecimal() or _ATTACHED.search(text, max(0, start - 8), start):
            continue
        (year,) = years
        if year % 10 == 0 and (decade := _DECADE.match(text, end)):
            yield _Mention(start, decade.end(), span=(f"{year}", f"{year + 9}"))
        elif named := _YEAR_WORD.match(text, end):
            yield _Mention(start, named.end(), year)
        elif (season := re.compile(r"/(\d\d)(?!\d)").match(text, end)) and int(season[1]) == (year + 1) % 100:
            yield _Mention(start, season.end(), span=(f"{year}", f"{year + 1}"))
        elif found.end == end and not _GOES_ON.match(text, end) and not _is_count(text, start, end, language):
            yield _Mention(start, end, year, is_sure=_is_bare_year(text, start, language))


def _is_count(text: str, start: int, end: int, language: str) -> bool:
    """Tell whether a number counts what stands behind it; "In 2024 trams" opens with a year, "2024 trams" does not."""
    if language not in _COUNTED or (text[:start] == "In " and text[end - 2 : end] != "00"):
        return False
    if language == "en" and text[:start].endswith("the ") and text[end + 1 : end + 2].isupper():  # the 2022 World Cup
        return True
    is_named = language == "de" and _GERMAN_YEAR.search(text, max(0, start - 20), start)
    return not is_named and bool(_compiled(f" {_COUNTED[language]}").match(text, end))


def _is_bare_year(text: str, start: int, language: str) -> bool:
    """Tell whether a year needs no preposition that the tables know: in German, and after any short word elsewhere."""
    if language == "de":
        is_name = _GERMAN_NAME.search(text, max(0, start - 20), start)
        return text[start + 2 : start + 4] != "00" and start > 1 and text[start - 2].isalpha() and not is_name
    return language not in _TODAY and bool(_SHORT_WORD.search(text, max(0, start - 6), start))


def _bare_months(text: str, language: str) -> Iterator[_Mention]:
    """Find months without a day and a year, except verbs and names; they are times after a preposition."""
    for match in _NAME.finditer(text):
        if (number := month(match[0])) is None or _is_proper(match, text, language):
            continue
        at, start = max(0, match.start() - 6), match.start()
        if language == "en" and not _AT_MAY.search(text, at, start):
            is_name = text[match.end() + 1 : match.end() + 2].isupper() or text[at:start].lower().endswith("the ")
            if is_name or match[0] in ("may", "march", "august"):  # April Jones, the March on Washington, who may
                continue
        is_sure = language not in _TODAY and len(match[0]) > 3 and bool(_SHORT_WORD.search(text, at, start))
        yield _Mention(*match.span(), months=(number, number), is_sure=is_sure)


def _is_proper(name: re.Match[str], text: str, language: str) -> bool:
    """Tell whether a month is a planet, or in a name, «улица 8 Марта», where the language writes months small."""
    if name[0].lower() in ("mars", "mart") and language in ("en", "de", "es"):
        return True
    return language in ("ru", "es", "fr") and name[0][0].isupper() and not _is_opening(text, name.start())


def _is_opening(text: str, at: int) -> bool:
    before = text[:at].rstrip(" ¿¡(-_'0123456789")
    return not before or before[-1] in ".!?:;"


# From what is named to periods


def _merged(mentions: list[_Mention], text: str) -> list[_Mention]:
    """Give the mentions in order, the longer of such as overlap; a part of a year and the year beside it are one."""
    merged: list[_Mention] = []
    for mention in sorted(mentions, key=lambda found: (found.start, -found.end)):
        if not merged or mention.start >= merged[-1].end:
            joined = _joined(merged[-1], mention, text) if merged else None
            merged[-1:] = [joined] if joined else [*merged[-1:], mention]
    return merged


def _joined(a: _Mention, b: _Mention, text: str) -> _Mention | None:
    year, part = (a, b) if b.months else (b, a)
    if year.year is None or year.months or not part.months or part.year or not _OF.fullmatch(text, a.end, b.start):
        return None
    return part._replace(start=a.start, end=b.end, year=year.year, is_sure=True)


def _chains(text: str, language: str, mentions: list[_Mention]) -> list[list[_Mention]]:
    """Put the ends of a range, and the members of a list, together: "from March to May 2024"."""
    chains: list[list[_Mention]] = []
    words, fillers = _LINKS.get(language, _NOTHING), _FILLERS.get(language, _NOTHING)
    link = _compiled(rf" ?(?:[-,/]|,? ?(?:{words})(?!\w))(?: ?(?:{fillers}))* ?")
    for mention in mentions:
        if chains and link.fullmatch(text, chains[-1][-1].end, mention.start):
            chains[-1].append(mention)
        else:
            chains.append([mention])
    return chains


def _period(text: str, language: str, chain: Sequence[_Mention], today: date) -> TimeScope | None:
    """Give the period that a chain of mentions stands for; ``None`` if it is no time, or none to look in."""
    start, end, is_range = chain[0].start, chain[-1].end, len(chain) > 1
    relation, governed = _relation(text, language, start, end)
    is_sure = any(mention.is_sure for mention in chain) or (is_range and all(mention.year for mention in chain))
    spans = _dated(chain, today)
    if not (is_sure or relation) or relation in ("than", "by") or not spans:
        return None
    first, last = min((a for a, _ in spans), key=_first), max((b for _, b in spans), key=_last)
    since, until = {
        "since": (first, last if is_range else None),
        "after": (_shifted(last, 1), None),
        "before": (None, _shifted(first, -1)),
        "until": (None, last),
    }.get(relation, (first, last))
    if any(_first(iso) > today.isoformat() for iso in (since, *(a for a, _ in spans)) if iso):
        return None
    return TimeScope(since, until, is_publication=_is_publication(text, language, governed, start, end))


def _relation(text: str, language: str, start: int, end: int) -> tuple[str, int]:
    """Give the key in `_RELATIONS` ("" if none) of the words beside a period, and where it begins with them."""
    for relation, table in _SUFFIXES.items():
        if language in table and _compiled(f" ?(?:{table[language]})").match(text, end):
            return relation, start
    for relation, table in _RELATIONS.items():
        row = rf"(?:{table.get(language, _NOTHING)})(?: ?(?:{_FILLERS.get(language, _NOTHING)}))* ?\Z"
        if match := _whole(row, language).search(text, max(0, start - 60), start):
            return relation, match.start()
    return "", start


def _dated(chain: Sequence[_Mention], today: date) -> list[tuple[str, str]]:
    """Give the ISO dates of each mention, a year that is not said taken from the next one, or the one before.

    If none has a year, it is the latest that is not in the future; but a quarter or a season must have one, else, as
    with a day that does not exist, there are no dates.
    """
    years = [mention.year for mention in chain]
    months = [mention.months or (1, 12) for mention in chain]
    if chain[-1].months and not any(years) and months[-1][0] == months[-1][1]:
        years[-1] = _latest(months[-1][0], chain[-1].day, today)
    for i in reversed(range(len(chain) - 1)):
        if years[i] is None and (later := years[i + 1]):
            years[i] = later - (months[i][0] > months[i + 1][0])
    for i in range(1, len(chain)):
        if years[i] is None and (earlier := years[i - 1]):
            years[i] = earlier + (months[i][0] < months[i - 1][0])
    spans = [mention.span or _span(year, mention) for mention, year in zip(chain, years, strict=True)]
    return [span for span in spans if span] if all(spans) else []


def _latest(number: int, day: int | None, today: date) -> int | None:
    """Give the latest year whose month, or day, is not in the future; 29 February may be eight years ago."""
    isos = (_iso(year, number, day) for year in range(today.year, today.year - 9, -1))
    return next((int(iso[:4]) for iso in isos if iso and _first(iso) <= today.isoformat()), None)


def _span(year: int | None, mention: _Mention) -> tuple[str, str] | None:
    if year is None:
        return None
    first, last = mention.months or (None, None)
    is_winter = first is not None and last is not None and last < first
    since, until = _iso(year - is_winter, first, mention.day), _iso(year, last, mention.day)
    return (since, until) if since and until else None


def _hull(periods: list[tuple[str | None, str | None]]) -> tuple[str | None, str | None]:
    """Give the time from the first to the last of the periods; of "after 2019 and before 2023" what is between."""
    sinces, untils = [a for a, _ in periods if a], [b for _, b in periods if b]
    if len(sinces) == len(untils) == 1 and _first(sinces[0]) <= _last(untils[0]):
        return sinces[0], untils[0]
    since = min(sinces, key=_first) if len(sinces) == len(periods) > 0 else None
    return since, max(untils, key=_last) if len(untils) == len(periods) > 0 else None


# What else the words say


def _is_recent(text: str, language: str, relative: list[_Mention]) -> bool:
    """Tell whether the latest state is asked for, by other words than those of a period such as 最近三个月."""
    found = _spoken(_whole(_RECENT.get(language, _NOTHING), language), text)
    return any(all(match.end() <= known.start or known.end <= match.start() for known in relative) for match in found)


def _is_publication(text: str, language: str, governed: int, start: int, end: int) -> bool:
    """Tell whether the period at ``start``, with its preposition at ``governed``, is that of what was published."""
    if language in _PRESS_AFTER and _compiled(_PRESS_AFTER[language]).match(text, end):
        return True
    if language not in _PRESS:
        return False
    ends = (
        (rf"(?:{_PRESS[language]})(?: _)?{_PUBLISHED[language]} ?\Z", governed),
        (rf"(?:{_PRESS[language]}) [^.,;?!]+ (?:{_ABOUT[language]})(?: ?(?:{_FILLERS[language]}))* ?\Z", start),
        (rf"(?:{_WROTE[language]})(?!\w)(?: [^.,;?!]*)?\Z", governed),
    )
    return any(_whole(row, language).search(text, max(0, start - 100), until) for row, until in ends)


# ISO dates and the calendar

_MONTHS = {"month": 1, "quarter": 3, "half": 6, "year": 12}


def _iso(year: int | None, number: int | None, day: int | None) -> str | None:
    """Write a date of any precision, ``None`` if it has no year or does not exist."""
    if year is None or number is None:
        return None if year is None else f"{year:04}"
    if day is None:
        return f"{year:04}-{number:02}"
    return f"{year:04}-{number:02}-{day:02}" if day <= calendar.monthrange(year, number)[1] else None


def _first(iso: str) -> str:
    return iso + "-01-01"[len(iso) - 4 :]


def _last(iso: str) -> str:
    return iso + "-12-31"[len(iso) - 4 :]


def _shifted(iso: str, by: int) -> str:
    """Go ``by`` years, months or days on, whichever is the precision of ``iso``."""
    if len(iso) == 10:
        return (date.fromisoformat(iso) + timedelta(days=by)).isoformat()
    if len(iso) == 4:
        return f"{int(iso) + by:04}"
    year, number = divmod(int(iso[:4]) * 12 + int(iso[5:]) - 1 + by, 12)
    return f"{year:04}-{number + 1:02}"


def _calendar(today: date, unit: str, by: int) -> tuple[str, str]:
    """Give the calendar's unit that is ``by`` units from that of ``today``; weeks begin on Monday."""
    if unit in ("day", "week"):
        days = 1 if unit == "day" else 7
        first = _shifted(today.isoformat(), by * days - today.weekday() * (unit == "week"))
        return first, _shifted(first, days - 1)
    size = _MONTHS[unit]
    first = _shifted(f"{today.year:04}-{(today.month - 1) // size * size + 1:02}", by * size)
    return first, _shifted(first, size - 1)


def _up_to(today: date, unit: str, count: int) -> tuple[str, str]:
    """Give the last ``count`` units up to today; three months begin on the day of this number three months ago."""
    if unit in ("day", "week"):
        return _shifted(today.isoformat(), -count * (1 if unit == "day" else 7)), today.isoformat()
    first = _shifted(today.isoformat()[:7], -count * _MONTHS[unit])
    length = calendar.monthrange(int(first[:4]), int(first[5:]))[1]
    return f"{first}-{min(today.day, length):02}", today.isoformat()


# From rows of the tables to patterns


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _whole(row: str, language: str) -> re.Pattern[str]:
    """Compile a row so that it matches whole words, where words have spaces between them."""
    return _compiled(row if language == "zh" else rf"(?<!\w)(?:{row})(?!\w)")


@cache
def _of_unit(row: str, language: str, unit: str) -> re.Pattern[str]:
    """Compile a row for a unit of time; `_nth` reads the number in what it matches."""
    one, many = (f"(?:{forms})" for forms in _UNITS[unit][language].split("/"))
    number = rf"(?:(?<!\d)(?P<digits>\d\d?\d?)|{_choice(_NUMBERS[language])})"
    return _whole(row.format(one=one, many=many, n=number), language)


def _choice(row: str) -> str:
    """Turn patterns with spaces between them into one of which `_nth` tells which of them it was, from 1 on."""
    return "(?:" + "|".join(f"(?P<n{i}>{pattern})" for i, pattern in enumerate(row.split(), 1)) + ")"


def _nth(match: re.Match[str]) -> int:
    group = match.lastgroup or "n1"
    return int(match[group]) if group == "digits" else int(group[1:])


def _spoken(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Find a pattern except in names, capital amid a sentence: "USA Today"."""
    return (found for found in pattern.finditer(text) if not found[0][0].isupper() or _is_opening(text, found.start()))
