"""Small numbers that a text writes in words, in the languages most articles are in."""

import re
from functools import lru_cache

_WORDS = r"""
1 one|first|один|одна|одно|одного|одной|одному|одну|одним|перв\w+|часу?(?=\s+(?:ночи|дня))
1 eine[rnms]?|erste\w*|uno|una|primer\w*|premi(?:er|ère)s?|一
2 two|second|twice|both|дв(?:а|е|ух|ум|умя|ое|оих|ажды)|вдвое|втор(?:ой|ая|ое|ого|ую|ым|ом|ые|ых)|оба|обе|обоих
2 zwei\w*|dos|segund[oa]s?|deux|deuxième|二|两|兩
3 three|third|тр(?:и|[её]х|[её]м|емя|ое|оих|ижды)|втрое|трет(?:ий|ья|ье|ьего|ьей|ью|ьем)
3 drei|dritte\w*|tres|tercer\w*|trois|troisième|三
4 four|fourth|четыр(?:е|[её]х|[её]м|ьмя)|четверо|четв[её]рт\w+|vier|vierte\w*|cuatro|cuart[oa]|quatre|quatrième|四
5 five|fifth|пят(?:ь|и|ью|еро|ый|ая|ое|ого|ой|ую|ом)|fünf|fünfte\w*|cinco|quint[oa]|cinq|cinquième|五
6 six|sixth|шест(?:ь|и|ью|еро|ой|ая|ое|ого|ую|ом)|sechs|sechste\w*|seis|sext[oa]|sixième|六
7 seven|seventh|сем(?:ь|и|ью|еро)|седьм\w+|sieben|sieb(?:en)?te\w*|siete|s[eé]ptim[oa]|sept|septième|七
8 eight|eighth|восемь|восьм(?:и|ью|ой|ая|ое|ого|ую|ом)|acht|achte\w*|ocho|octav[oa]|huit|huitième|八
9 nine|ninth|девят(?:ь|и|ью|ый|ая|ое|ого|ой|ую|ом)|neun|neunte\w*|nueve|noven[oa]|neuf|neuvième|九
10 ten|tenth|десят(?:ь|и|ью|ый|ая|ое|ого|ой|ую|ом|ок|ка|ков)|zehn|zehnte\w*|diez|décim[oa]|dix|dixième|十
11 eleven\w*|одиннадцат\w+|elf|onze|十一
12 twelve|twelfth|двенадцат\w+|zwölf|doce|douze|dozen|дюжин\w+|十二
13 thirteen\w*|тринадцат\w+|dreizehn|trece|treize|十三
14 fourteen\w*|четырнадцат\w+|vierzehn|catorce|quatorze|十四
15 fifteen\w*|пятнадцат\w+|fünfzehn|quince|quinze|十五
16 sixteen\w*|шестнадцат\w+|sechzehn|diecis[eé]is|seize|十六
17 seventeen\w*|семнадцат\w+|siebzehn|diecisiete|dix-sept|十七
18 eighteen\w*|восемнадцат\w+|achtzehn|dieciocho|dix-huit|十八
19 nineteen\w*|девятнадцат\w+|neunzehn|diecinueve|dix-neuf|十九
20 twenty|двадцат\w+|zwanzig|veinte|vingt|二十|两成|(?:a|one)\s+fifth|пят(?:ая|ую)\s+часть
30 thirty|тридцат\w+|dreißig|treinta|trente|三十|三成
40 forty|сорока?|vierzig|cuarenta|quarante|四十
50 fifty|пят[ьи]десят\w*|fünfzig|cincuenta|cinquante|五十
50 half|halv\w+|половин\w+|наполовину|halb\w*|hälfte|mitad|moitié|一半
60 sixty|шест[ьи]десят\w*|sechzig|sesenta|soixante|六十
70 seventy|сем[ьи]десят\w*|siebzig|setenta|七十
80 eighty|вос(?:емь|ьми)десят\w*|achtzig|ochenta|八十
90 ninety|девяност\w+|neunzig|noventa|九十
100 hundred|сто|ста|сотн\w+|hundert|ein\s?hundert|cien|ciento|百|一百
1000 thousand|тысяч\w*|tausend|mil|mille|千|一千
1500 полтор\w+\s+тысяч\w*|fifteen\s+hundred
"""
_AFTERNOON = re.compile(
    r"(\d{1,2})(?::\d\d)?\s?(?:p\.?m\b|(?:час\w*\s+)?(?:вечера|дня)|uhr\s+abends|de\s+la\s+tarde)|(?:下午|晚上)(\d{1,2})",
    re.IGNORECASE,
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
