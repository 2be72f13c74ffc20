"""Measures of answers, and of how well their confidence tells right from wrong; with intervals by the bootstrap.

Exact match and F1 are those of SQuAD 1.1 (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250), carried to other
languages as MLQA does (Lewis et al. 2020, https://arxiv.org/abs/1910.07475): punctuation is told by its Unicode
category, and in Chinese every Han character is a word, while a number or a Latin word stays one. Unlike MLQA, articles
are dropped in English alone.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Statistic = Callable[[Rows], float]

_ARTICLES = {"en": {"a", "an", "the"}}
_UNSPACED = {"zh"}
_HAN = re.compile(r"([\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
_ASCII_SYMBOLS = set("$+<=>^`|~")  # of no category of punctuation, but SQuAD drops them with it
_RESAMPLES = 1000
_CONFIDENCE = 95  # percent


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, the 95 % interval that it lies in, and how many cases it is made of."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        """Write it as ``.812 [.790, .833]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Operating:
    """What comes of answering from a threshold on: the share answered, and the share of those that is right."""

    threshold: float
    coverage: float
    precision: float  # NaN where nothing is answered


# Answers


def normalise(text: str, language: str) -> list[str]:
    """Give the words that two answers are compared by: lower case, no punctuation, no English articles."""
    kept = "".join(c for c in text.lower() if not (unicodedata.category(c).startswith("P") or c in _ASCII_SYMBOLS))
    if language in _UNSPACED:
        kept = _HAN.sub(r" \1 ", kept)
    return [word for word in kept.split() if word not in _ARTICLES.get(language, ())]


def exact_match(answer: str, right: Sequence[str], language: str) -> float:
    """Tell whether an answer is one of the right ones: 1 or 0."""
    words = normalise(answer, language)
    return float(any(words == normalise(other, language) for other in right))


def token_f1(answer: str, right: Sequence[str], language: str) -> float:
    """Give the F1 (0..1) of the words that an answer shares with a right one, the most over all right ones."""
    words = normalise(answer, language)
    return max((_f1(words, normalise(other, language)) for other in right), default=0.0)


def _f1(words: list[str], others: list[str]) -> float:
    shared = sum((Counter(words) & Counter(others)).values())
    return 2 * shared / (len(words) + len(others)) if shared else 0.0


# Confidence


def auroc(scores: Floats, positive: Truths) -> float:
    """Give how often a positive scores above a negative, ties counting half (Mann-Whitney); NaN without both."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1; those of equals are their mean
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def operating_points(confidence: Floats, right: Truths, thresholds: Sequence[float]) -> list[Operating]:
    """Give coverage and precision at each threshold; a case is answered if its confidence reaches it."""
    points = []
    for threshold in thresholds:
        answered = confidence >= threshold
        precision = float(right[answered].mean()) if answered.any() else math.nan
        points.append(Operating(threshold, float(answered.mean()), precision))
    return points


def area_under_risk(confidence: Floats, right: Truths) -> float:
    """Give the area under the risk-coverage curve, 0 at best: the share of wrong answers, mean over all coverages.

    Cases are answered from the most confident on (Geifman & El-Yaniv 2017, https://arxiv.org/abs/1705.08500); equally
    confident ones count as their mean, so that no order among them helps.
    """
    _, place, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(place, weights=right) / counts, counts)
    return float(1 - (np.cumsum(expected) / np.arange(1, len(expected) + 1)).mean())


# Intervals


def estimate(statistic: Statistic, clusters: Sequence[int], *, resamples: int = _RESAMPLES, seed: int = 7) -> Estimate:
    """Give a statistic with its 95 % interval: percentiles over cases drawn anew, whole clusters at a time.

    Args:
        statistic: of the cases whose rows it is given, some of them several times.
        clusters: of each case: those of one article are no independent evidence.
        resamples: how often cases are drawn.
        seed: of the draws.
    """
    _, place, counts = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(counts)[:-1])
    chance = np.random.default_rng(seed)
    draws = (chance.integers(len(members), size=len(members)) for _ in range(resamples))
    drawn = np.array([statistic(np.concatenate([members[i] for i in draw])) for draw in draws])
    known = drawn[~np.isnan(drawn)]
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(known, (tail, 100 - tail)) if len(known) else (math.nan, math.nan)
    return Estimate(statistic(np.arange(len(place))), float(low), float(high), len(place))


def mean_of(values: Sequence[float]) -> Statistic:
    """Give the mean of one value a case as a statistic for `estimate`."""
    array = np.asarray(values, np.float64)
    return lambda rows: float(array[rows].mean())


def share(count: int, total: int) -> Estimate:
    """Give the share of independent cases that something is true of, with Wilson's interval; NaN without cases.

    Wilson 1927 (https://doi.org/10.1080/01621459.1927.10502953): right also near 0 and 1, and for few cases.
    """
    if not total:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value, z = count / total, NormalDist().inv_cdf((1 + _CONFIDENCE / 100) / 2)
    centre = (value + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(value * (1 - value) / total + z**2 / (4 * total**2))
    return Estimate(value, max(0.0, centre - half), min(1.0, centre + half), total)
