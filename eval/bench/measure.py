"""What the benchmarks share: timing, percentiles and the verdict against the figure to reach."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

import numpy as np

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def timed(call: Callable[[*Arguments], T], *arguments: *Arguments) -> tuple[T, float]:
    """Call once; give the result and the seconds it took."""
    start = time.perf_counter()
    result = call(*arguments)
    return result, time.perf_counter() - start


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value below which ``share`` percent (0..100) of ``values`` lie."""
    return float(np.percentile(np.asarray(values), share))


def at_least(value: float, floor: float) -> str:
    """Judge a figure of which more is better."""
    return f"to reach: {floor:g} or more" + ("" if value >= floor else "  BELOW")


def at_most(value: float, limit: float) -> str:
    """Judge a figure of which less is better."""
    return f"to reach: {limit:g} or less" + ("" if value <= limit else "  ABOVE")
