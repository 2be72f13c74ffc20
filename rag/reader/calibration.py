"""From the reader's logits to one order of passages and one probability; fitted by ``eval/fit_reader.py``.

Fitted on question-answer pairs that no reported figure uses. The reader's second training held them back; its first
held back by question rather than by article, and may have met some of their articles in translation.
"""

import math

from rag.types import Reading

# Weights of the two logits, of the retrieval score, and of being in another language than the question, where readings
# are lower for the same truth.
_RELEVANCE, _MARGIN, _SCORE, _FOREIGN = 0.646, 0.074, 6.444, -0.318
_SLOPE, _INTERCEPT = 0.867, -6.646  # Platt scaling of the best passage's weight


def logit(reading: Reading) -> float:
    """Give one number for how much speaks for a passage's holding the answer, from reading it alone."""
    return _RELEVANCE * reading.relevance + _MARGIN * reading.margin


def evidence(reading: Reading, score: float, is_foreign: bool) -> float:
    """Give what orders the passages of a question.

    Args:
        reading: of the passage.
        score: that it was retrieved with.
        is_foreign: whether the passage is in another language than the question.
    """
    return logit(reading) + _SCORE * score + _FOREIGN * is_foreign


def probability(weight: float) -> float:
    """Give the probability (0..1) that the quote from a passage with this `evidence` answers the question."""
    return 1 / (1 + math.exp(-(_SLOPE * weight + _INTERCEPT)))
