"""Does each sentence stand on the passage that it cites? Checked before it is shown as supported.

The passage must hold a quote of one to three sentences that has the sentence's numbers, dates and proper names, in
whatever form, that denies what it denies, and that says it: every word of the sentence is matched by meaning with the
quote's words, across languages (see `rag.alignment`). What lacks any of these is not supported, and why is said.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from index.language import detect, sentence_spans
from rag.alignment import Alignment, Floats, Integers, Span, TokenEmbedder, Tokens, align, likeness
from rag.injection import is_untrusted
from rag.names import begin_alike, names, places_of
from rag.negation import denials, refuted, unpaired_denials
from rag.quantities import Quantity, compatible, month, quantities, states
from rag.types import Citation, Claim, Hit, Sentence, Verdict

_MOST_SENTENCES = 3  # of a quote
_LONGER = 0.01  # of cosine: what a further sentence has to add to be quoted
_LACKING = 0.005  # of cosine: what a quote that lacks a number or name has to make up for
_BESIDE = 10  # words between a number or name and what stands beside it in the claim, at most
_NAMED, _NAMED_ABROAD = 0.9, 0.76  # cosine from which a name is the source's in other letters; in another language
_NAMED_ALIKE = 0.72  # the same where the two begin alike
_GAIN = (
    -0.002,
    0.005,
)  # of likeness: leaving out a denial may not bring the texts this much nearer; nor an implied one
# Cosines that all words together, the fifth of them that is matched worst, and both texts with each other have to
# reach; fitted on eval/data/claims_dev.jsonl and what tests/injections.jsonl invents. Lower in another language.
_LEAST = ((0.76, 0.73), (0.65, 0.63), (0.845, 0.78))
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\b[a-z0-9-]{2,}(?:\.[a-z0-9-]{2,})*\.[a-z]{2,}\b", re.IGNORECASE)
_LONGEST = 1000  # characters of a claim: the embedder does not see what is beyond
_OPENING = re.compile(r"\W*([^\W\d_]{4,})")
_NO_NUMBER = re.compile(r":00\Z|[A-Za-z]\d+\Z")  # the minutes of 23:00; a line's or a road's name, such as L9
_NO_MONTHS = {"may", "march", "mars", "Mars", "jan", "Jan", "Ян", "set", "out", "mart"}
_CLOSEST = 3  # passages that are looked at for a sentence that names none
_REMEMBERED = 512  # passages


class Verifier:
    """Checks sentences against the passages that they cite. Safe to share between threads."""

    def __init__(self, embedder: TokenEmbedder) -> None:
        """Compare meanings by ``embedder``."""
        self._embedder = embedder
        self._known: OrderedDict[str, Tokens] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, claims: Sequence[Claim], hits: Sequence[Hit]) -> list[Sentence]:
        """Give each claim with the quotes that support it, or with why there are none.

        A claim that names no passage may stand on any.

        Args:
            claims: their ``passages`` count from 1 into ``hits``.
            hits: as they stood in the prompt.
        """
        cited = [[hits[n - 1] for n in claim.passages if 1 <= n <= len(hits)] or list(hits) for claim in claims]
        passages = self._passages([hit.text for some in cited for hit in some])
        tokens = self._tokens([claim.text for claim in claims])
        return [self._checked(c, t, some, passages) for c, t, some in zip(claims, tokens, cited, strict=True)]

    def read_ahead(self, hits: Sequence[Hit]) -> None:
        """Embed passages that sentences will be checked against, while a chat model is still at work."""
        self._passages([hit.text for hit in hits])

    def _passages(self, texts: Sequence[str]) -> dict[str, Tokens]:
        with self._lock:
            known = {text: self._known[text] for text in texts if text in self._known}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        made = dict(zip(new, self._tokens(new), strict=True))
        with self._lock:
            self._known.update(made)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known | made

    def _checked(self, claim: Claim, tokens: Tokens, hits: Sequence[Hit], passages: dict[str, Tokens]) -> Sentence:
        language = detect(claim.text)
        pairs = [pair for hit in hits if (pair := _paired(tokens, language, passages[hit.text], hit))]
        pairs.sort(key=lambda pair: -pair.nearness)
        verdicts = [(pair, *self._verdict(pair)) for pair in pairs[: len(claim.passages) or _CLOSEST]]
        supporting = [pair for pair, verdict, _ in verdicts if verdict == "supported"][: len(claim.passages) or 1]
        if supporting:
            return Sentence(claim.text, tuple(pair.hit.cite(pair.span, pair.span) for pair in supporting), "supported")
        if not verdicts:
            return Sentence(claim.text, (), "no source")
        return Sentence(claim.text, (), *verdicts[0][1:])

    def _verdict(self, pair: "_Pair") -> tuple[Verdict, str]:
        if number := pair.other_number():
            return "other number", number
        if name := pair.other_name() or pair.other_address():
            return "other name", name
        if len(pair.claim) > _LONGEST:
            return "other meaning", ""
        (quote,) = self._tokens([pair.quote])  # on its own: beside its neighbours it takes on what they are about
        alike = likeness(pair.claim_tokens, quote)
        matched = (pair.nearness, pair.worst, alike)
        if any(value < least[pair.is_foreign] for value, least in zip(matched, _LEAST, strict=True)):
            return "other meaning", ""
        if denied := self._contradiction(pair, quote, alike):
            return "negation", denied
        return "supported", ""

    def _contradiction(self, pair: "_Pair", quote: Tokens, alike: float) -> str:
        """Give a denial without which claim and quote would be nearer to each other."""
        if word := refuted(pair.claim, pair.closest):
            return word
        in_claim, in_quote = unpaired_denials(pair.claim, pair.passage, pair.alignment, pair.run)
        if not in_claim and not in_quote:
            return ""
        rests = self._tokens([unpaired.rest for unpaired in [*in_claim, *in_quote]])
        for unpaired, rest in zip([*in_claim, *in_quote], rests, strict=True):
            nearer = likeness(rest, quote) if unpaired in in_claim else likeness(pair.claim_tokens, rest)
            if nearer - alike > _GAIN[unpaired.is_implied]:
                return unpaired.word
        return ""

    def _tokens(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens(text, *found) for text, found in zip(texts, self._embedder.embed_tokens(texts), strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A claim beside the best quote of a passage."""

    claim_tokens: Tokens
    hit: Hit
    is_foreign: bool  # whether they are in two languages
    alignment: Alignment
    run: slice  # of the passage's sentences
    stated: list[Quantity]
    named: list[Span]
    scores: Floats  # (words,) of the claim, how well the quote matches each
    partners: Integers  # (words,) by which word of the passage

    @property
    def claim(self) -> str:
        return self.claim_tokens.text

    @property
    def passage(self) -> str:
        return self.hit.text

    @property
    def span(self) -> Span:
        return self.alignment.sentences[self.run.start][0], self.alignment.sentences[self.run.stop - 1][1]

    @property
    def quote(self) -> str:
        return self.passage[slice(*self.span)]

    @property
    def closest(self) -> str:
        """The sentence of the quote that matches best."""
        best = int(self.alignment.scores[:, self.run].mean(axis=0).argmax()) + self.run.start
        return self.passage[slice(*self.alignment.sentences[best])]

    @property
    def nearness(self) -> float:
        return float(self.scores.mean())

    @property
    def worst(self) -> float:
        return float(np.sort(self.scores)[: max(1, len(self.scores) // 5)].mean())

    def other_number(self) -> str:
        """Give a number or date of the claim that the quote does not have, or has of something else."""
        for stated in self.stated:
            places = [q.start for q in quantities(self.quote) if compatible(stated, q)]
            is_stated = states(stated, self.quote, self.hit.article.published)
            if not is_stated or not self._is_beside(stated.start, places):
                return self.claim[stated.start : stated.end]
        known = {number for _, number in _months(self.quote)}
        return next((self.claim[a:b] for (a, b), number in self.months if number not in known), "")

    def other_name(self) -> str:
        """Give a name of the claim that the quote does not have, or has elsewhere."""
        for start, end in self.named:
            name = self.claim[start:end]
            places = [place for place, _ in places_of(name, self.quote)]
            if not self._is_beside(start, places) or (not places and not self._is_named(start, name)):
                return name
        return self._other_opening()

    def _other_opening(self) -> str:
        """Give the word that opens the claim, if it stands in place of a name of the quote."""
        opening = _OPENING.match(self.claim)
        if opening is None or not opening[1][0].isupper() or places_of(opening[1], f"{self.subject}\n{self.passage}"):
            return ""
        word = self.alignment.word(opening.start(1))
        replaced = _OPENING.match(self.passage, self.alignment.places[self.partners[word]])
        is_name = replaced is not None and re.search(rf"[^\W\d_],?\s{re.escape(replaced[1])}\b", self.hit.article.text)
        least = _NAMED_ABROAD if self.is_foreign else _NAMED
        return opening[1] if is_name and replaced and replaced[1][0].isupper() and self.scores[word] < least else ""

    def other_address(self) -> str:
        """Give an address of the claim that the quote does not have: what is shown may be followed."""
        return next((found[0] for found in _ADDRESS.finditer(self.claim) if found[0] not in self.quote), "")

    def _is_named(self, start: int, name: str) -> bool:
        """Tell whether a name that the quote does not have is its article's subject, or the quote's in other words."""
        word = self.alignment.word(start)
        score, partner = self.scores[word], self.alignment.places[self.partners[word]]
        is_translated = score >= (_NAMED_ABROAD if self.is_foreign else _NAMED)
        is_alike = self.is_foreign and score >= _NAMED_ALIKE and begin_alike(name, self.passage, partner)
        return is_translated or is_alike or bool(places_of(name, self.subject))

    @property
    def months(self) -> list[tuple[Span, int]]:
        """The months that the claim names outside dates."""
        return [found for found in _months(self.claim) if not any(q.start <= found[0][0] < q.end for q in self.stated)]

    @property
    def subject(self) -> str:
        """Title and first sentence of the article: who or what a quote may only call "the company"."""
        article = self.hit.article
        start, end = next(sentence_spans(article.text, article.language), (0, 0))
        return f"{article.title}\n{article.text[start:end]}"

    def _is_beside(self, start: int, places: Sequence[int]) -> bool:
        """Tell whether any of some places in the quote is near what matches the words about a place in the claim."""
        word, shift = self.alignment.word(start), self.span[0]
        near = [*self.partners[max(0, word - 2) : word], *self.partners[word + 1 : word + 3]]  # its own is no witness
        found = [self.alignment.place(shift + place) for place in places]
        return not found or any(abs(int(partner) - place) <= _BESIDE for partner in near for place in found)


def _paired(claim: Tokens, language: str, passage: Tokens, hit: Hit) -> _Pair | None:
    """Choose the quote: the sentences that match best, with all numbers and names if there are such."""
    alignment = align(claim, passage, hit.passage.language)
    if alignment is None:
        return None
    sentences = [passage.text[start:end] for start, end in alignment.sentences]
    stated = [q for q in quantities(claim.text) if not _NO_NUMBER.search(claim.text[: q.end], max(0, q.start - 1))]
    named = [(a, b) for a, b in names(claim.text, language) if not any(a < q.end and b > q.start for q in stated)]
    has = np.array(
        [
            *([states(quantity, text, hit.article.published) for text in sentences] for quantity in stated),
            *([bool(places_of(claim.text[a:b], text)) for text in sentences] for a, b in named),
        ],
        bool,
    ).reshape(-1, len(sentences))

    denying = {alignment.word(start) for start, _ in denials(claim.text)}  # a "not" alone is no reason to quote more
    telling = [n for n in range(len(alignment.words)) if n not in denying] or [0]

    def worth(run: slice) -> float:
        lacking = int((~has[:, run].any(axis=1)).sum())
        nearness = float(alignment.within(run)[0][telling].mean())
        return nearness - _LONGER * int(run.stop - run.start) - _LACKING * lacking

    run = max(_runs(alignment, hit), key=worth, default=None)
    if run is None:
        return None
    return _Pair(claim, hit, language != hit.passage.language, alignment, run, stated, named, *alignment.within(run))


def _runs(alignment: Alignment, hit: Hit) -> Iterator[slice]:
    """Give the runs of sentences that may be quoted: none that speaks to a language model."""
    text, shift, spans = hit.article.text, hit.passage.start, alignment.sentences
    quotable = [not is_untrusted(text, shift + start, shift + end) for start, end in spans]
    for first in range(len(spans)):
        for stop in range(first + 1, min(first + _MOST_SENTENCES, len(spans)) + 1):
            if all(quotable[first:stop]):
                yield slice(first, stop)


def _months(text: str) -> list[tuple[Span, int]]:
    """Give the words that name a month, and which; but for such as are mostly other words or names."""
    words = [word for word in re.finditer(r"[^\W\d_]{3,}", text) if word[0] not in _NO_MONTHS]
    return [(word.span(), number) for word in words if (number := month(word[0]))]


def is_verbatim(citation: Citation, hits: Sequence[Hit]) -> bool:
    """Tell whether a quote stands, letter by letter, at its offsets in an article that was found."""
    c = citation
    text = next((hit.article.text for hit in hits if hit.article.id == c.article_id), "")
    return bool(c.quote) and text[c.start : c.end] == c.quote and c.start <= c.answer_start < c.answer_end <= c.end
