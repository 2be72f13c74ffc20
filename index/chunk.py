"""Articles to passages: whole sentences, sized in the embedding model's own tokens, with exact offsets."""

import re
from collections.abc import Callable, Sequence

from index.language import UNKNOWN, detect, sentence_spans
from index.types import Article, Span

CountTokens = Callable[[Sequence[str]], list[int]]

TARGET_TOKENS = 200  # a passage holds about one thought; see eval/LOG.md for what other sizes gave
_CLOSE_AT = 0.6  # of the target: past this, a paragraph's end closes the passage
_SHORTEST = 0.2  # of the target: a last passage shorter than this joins the one before
_LONGEST_TITLE = 160  # characters of it that are embedded: the passage has to have room
_SOFT_BREAK = re.compile(r"[;:,，、；：]\s*|\s+")


def passage_input(title: str, text: str) -> str:
    """Give what is embedded for a passage: the title for context, then the passage.

    The title never enters the offsets, and is left out where the passage begins with it already.
    """
    return text if not title or text.startswith(title.rstrip("…")) else f"{title[:_LONGEST_TITLE]}. {text}"


def chunk(article: Article, count_tokens: CountTokens, max_tokens: int, target: int = TARGET_TOKENS) -> list[Span]:
    """Split an article into passages of about ``target`` tokens.

    Each is ``article.text[start:end]``, begins and ends at a sentence's edge, and prefers to end with a paragraph.
    Only a "sentence" too long for the model (a page with no punctuation) is cut, between clauses or words.

    Args:
        article: its text is what the offsets point into.
        count_tokens: the embedding model's own count.
        max_tokens: the model's longest input; some of it is left for the title.
        target: wanted length of a passage in tokens.
    """
    target = min(target, max_tokens)
    room = max(target, max_tokens - 16 - count_tokens([article.title[:_LONGEST_TITLE]])[0])
    pieces = _sized_sentences(article, count_tokens, room)
    spans: list[tuple[int, int, int]] = []  # start, end, tokens
    for start, end, size, opens_paragraph in pieces:
        if spans:
            first, _, held = spans[-1]
            is_full = held + size > target or (opens_paragraph and held >= _CLOSE_AT * target)
            if not is_full:
                spans[-1] = (first, end, held + size)
                continue
        spans.append((start, end, size))
    if len(spans) > 1 and spans[-1][2] < _SHORTEST * target and spans[-2][2] + spans[-1][2] <= room:
        (first, _, held), (_, end, size) = spans[-2], spans.pop()
        spans[-1] = (first, end, held + size)
    return [Span(start, end, _language(article, start, end)) for start, end, _ in spans]


def _language(article: Article, start: int, end: int) -> str:
    """Name the passage's own language; a passage too short to tell has its article's."""
    if end - start < 40:
        return article.language
    found = detect(article.text[start:end])
    return article.language if found == UNKNOWN else found


def _sized_sentences(article: Article, count_tokens: CountTokens, room: int) -> list[tuple[int, int, int, bool]]:
    """Give (start, end, tokens, opens a paragraph) for each sentence; what exceeds ``room`` comes in pieces."""
    text = article.text
    spans = list(sentence_spans(text, article.language))
    sizes = count_tokens([text[a:b] for a, b in spans])
    sized: list[tuple[int, int, int, bool]] = []
    previous = 0
    for (start, end), size in zip(spans, sizes, strict=True):
        opens = start == 0 or "\n" in text[previous:start]
        if size <= room:
            sized.append((start, end, size, opens))
        else:
            for a, b, tokens in _fitting_pieces(text, start, end, count_tokens, room):
                sized.append((a, b, tokens, opens and a == start))
        previous = end
    return sized


def _fitting_pieces(
    text: str, start: int, end: int, count_tokens: CountTokens, room: int
) -> list[tuple[int, int, int]]:
    """Cut ``text[start:end]`` into pieces of at most ``room`` tokens: (start, end, tokens)."""
    size = count_tokens([text[start:end]])[0]
    if size <= room or end - start == 1:
        return [(start, end, size)]
    longest = max(1, (end - start) * room // (2 * size))
    pieces = _cut(text, start, end, longest)
    sizes = count_tokens([text[a:b] for a, b in pieces])
    fitting: list[tuple[int, int, int]] = []
    for (a, b), tokens in zip(pieces, sizes, strict=True):
        fitting += [(a, b, tokens)] if tokens <= room else _fitting_pieces(text, a, b, count_tokens, room)
    return fitting


def _cut(text: str, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    """Cut ``text[start:end]`` into pieces of at most ``longest`` characters, at commas or spaces if there are any."""
    pieces = []
    while end - start > longest:
        breaks = [m.end() for m in _SOFT_BREAK.finditer(text, start + longest // 2, start + longest)]
        stop = breaks[-1] if breaks else start + longest
        pieces.append((start, stop))
        start = stop
    pieces.append((start, end))
    trimmed = [(b - len(text[a:b].lstrip()), a + len(text[a:b].rstrip())) for a, b in pieces]
    return [(a, b) for a, b in trimmed if a < b]
