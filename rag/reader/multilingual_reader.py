"""The default reader: one small multilingual model reranks the passages, quotes the answer, or abstains. No LLM."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from index.language import is_unspaced, sentence_spans
from rag.reader.agreement import agree, is_other_figure
from rag.reader.calibration import evidence, probability
from rag.reader.pair_reader import PairReader
from rag.types import Citation, Draft, Hit, Question, Reading, Sentence

_AT_ONCE = 4  # passages: more are read only if none of these answers
_SURE = 0.5  # the probability at which a passage is taken to answer
_MOST_QUOTES = 3
_BESIDE = 0.5  # of the best one's probability: what is as likely, in another article, is quoted beside it
_LONGEST_QUOTE = 600  # characters: of a longer sentence only what stands about the answer is quoted
_EDGES = " \t\n\r.,;:!?…—–-·•«»“”„\"'()[]{}、。，；：？！（）《》「」『』"
_MINUS = {"-", "−", "–"}
_CLOSING = {"(": ")", "[": "]", "«": "»", "“": "”", "„": "“", "「": "」", "『": "』", "《": "》", "（": "）", '"': '"'}


class MultilingualReader:
    """Reads every passage once against the question: that reranks them, finds the answers, and says how sure it is."""

    def __init__(self, pairs: PairReader, min_confidence: float) -> None:
        """Read with ``pairs``; abstain below ``min_confidence`` (0..1)."""
        self._pairs = pairs
        self._min_confidence = min_confidence

    def rerank(self, question: Question, hits: list[Hit]) -> list[Hit]:
        """Give the same hits in the order of how likely each answers, read and ranked anew.

        They are read four at a time, until one answers; those that need no reading then keep their order at the end.
        """
        read: list[Hit] = []
        for at in range(0, len(hits), _AT_ONCE):
            some = hits[at : at + _AT_ONCE]
            readings = self._pairs.read(question.text, [(heading(hit), hit.text) for hit in some])
            read += [_with(question, hit, reading) for hit, reading in zip(some, readings, strict=True)]
            if max(hit.relevance or 0.0 for hit in read) >= _SURE:
                break
        read.sort(key=lambda hit: -hit.promise)
        return [replace(hit, rank=rank) for rank, hit in enumerate([*read, *hits[len(read) :]], 1)]

    def read(self, question: Question, hits: list[Hit]) -> Draft:
        """Quote the best passage's answer, and beside it those of other articles that are nearly as likely.

        Answers that agree stand in one line with all their sources; such as differ in lines of their own, each with
        the dates of its articles, and after what a newer one says otherwise.
        """
        chosen = _chosen(hits, self._min_confidence)
        confidence = max((hit.relevance or 0.0 for hit in hits), default=0.0)
        citations = [citation for hit in chosen if (citation := cite_answer(hit)) is not None]
        if not citations:
            return Draft((), confidence)
        groups: list[list[Citation]] = []
        for citation in citations:
            group = next((g for g in groups if agree(g[0].answer, citation.answer)), None)
            if group is None:
                groups.append([citation])
            else:
                group.append(citation)
        newest_first = sorted(groups, key=lambda group: _is_superseded(group, groups))  # .sort() would empty the list
        marker = count(1)
        marked = [[replace(citation, marker=next(marker)) for citation in group] for group in newest_first]
        return Draft(tuple(_sentence(group, is_disputed=len(groups) > 1) for group in marked), confidence)


def _is_superseded(group: Sequence[Citation], groups: Sequence[Sequence[Citation]]) -> bool:
    """Tell whether another of the groups has a newer article that gives another figure of the same kind."""
    newest = _newest(group)
    return bool(newest) and any(
        _newest(other) > newest and is_other_figure(group[0].answer, other[0].answer) for other in groups
    )


def _newest(group: Sequence[Citation]) -> str:
    return max((citation.published or "" for citation in group), default="")


def heading(hit: Hit) -> str:
    """Give the title to read before a hit's passage; none if the passage begins with it, as an untitled note does."""
    title = hit.article.title.rstrip(" .…")
    return "" if hit.text.lstrip().startswith(title) else hit.article.title


