"""Measures of answers, and of how well their confidence tells right from wrong; with intervals by the bootstrap.

Exact match and F1 are those of SQuAD 1.1 (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250), carried to other
languages as MLQA does (Lewis et al. 2020, https://arxiv.org/abs/1910.07475): punctuation is told by its Unicode
category, and every character of Chinese, Japanese and Thai is a word, while a number or a Latin word stays one. Unlike
MLQA, articles are dropped in English alone.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pymorphy3 import MorphAnalyzer

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Statistic = Callable[[Rows], float]

_ARTICLES = {"en": {"a", "an", "the"}}
_UNSPACED = re.compile(  # Thai, kana, Han
    r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}([ \u00a0\u2009\u202f,.])\d{3}(?:\1\d{3})*(?!\d)")
_DECIMAL = re.compile(r"(?<![\d.,])(\d+)[.,](\d+)(?![.,]?\d)")
_POINT = "\ufdd0"  # no character of any text
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_ASCII_SYMBOLS = set("$+<=>^`|~")  # of no category of punctuation, but SQuAD drops them with it
_RESAMPLES = 1000
_SEED = 7
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
    """Give the words that two answers are compared by: lower case, no punctuation, no English articles.

    Numbers are written in one way, unlike in SQuAD, where 3.1 is 31: «1 200» and 1.200 are 1,200, and «3,1» is 3.1.
    """
    joined = _THOUSANDS.sub(lambda number: number[0].replace(number[1], ""), text.lower())
    whole = _DECIMAL.sub(rf"\1{_POINT}\2", joined)
    kept = "".join(c for c in whole if not (unicodedata.category(c).startswith("P") or c in _ASCII_SYMBOLS))
    spaced = _UNSPACED.sub(r" \1 ", kept.replace(_POINT, "."))
    return [word for word in spaced.split() if word not in _ARTICLES.get(language, ())]


def exact_match(answer: str, right: Sequence[str], language: str) -> float:
    """Tell whether an answer is one of the right ones: 1 or 0."""
    words = normalise(answer, language)
    return float(any(words == normalise(other, language) for other in right))


def token_f1(answer: str, right: Sequence[str], language: str) -> float:
    """Give the F1 (0..1) of the words that an answer shares with a right one, the most over all right ones."""
    words = normalise(answer, language)
    return max((_f1(words, normalise(other, language)) for other in right), default=0.0)


def contains(text: str, part: str, language: str) -> bool:
    """Tell whether the words of ``part`` stand in ``text``, in one piece.

    So DrQA and DPR tell whether a passage holds an answer (Karpukhin et al. 2020, https://arxiv.org/abs/2004.04906).
    """
    words, sought = (f" {' '.join(normalise(each, language))} " for each in (text, part))
    return bool(sought.strip()) and sought in words


def lemma_f1(answer: str, right: Sequence[str], language: str) -> float:
    """Give `token_f1` over dictionary forms of Russian words, so that «в Челябинске» and «Челябинск» share a word.

    The dictionary form is the likeliest by pymorphy3 (Korobov 2015, https://arxiv.org/abs/1503.07283), with «ё» written
    as «е»; words that are not Cyrillic stay as they are.
    """
    words = _lemmas(answer, language)
    return max((_f1(words, _lemmas(other, language)) for other in right), default=0.0)


def _lemmas(text: str, language: str) -> list[str]:
    return [_lemma(word) if _CYRILLIC.search(word) else word for word in normalise(text, language)]


@cache
def _analyzer() -> "MorphAnalyzer":
    from pymorphy3 import MorphAnalyzer  # 16 MB of dictionary, of use for Russian answers alone

    return MorphAnalyzer(lang="ru")


@lru_cache(maxsize=10_000)
def _lemma(word: str) -> str:
    return str(_analyzer().parse(word)[0].normal_form).replace("ё", "е")


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
    """Give the area under the risk-coverage curve: the share of wrong answers, mean over all coverages; less is better.

    Cases are answered from the most confident on (Geifman, Uziel & El-Yaniv 2019, https://arxiv.org/abs/1805.08206);
    equally confident ones count as their mean, so that no order among them helps. It is 0 only if nothing is wrong: of
    a share w of wrong answers, all less confident than the right ones, about w + (1 - w) ln(1 - w) is left.
    """
    _, place, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(place, weights=right) / counts, counts)
    return float(1 - (np.cumsum(expected) / np.arange(1, len(expected) + 1)).mean())


# Intervals


def estimate(statistic: Statistic, clusters: Sequence[Hashable], *, resamples: int = _RESAMPLES) -> Estimate:
    """Give a statistic with its 95 % interval: percentiles over cases drawn anew, whole clusters at a time.

    Args:
        statistic: of the cases whose rows it is given, some of them several times.
        clusters: of each case: those of one article are no independent evidence.
        resamples: how often cases are drawn.
    """
    members, draws = _drawn(clusters, resamples)
    drawn = np.array([statistic(np.concatenate([members[i] for i in draw])) for draw in draws])
    return Estimate(statistic(np.arange(len(clusters))), *_interval(drawn), len(clusters))


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure that is one sum over the cases by another: a mean, a precision, a recall, an F1; ``(n,)`` each."""

    numerator: Floats
    denominator: Floats

    @property
    def value(self) -> float:
        """The ratio; NaN if there are no cases."""
        whole = float(self.denominator.sum())
        return float(self.numerator.sum()) / whole if whole else math.nan

    @property
    def count(self) -> int:
        """How many cases it is made of."""
        return int(np.count_nonzero(self.denominator))

    def resampled(self, weights: Floats) -> Floats:
        """Give the ratio of each row of ``weights``, ``(resamples, n)``; NaN where a draw has no cases."""
        whole = weights @ self.denominator
        ratios: Floats = np.full(len(weights), np.nan)
        np.divide(weights @ self.numerator, whole, out=ratios, where=whole > 0)
        return ratios

    def estimate(self, weights: Floats) -> Estimate:
        """Give the ratio with its 95 % interval over the draws of `resample_weights`."""
        return Estimate(self.value, *_interval(self.resampled(weights)), self.count)

    def difference(self, other: "Ratio", weights: Floats) -> Estimate:
        """Give how much more this ratio is than ``other`` of the same cases, each draw taken by both (paired)."""
        drawn = self.resampled(weights) - other.resampled(weights)
        return Estimate(self.value - other.value, *_interval(drawn), self.count)


def resample_weights(clusters: Sequence[Hashable], resamples: int = _RESAMPLES) -> Floats:
    """Say how often each case is drawn in each resample of whole clusters: ``(resamples, n)``, seeded.

    The bootstrap for a mean or a ratio of sums (Efron & Tibshirani 1993, chapters 6 and 13), by clusters as Field &
    Welsh 2007 (https://doi.org/10.1111/j.1467-9868.2007.00593.x) describe.
    """
    members, draws = _drawn(clusters, resamples)
    times = np.stack([np.bincount(draw, minlength=len(members)) for draw in draws])
    weights = np.empty((resamples, len(clusters)))
    for number, rows in enumerate(members):
        weights[:, rows] = times[:, [number]]
    return weights


def _drawn(clusters: Sequence[Hashable], resamples: int) -> tuple[list[Rows], list[Rows]]:
    """Give the rows of each cluster, and for each resample the clusters drawn."""
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    place = np.array([numbers[cluster] for cluster in clusters])
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    chance = np.random.default_rng(_SEED)
    return members, [chance.integers(len(members), size=len(members)) for _ in range(resamples)]


def _interval(drawn: Floats) -> tuple[float, float]:
    known = drawn[~np.isnan(drawn)]
    tail = (100 - _CONFIDENCE) / 2
    if not len(known):
        return math.nan, math.nan
    low, high = np.percentile(known, (tail, 100 - tail))
    return float(low), float(high)


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
