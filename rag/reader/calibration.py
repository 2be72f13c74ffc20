"""From the reader's logits to one order of passages and one probability; fitted by ``eval/fit_reader.py``.

Fitted on held-back question-answer pairs that the reader was not trained on and no reported figure uses.
"""

import math

from rag.types import Reading

_RELEVANCE, _MARGIN, _SCORE = 0.816, 0.039, 11.711  # weights of the logits and of the retrieval score
_SLOPE, _INTERCEPT = 0.777, -9.743  # Platt scaling of the best passage's weight


def logit(reading: Reading) -> float:
    """Give one number for how much speaks for a passage's holding the answer, from reading it alone."""
    return _RELEVANCE * reading.relevance + _MARGIN * reading.margin


def evidence(reading: Reading, score: float) -> float:
    """Give what orders the passages of a question: the reading's logit and the score they were retrieved with."""
    return logit(reading) + _SCORE * score


def probability(weight: float) -> float:
    """Give the probability (0..1) that the quote from a passage with this `evidence` answers the question."""
    return 1 / (1 + math.exp(-(_SLOPE * weight + _INTERCEPT)))
