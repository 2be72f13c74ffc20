"""Small numbers that a text writes in words, in the languages most articles are in."""

import re
from functools import lru_cache

_WORDS = r"""
1 one|first|once|один|одна|одно|одного|одной|одному|одну|одним|перв\w+|часу?(?=\s+(?:ночи|дня))
1 ein|eine[rnms]?|erste\w*|uno|una|primer\w*|une?|premi\w+|一
2 two|second|twice|both|дв[аеу]\w{0,3}|втор\w+|оба|обе|zwei\w*|dos|segund\w+|deux\w*|二|两|兩
3 three|third|тр[иеё]\w{0,2}|трет\w+|drei|dritte\w*|tres|tercer\w*|trois\w*|三
4 four|fourth|четыр\w+|четверо|четв[её]рт\w+|vier|vierte\w*|cuatro|cuart\w+|quatre|quatrième|四
5 five|fifth|пят[ьию]\w{0,2}|пят(?:ый|ая|ое|ого|ой|ую)|fünf|fünfte\w*|cinco|quint\w+|cinq|五
6 six|sixth|шест[ьию]\w{0,2}|шест(?:ой|ая|ое|ого|ую)|sechs|seis|sext\w+|六
7 seven|seventh|сем[ьию]\w{0,2}|седьм\w+|sieben|siete|s[eé]ptim\w+|sept|七
8 eight|eighth|вос[её]?мь?\w{0,3}|acht|achte\w*|ocho|octav\w+|huit|八
9 nine|ninth|девят[ьию]\w{0,2}|девят(?:ый|ая|ое|ого|ой|ую)|neun|nueve|neuf|九
10 ten|tenth|десят[ьию]\w{0,2}|десят(?:ый|ая|ое|ого|ой|ую)|zehn|diez|décim\w+|dix|十
11 eleven\w*|одиннадцат\w+|elf|once|onze|十一
12 twelve|twelfth|двенадцат\w+|zwölf|doce|douze|dozen|дюжин\w+|十二
13 thirteen\w*|тринадцат\w+|dreizehn|trece|treize|十三
14 fourteen\w*|четырнадцат\w+|vierzehn|catorce|quatorze|十四
15 fifteen\w*|пятнадцат\w+|fünfzehn|quince|quinze|十五
16 sixteen\w*|шестнадцат\w+|sechzehn|diecis[eé]is|seize|十六
17 seventeen\w*|семнадцат\w+|siebzehn|diecisiete|dix-sept|十七
18 eighteen\w*|восемнадцат\w+|achtzehn|dieciocho|dix-huit|十八
19 nineteen\w*|девятнадцат\w+|neunzehn|diecinueve|dix-neuf|十九
20 twenty|двадцат\w+|zwanzig|veinte|vingt|二十|两成|a\s+fifth|one\s+fifth|пятая\s+часть
30 thirty|тридцат\w+|dreißig|treinta|trente|三十|三成
40 forty|сорока?|vierzig|cuarenta|quarante|四十
50 fifty|пят[ьи]десят\w*|fünfzig|cincuenta|cinquante|五十
50 half|halv\w+|половин\w+|наполовину|halb\w*|hälfte|mitad|medi[ao]|moitié|一半
60 sixty|шест[ьи]десят\w*|sechzig|sesenta|soixante|六十
70 seventy|сем[ьи]десят\w*|siebzig|setenta|七十
80 eighty|вос[её]?м[ьи]десят\w*|achtzig|ochenta|八十
90 ninety|девяност\w+|neunzig|noventa|九十
100 hundred|сто|ста|сотн\w+|hundert|ein\s?hundert|cien|ciento|cent|百|一百
1000 thousand|тысяч\w*|tausend|mil|mille|千|一千
1500 полтор\w+\s+тысяч\w*|fifteen\s+hundred
"""
_AFTERNOON = re.compile(
    r"(\d{1,2})(?::\d\d)?\s?(?:p\.?m\b|вечера|дня|uhr\s+abends|de\s+la\s+tarde)|下午(\d{1,2})", re.IGNORECASE
)
_LETTER = r"[^\W\u3040-\u9fff]"  # Chinese and Japanese put no spaces between words
_COUNTS = [
    (int(number), re.compile(rf"(?<!{_LETTER})(?:{words})(?!{_LETTER})", re.IGNORECASE))
    for number, words in (line.split(" ", 1) for line in _WORDS.strip().splitlines())
]


@lru_cache(maxsize=512)
def counted(text: str) -> frozenset[int]:
    """Give the numbers that a text has in words, cardinal or ordinal, "half" as 50 (per cent) and "11 pm" as 23."""
    found = {number for number, word in _COUNTS if word.search(text)}
    afternoon = (int(next(filter(None, match.groups()))) for match in _AFTERNOON.finditer(text))
    return frozenset(found | {hour + 12 for hour in afternoon if hour < 12})
