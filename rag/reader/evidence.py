"""What in a sentence speaks for its answering a question: names, numbers, and the kind of thing asked for.

All of it works across scripts: names are compared in Latin letters (Жвачкин, Zhvachkin).
"""

import re
from functools import lru_cache

_NAME = re.compile(r"[^\W\d_][\w'’-]*", re.UNICODE)
_NUMBER = re.compile(r"\d+(?:[.,  ]\d+)*")
_QUOTED = re.compile(r"[«„“\"]([^«»„“”\"]{2,60})[»”“\"]")
_SHARED_PREFIX = 0.7  # of the shorter word: names are inflected at the end
_SHORTEST_PREFIX = 4

_ASKS_NUMBER = re.compile(
    r"скольк|\bкаков[аоы]?\b.*(?:стоимост|сумм|площад|длин|цен|числ|дол[яю]|объ[её]м|количеств|мощност)"
    r"|\bhow (?:much|many|long|large|big|far|old|high|fast|often)\b"
    r"|\bwhat (?:percentage|share|number|amount|sum|price|cost|area|length)\b"
    r"|\bwie ?viele?\b|\bwie (?:hoch|lang|groß|weit|teuer)\b|\bcuánt|\bqué (?:porcentaje|cantidad|precio)"
    r"|\bcombien\b|\bquel(?:le)? (?:montant|somme|prix)|\bquant[oiae]\b|\bhur (?:många|mycket|lång)|\bberapa\b"
    r"|多少|几|何人|いくつ|いくら|何(?:個|台|年|人|回|本)|몇|เท่าไ|กี่|چند",
    re.IGNORECASE,
)
_ASKS_TIME = re.compile(
    r"\bкогда\b|\bкак(?:ого|ое) числ|\bв каком (?:году|месяце)|\bкакого года|\bк какому (?:сроку|году)"
    r"|\bwhen\b|\b(?:what|which) (?:date|year|day|month|time)\b|\bwann\b|\bin welchem (?:jahr|monat)"
    r"|\bcuándo\b|\ben qué (?:año|mes|fecha)|\bquand\b|\ben quelle année|\bquando\b|\bnär\b|\bkapan\b"
    r"|\btahun berapa|什么时候|何时|哪一?年|哪一?天|几月|いつ|何年|언제|เมื่อ|چه (?:سال|زمان)|کی ",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\b(?:январ|феврал|март|апрел|ма[йяе]\b|июн|июл|август|сентябр|октябр|ноябр|декабр)"
    r"|\b(?:januar|februar|march|märz|april|may\b|mai\b|june|juni|july|juli|august|septem|octo|okto|novem|decem|dezem)"
    r"|\b(?:jänner|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)"
    r"|\b(?:janvier|février|mars|avril|juin|juillet|août|gennaio|febbraio|aprile|maggio|giugno|luglio)"
    r"|\d\s*[年月日]|\b(?:1\d|20)\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b",
    re.IGNORECASE,
)


def names_and_numbers(text: str) -> tuple[set[str], set[str]]:
    """Give the names in a question, in small Latin letters, and its numbers.

    A name is a capitalised word that does not open the text, or any word within quotation marks.
    """
    names = {_latin(m.group()) for m in _NAME.finditer(text) if m.start() > 0 and m.group()[0].isupper()}
    for quoted in _QUOTED.findall(text):
        names |= {_latin(word) for word in _NAME.findall(quoted)}
    return {name for name in names if len(name) > 1}, set(_NUMBER.findall(text))


def share_of_names(names: set[str], numbers: set[str], text: str) -> float:
    """Tell what share (0..1) of a question's names and numbers stands in ``text``; 0.5 if the question has none."""
    if not names and not numbers:
        return 0.5
    words = {_latin(word) for word in _NAME.findall(text)}
    found = sum(any(_same_name(name, word) for word in words) for name in names)
    found += len(numbers & set(_NUMBER.findall(text)))
    return found / (len(names) + len(numbers))


def has_what_is_asked(question: str, sentence: str) -> float:
    """Tell whether a sentence has the kind of thing that is asked for: 1 yes, 0 no; 0.5 if the kind is open.

    A number that the question gives itself does not count.
    """
    if _ASKS_TIME.search(question):
        return float(bool(_DATE.search(sentence)))
    if _ASKS_NUMBER.search(question):
        return float(bool(set(_NUMBER.findall(sentence)) - set(_NUMBER.findall(question))))
    return 0.5


@lru_cache(maxsize=50_000)
def _latin(word: str) -> str:
    from anyascii import anyascii

    return str(anyascii(word)).casefold().strip("'-`")


def _same_name(a: str, b: str) -> bool:
    shorter = min(len(a), len(b))
    if shorter < _SHORTEST_PREFIX:
        return a == b
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), shorter)
    return shared >= max(_SHORTEST_PREFIX, round(_SHARED_PREFIX * max(len(a), len(b))))
