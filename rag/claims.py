"""What a chat model's answer claims: its sentences, and the passages that each says it is from."""

import re
from collections.abc import Iterator

from index.language import sentence_spans
from rag.prompt import NOT_FOUND
from rag.types import Claim

_MOST_CLAIMS = 30  # a small model may go on for ever
_LONGEST = 8_000  # characters of an answer that are read
_LABEL = r"(?:(?:source|passage|quelle|fuente|fragmento|источник|фрагмент|来源|段落)s?\s*:?\s*(?:№|no\.?\s*)?)?"
_RANGE = r"\d{1,2}(?:\s*[-–]\s*\d{1,2})?"
_LIST = rf"{_RANGE}(?:\s*(?:[,;&]|and|и|und|y)\s*{_LABEL}{_RANGE})*"
_MARKER = re.compile(rf"[ \t]*[\[【［]\s*\^?{_LABEL}({_LIST})(?:†[^\]】]*)?\s*[\]】］](?:\([^()\s]*\))?", re.IGNORECASE)
_ROUND = re.compile(
    rf"[ \t]*[(（]\s*{_LABEL}({_LIST})\s*[)）](?=\s*[.!?,;。！？，；]|\s*$|\s*[\[(（【])", re.IGNORECASE | re.MULTILINE
)
_OPEN_MARKER = re.compile(r"[\[【［(（<][^\]】］)）>\n]{0,40}\Z")  # the rest of it may be in the next piece
_THOUGHT = re.compile(  # some templates open it themselves
    r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)|\A.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE
)
_MARKUP = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),  # pictures
    (re.compile(r"\[([^\]\d][^\]]*)\]\([^)]*\)"), r"\1"),  # links
    (re.compile(r"</?[a-zA-Z][^<>]{0,500}>"), " "),
    (re.compile(r"^\s*(?:#{1,6}\s+|[-*•–]\s+|\d{1,2}[.)]\s+|>\s+)", re.MULTILINE), ""),
    (re.compile(r"\*\*|__|`"), ""),
)
_REFERS = re.compile(
    rf"^\s*(?:(?:according to|as (?:stated|reported|mentioned) in|based on|in|согласно|по данным|laut|según|selon|根据)"
    rf"(?:\s+the)?\s*(?:{_LABEL}{_RANGE}|passages?)?)\s*[,，:]\s*",
    re.IGNORECASE,
)
_EMPTY = re.compile(r"[(\[]\s*[)\]]|^\s*(?:answer|ответ|antwort|respuesta|réponse|回答)\s*[:：]", re.IGNORECASE)
_ONLY_LABEL = re.compile(
    r"(?:sources?|references?|answer|источники?|ответ|quellen?|fuentes?|来源|参考)\W*", re.IGNORECASE
)


class ClaimStream:
    """Gives the sentences of an answer while it is being written, each as soon as it is known to be whole."""

    def __init__(self, language: str, passages: int) -> None:
        """Expect an answer in ``language`` to a prompt with so many passages."""
        self._language = language
        self._passages = passages
        self._text = ""
        self._given = 0

    def take(self, piece: str) -> list[Claim]:
        """Give the sentences that ``piece`` completes: the last one never is, for its markers may follow."""
        self._text += piece
        if not re.search(r"[.!?…。！？\n]", piece):
            return []
        return self._new(claims_of(_OPEN_MARKER.sub("", self._text), self._language, self._passages)[:-1])

    def end(self) -> list[Claim]:
        """Give the sentences that are left."""
        return self._new(claims_of(self._text, self._language, self._passages))

    @property
    def is_full(self) -> bool:
        """Whether nothing that follows would be read."""
        return self._given >= _MOST_CLAIMS or len(self._text) >= _LONGEST

    @property
    def is_whole(self) -> bool:
        """Whether the last sentence seems to have its end."""
        return bool(re.search(r"[.!?…。！？\]】)]\s*\Z", self._text))

    def _new(self, claims: list[Claim]) -> list[Claim]:
        new = claims[self._given : _MOST_CLAIMS]
        self._given += len(new)
        return new


def claims_of(answer: str, language: str, passages: int) -> list[Claim]:
    """Cut a model's answer into sentences and read the markers of each, whatever their form.

    Markers stand within a sentence, after it, or open its line; such as name no passage are dropped, and so are a
    sentence said before, markup, and the word for "not found". A sentence without any marker names no passages.

    Args:
        answer: as the model wrote it.
        language: that it was asked to write in.
        passages: how many the prompt had.
    """
    text = _THOUGHT.sub("", _shown(answer[:_LONGEST]))
    for pattern, instead in _MARKUP:
        text = pattern.sub(instead, text)
    plain, markers = _without_markers(text, passages)
    claims: dict[str, Claim] = {}
    start = 0
    for end, sentence in _sentences(plain, language):
        named = tuple(dict.fromkeys(number for at, number in markers if start <= at < end))
        start = end
        said = _REFERS.sub("", " ".join(_EMPTY.sub("", sentence).split()))
        if any(map(str.isalnum, said)) and not _ONLY_LABEL.fullmatch(said) and not is_refusal(said):
            claims.setdefault(said.casefold(), Claim(said, language, named))
    return list(claims.values())


def _shown(text: str) -> str:
    """Leave out what a terminal would obey, half characters, and most of long white space."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in text.encode("utf-8", "replace").decode())
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" {3,}", "  ", printable))


def is_refusal(text: str) -> bool:
    """Tell whether a text has the word for "not found", in any spelling."""
    return NOT_FOUND.replace("_", "") in re.sub(r"[\W_]", "", text).upper()


def _sentences(plain: str, language: str) -> Iterator[tuple[int, str]]:
    """Give each sentence with the place before which a marker is its own: up to the next line or the next sentence."""
    spans = list(sentence_spans(plain, language))
    for place, (start, end) in enumerate(spans):
        following = spans[place + 1][0] if place + 1 < len(spans) else len(plain) + 1
        line_end = plain.find("\n", end, following)
        yield line_end + 1 if line_end >= 0 else following, plain[start:end]


def _without_markers(text: str, passages: int) -> tuple[str, list[tuple[int, int]]]:
    """Take the markers out; give the text, and of each number where in it it stood."""
    parts, markers = list[str](), list[tuple[int, int]]()
    done = length = 0
    for match in sorted([*_MARKER.finditer(text), *_ROUND.finditer(text)], key=lambda match: match.start()):
        numbers = [number for number in _listed(match[1]) if 1 <= number <= passages]
        if match.start() < done or (match.re is _ROUND and not numbers):
            continue
        parts.append(text[done : match.start()])
        length += match.start() - done
        done = match.end()
        markers += [(length, number) for number in numbers]
    return "".join([*parts, text[done:]]), markers


def _listed(numbers: str) -> Iterator[int]:
    for low, high in re.findall(r"(\d{1,2})(?:\s*[-–]\s*(\d{1,2}))?", numbers):
        yield from range(int(low), int(high or low) + 1)
