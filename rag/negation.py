"""Does a sentence deny what its source says, or say what its source denies?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.alignment import Alignment, Span

_DENIES = re.compile(
    r"""\b(?:no\s+longer|больше\s+не|nicht\s+mehr|ya\s+no|not|n['’]t|\w+n['’]t|never|no|none|nobody|nothing|nowhere|neither|nor|without|cannot
    |не|ни|нет|нету|никогда|никто|никого|никому|никем|ничто|ничего|ничему|нигде|никуда|никак\w*|без|нельзя
    |ні|немає|ніхто|нічого|ніколи
    |nicht|nichts|nie|niemals|niemand\w*|kein\w*|nirgend\w*|weder|ohne
    |nunca|jamás|nadie|nada|ning[úu]n\w*|ni|sin|tampoco
    |pas|jamais|aucun\w*|rien|sans
    |non|nessun\w*|senza|não|nenhum\w*|sem|bez|żaden|żadn\w*
    )\b|不|没|沒|未|无|無|非(?!洲|常)|ない|なかった|ません""",
    re.IGNORECASE | re.VERBOSE,
)
_DENIES_NOTHING = re.compile(
    r"""\A\W*(?:no|нет|nein|non|不|не)\s*[,，—–-]|\bnot\s+only|\b(?:no|not|не|nicht|pas)\s+(?:later|earlier|fewer|less|more|менее|меньше|более|больше|позже|позднее
    |раньше|ранее|mehr\s+als|weniger|plus|moins|menos|más)\b|\bnon-\w|\bне\s+(?:только|просто)|\bnicht\s+nur|\bno\s+s[oó]lo|\bnon\s+seulement
    |不仅|不但|不过|不同|不断|不久|不少于|不超过|不到|无锡|无人|无轨|无线|\bno\.?\s?\d""",
    re.IGNORECASE | re.VERBOSE,
)
_IMPLIES = re.compile(  # words that deny in their own way, by their beginnings
    r"""\b(?:refus|reject|fail|lack|unable|cancel|den(?:y|ied)|exclu|exempt|forbid|prohibit|ban(?:s|ned)?\b|abandon|dropp|avoid
    |instead|rather|too\b|only|until|yet\b|same|unchanged|clos(?:e|ed|ing)\b|absen|missing|halt|stop|ceas|lost|los(?:e|ing)\b
    |rule[sd]?\s+out|left\s+out|stepped\s+down|postpon|remain|below|wait|free\b|former|voluntar|consider|empty|hardly|barely|rarely
    |отказ|отмен|отклон|исключ|запре|лиш|отсутств|невозмож|вместо|избе[жг]|освобо|сохран|остан?[её]?тся|остал|ниже|добровол
    |бесплат|закры|прекра|останов|только|прежн|пока\b|впервые|кроме|меньше|слишком|едва|редко|трудно|потер|утра[тч]|сня[тл]|пуст
    |verweiger|abgelehnt|ausgeschloss|fehl|verzicht|statt|entfäll|verbot|bleib|höchstens|befrei|nur\b|erst\b|gratis|kostenlos
    |rechaz|excl|exent|falta|carec|prohib|impos|solo\b|sólo|gratis|gratuit|hasta|todavía|renunci
    |manqu|interdi|annul|seul|gratuit)\w*|除|禁|拒|仍|免|只|才|尚""",
    re.IGNORECASE | re.VERBOSE,
)
_REFUTES = re.compile(
    r"""\b(?:den(?:y|ies|ied)\s+that|denied\s+(?:claims|reports|rumours?)|untrue|false(?:ly)?\b|not\s+true|rumou?rs?|hoax|allege|accus|myth\b
    |fake|whether|in\s+the\s+(?:novel|film|play|game)|опроверг|неправд|ложн|ложь|слух|якобы|фейк|будто|миф\b|обвин
    |falsch|gerücht|angeblich|bestreit|dementier|unwahr|bulo|fals[oa]\b|desmint|desmient|rumor|supuest|faux\b|rumeur|dément|prétendu)\w*
    |否认|谣言|不实|虚假|辟谣""",
    re.IGNORECASE | re.VERBOSE,
)
_NEAR = 3  # words between a denial and the match of what stands beside its counterpart, at most
_MATCHED = 0.76  # cosine from which a word of the claim says what a denied word of the source says


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A denial without a counterpart: its text without it, and whether the other has a word that may stand for one."""

    word: str
    rest: str
    is_implied: bool


def unpaired_denials(
    claim: str, source: str, alignment: Alignment, run: slice
) -> tuple[list[Unpaired], list[Unpaired]]:
    """Find the denials of a claim and of its quote that have no counterpart in the other.

    A counterpart stands near the words that are matched with the denial's neighbours. What the quote denies but the
    claim does not speak of needs none. Whether such a denial changes the meaning is for a comparison of meanings to
    tell: "refused" may stand for it.

    Args:
        claim: the sentence.
        source: the passage.
        alignment: of the two.
        run: the sentences of the passage that are the quote.
    """
    start, end = alignment.sentences[run.start][0], alignment.sentences[run.stop - 1][1]
    quote = source[start:end]
    scores, partners = alignment.within(run)
    ours = [(span, alignment.word(span[0])) for span in denials(claim)]
    theirs = [(span, alignment.place(start + span[0])) for span in denials(quote)]
    implied = [alignment.place(start + match.start()) for match in _IMPLIES.finditer(quote)]
    implied_by_claim = [alignment.word(match.start()) for match in _IMPLIES.finditer(claim)]

    def is_beside(own: int, others: Sequence[int]) -> bool:
        beside = [int(partners[n]) for n in range(max(0, own - 2), min(len(partners), own + 4)) if n != own]
        return any(abs(partner - other) <= _NEAR for partner in beside for other in others)

    def denied_words(other: int) -> list[int]:
        return [n for n, p in enumerate(partners) if 0 < abs(p - other) <= 2 and scores[n] >= _MATCHED]

    def is_near(words: list[int], others: Sequence[int]) -> bool:
        return any(abs(word - other) <= _NEAR + 1 for word in words for other in others)

    in_claim = [
        Unpaired(claim[slice(*span)], _without(claim, span), is_beside(own, implied))
        for span, own in ours
        if not is_beside(own, [place for _, place in theirs])
    ]
    in_quote = [
        Unpaired(quote[slice(*span)], _without(quote, span), is_near(words, implied_by_claim))
        for span, other in theirs
        if (words := denied_words(other)) and not is_near(words, [own for _, own in ours])
    ]
    return in_claim, in_quote


def refuted(claim: str, quote: str) -> str:
    """Give the word by which a quote calls untrue, or leaves open, what it tells of, if the claim has no such word."""
    word = _REFUTES.search(quote)
    return word[0] if word and not _REFUTES.search(claim) and not denials(claim) else ""


def denials(text: str) -> list[Span]:
    """Give the words that deny, as spans; an opening "No, …" answers and denies nothing."""
    plain = _DENIES_NOTHING.sub(lambda match: " " * len(match.group()), text)
    return [match.span() for match in _DENIES.finditer(plain)]


def _without(text: str, span: Span) -> str:
    return (
        " ".join(f"{text[: span[0]]} {text[span[1] :]}".split()) if " " in text else text[: span[0]] + text[span[1] :]
    )
