"""Figures of a run, made from its records: with 95 % intervals, over all questions and by language, pair and kind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from eval.metrics import Estimate, Floats, Ratio, Truths, area_under_risk, estimate, resample_weights, share
from eval.records import Record

Part = Callable[[Record], tuple[float, float] | None]  # what a question adds to numerator and denominator


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over a group of questions, 0..1, with the interval that it lies in, made of ``count`` questions."""

    figure: str
    group: str
    value: float
    low: float | None  # no interval where too few articles are asked about to tell
    high: float | None
    count: int


def _mean(name: str) -> Part:
    return lambda record: (record.scores[name], 1.0) if name in record.scores else None


def _if_answered(name: str) -> Part:
    return lambda record: (record.scores[name], 1.0) if name in record.scores and not record.is_refused else None


def _refusal_precision(record: Record) -> tuple[float, float]:
    refused = record.status == "abstained"
    return float(refused and not record.is_answerable), float(refused)


def _refusal_recall(record: Record) -> tuple[float, float]:
    refused = record.status == "abstained"
    return float(refused and not record.is_answerable), float(not record.is_answerable)


def _refusal_f1(record: Record) -> tuple[float, float]:
    """Twice what is both refused and unanswerable, by the sum of both: the harmonic mean of precision and recall."""
    refused = record.status == "abstained"
    return 2.0 * (refused and not record.is_answerable), float(refused) + (not record.is_answerable)


def _judge_agreement(record: Record) -> tuple[float, float] | None:
    return (float(record.scores["judged"] == record.scores["containment"]), 1.0) if "judged" in record.scores else None


RATIOS: Mapping[str, Part] = {
    **{name: _mean(name) for name in ("recall@1", "recall@3", "recall@5", "recall@10", "mrr@10", "ndcg@10")},
    **{name: _mean(name) for name in ("answered", "containment", "exact_match", "f1", "lemma_f1")},
    **{f"{name}_if_answered": _if_answered(name) for name in ("containment", "f1")},
    **{name: _mean(name) for name in ("citation_precision", "citation_recall", "verbatim")},
    "refusal_precision": _refusal_precision,
    "refusal_recall": _refusal_recall,
    "refusal_f1": _refusal_f1,
    "judged": _mean("judged"),
    "judge_agreement": _judge_agreement,
}
"""Every figure but ``aurc``, as what each question adds to its numerator and its denominator.

Refusals are the answers "the articles do not say": precision is the share of them that is of unanswerable questions,
recall the share of unanswerable questions that got one. A question that could not be asked was not refused."""
FEWEST_CLUSTERS = 10


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Give what ``summary.json`` holds of the records themselves."""
    lengths = [len(cited.quote) for record in records for cited in record.cited]
    return {
        "questions": len(records),
        "failed": sum(record.status == "failed" for record in records),
        "citation_characters": round(float(np.mean(lengths)), 1) if lengths else None,
        "figures": [asdict(figure) for figure in figures(records)],
        "curve": risk_coverage(records),
        "stages": _stages(records),
    }


def figures(records: Sequence[Record]) -> Iterator[Figure]:
    """Give all figures of all groups; those without a case are left out."""
    for group, members in groups(records).items():
        weights = resample_weights([cluster(record) for record in members])
        sorts = {record.is_answerable for record in members}
        for name, part in RATIOS.items():
            if name in ("refusal_precision", "refusal_f1") and len(sorts) == 1:  # it could only be 0, or 1
                continue
            found = ratio(part, members).estimate(weights)
            if found.count:
                about = {cluster(record) for record in members if (part(record) or (0.0, 0.0))[1]}
                yield _figure(name, group, found, len(about))
        asked = [record for record in members if record.status != "failed"]
        if asked and True in sorts:
            yield _figure("aurc", group, _area(asked), len({cluster(record) for record in asked}))


def _figure(name: str, group: str, found: Estimate, clusters: int) -> Figure:
    """Give a figure with the interval of its bootstrap, if there are clusters enough for one.

    Of few clusters the interval is far too narrow: of eight, with 20 questions, it holds the true figure two times in
    three where that is .95. And where all cases are alike it has no width at all: there Wilson's takes its place.
    """
    if clusters < FEWEST_CLUSTERS:
        return Figure(name, group, found.value, None, None, found.count)
    if found.low == found.high and found.value in (0.0, 1.0):
        found = replace(share(round(found.value * clusters), clusters), count=found.count)
    return Figure(name, group, found.value, found.low, found.high, found.count)


def groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group questions: ``all``, ``language ru``, ``pair ru→en``, ``kind number``."""
    grouped = {"all": list(records)}
    for record in sorted(records, key=lambda record: (record.language, record.pair)):
        grouped.setdefault(f"language {record.language}", []).append(record)
    for record in sorted(records, key=lambda record: record.pair):
        if record.pair:
            grouped.setdefault(f"pair {record.pair}", []).append(record)
    for record in sorted(records, key=lambda record: record.kind):
        grouped.setdefault(f"kind {record.kind}", []).append(record)
    return {name: members for name, members in grouped.items() if members}


def cluster(record: Record) -> str:
    """Give what a question is drawn together with: the others about the (first) article that answers it."""
    return record.evidence[0].uri if record.evidence else record.id


def ratio(part: Part, records: Sequence[Record]) -> Ratio:
    """Put the parts of all questions together."""
    parts = [part(record) or (0.0, 0.0) for record in records]
    return Ratio(np.array([p[0] for p in parts]), np.array([p[1] for p in parts]))


def _confidences(records: Sequence[Record]) -> tuple[Floats, Truths]:
    """Give confidence and rightness of what each question's first quote is, or would be had it not been held back."""
    asked = [record for record in records if record.status != "failed"]
    right = [record.first is not None and record.first.is_right for record in asked]
    return np.array([record.confidence for record in asked]), np.array(right, bool)


def _area(records: Sequence[Record]) -> Estimate:
    confidence, right = _confidences(records)
    clusters = [cluster(record) for record in records]
    return estimate(lambda rows: area_under_risk(confidence[rows], right[rows]), clusters)


def risk_coverage(records: Sequence[Record]) -> list[tuple[float, float]]:
    """Give the risk-coverage curve: share of questions answered, the most confident first, and share of those wrong.

    Questions that the articles do not answer are wrong whatever is quoted; equal confidences are one point.
    """
    confidence, right = _confidences(records)
    order = np.argsort(-confidence, kind="stable")
    counts = np.arange(1, len(order) + 1)
    risks = 1 - np.cumsum(right[order]) / counts
    last = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]
    return [(round(c / len(order), 4), round(float(r), 4)) for c, r in zip(counts[last], risks[last], strict=True)]


def _stages(records: Sequence[Record]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for record in records for name in record.timings)
    rows = []
    for name in names:
        taken = [record.timings[name] for record in records if name in record.timings]
        p50, p95 = (round(float(value), 1) for value in np.percentile(taken, (50, 95)))
        rows.append({"stage": name.removesuffix("_ms"), "p50_ms": p50, "p95_ms": p95})
    return rows


def table(summary: Mapping[str, Any]) -> str:
    """Write the figures over all questions as text for a terminal."""
    rows = [row for row in summary["figures"] if row["group"] == "all"]
    lines = [f"{'':<24}{'value':>7}  {'95 % interval':<15}{'questions':>10}"]
    for row in rows:
        interval = "" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        lines.append(f"{row['figure']:<24}{row['value']:>7.3f}  {interval:<15}{row['count']:>10}")
    return "\n".join(lines)