def _with(question: Question, hit: Hit, reading: Reading) -> Hit:
    is_foreign = hit.passage.language != question.language
    return replace(hit, reading=reading, relevance=probability(evidence(reading, hit.score, is_foreign)))


def _chosen(hits: Sequence[Hit], min_confidence: float) -> list[Hit]:
    """Choose the hits to quote: the likeliest of each article."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.article.id, hit)
    top = max((hit.relevance or 0.0 for hit in hits), default=0.0)
    least = max(min_confidence, _BESIDE * top)
    return [hit for hit in best.values() if hit.relevance is not None and hit.relevance >= least][:_MOST_QUOTES]


def _sentence(citations: Sequence[Citation], is_disputed: bool) -> Sentence:
    dates = sorted({c.published for c in citations if c.published}) if is_disputed else []
    when = f" ({', '.join(dates)})" if dates else ""
    return Sentence(citations[0].answer + when, tuple(citations), "supported")


def cite_answer(hit: Hit) -> Citation | None:
    """Quote the sentence that holds a hit's answer; nothing if there is no answer in words."""
    if hit.reading is None:
        return None
    answer = widened(hit.text, hit.reading)
    if answer[0] >= answer[1]:
        return None
    return hit.cite(sentence_around(hit, answer), answer)


def widened(text: str, reading: Reading) -> tuple[int, int]:
    """Give the span of a reading, widened to whole words and freed of punctuation at its edges."""
    start, end = reading.start, min(reading.end, len(text))
    while 0 < start < end and _is_within_word(text, start):
        start -= 1
    while start < end < len(text) and _is_within_word(text, end):
        end += 1
    while start < end and text[start] in _EDGES and _CLOSING.get(text[start], "\0") not in text[start + 1 : end]:
        start += 1
    while end > start and text[end - 1] in _EDGES and not _closes(text[start:end]):
        end -= 1
    is_signed = start < end and text[start].isdigit() and text[start - 1 : start] in _MINUS
    if start and is_signed and (start == 1 or not text[start - 2].isalnum()):
        start -= 1
    left_open = {closing for opening, closing in _CLOSING.items() if text.count(opening, start, end) == 1}
    if text[end : end + 1] in left_open and not text.count(text[end], start, end):
        end += 1
    return start, end


def _is_within_word(text: str, at: int) -> bool:
    """Tell whether no word ends before the character at ``at``; scripts without spaces tell nothing."""
    before, after = text[at - 1], text[at]
    if is_unspaced(before) or is_unspaced(after):
        return False
    return (before.isalnum() or _is_mark(before)) and (after.isalnum() or _is_mark(after))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _closes(text: str) -> bool:
    """Tell whether the last character closes a bracket or quotation mark that stands before it."""
    return any(text[-1] == closing and opening in text[:-1] for opening, closing in _CLOSING.items())


def sentence_around(hit: Hit, answer: tuple[int, int]) -> tuple[int, int]:
    """Give the sentence, or the sentences, that an answer stands in, as a span of the passage."""
    touched = [s for s in sentence_spans(hit.text, hit.passage.language) if s[0] < answer[1] and s[1] > answer[0]]
    low = min((s[0] for s in touched), default=answer[0])
    high = max((s[1] for s in touched), default=answer[1])
    low, high = min(low, answer[0]), max(high, answer[1])
    if high - low <= _LONGEST_QUOTE:
        return low, high
    beside = max(0, _LONGEST_QUOTE - (answer[1] - answer[0])) // 2
    cut_low, cut_high = max(low, answer[0] - beside), min(high, answer[1] + beside)
    low = cut_low if cut_low == low else hit.text.find(" ", cut_low, answer[0]) + 1 or cut_low
    space = hit.text.rfind(" ", answer[1], cut_high)
    return low, cut_high if cut_high == high or space < 0 else space
