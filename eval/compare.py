"""Two runs of the same questions: what became better, what worse, and which questions changed."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eval.metrics import Estimate, resample_weights
from eval.records import Record, read_json, read_records
from eval.summary import FEWEST_CLUSTERS, RATIOS, cluster, ratio
from index.errors import BadRequest

_SHOWN = 20  # questions of a list
_LONGEST = 300  # characters of each
_IDENTITY = ("gold", "index", "settings", "versions")


def compare(before: Path, after: Path) -> str:
    """Compare the runs in two folders; give a table, and the questions that became right or wrong.

    Questions that only one of them asked, or with other answers or evidence, are left out and counted.

    Raises:
        BadRequest: a folder holds no run, or they have no question in common.
    """
    a, b = ({record.id: record for record in _records(folder)} for folder in (before, after))
    common = [i for i in a if i in b and _is_same(a[i], b[i])]
    if not common:
        raise BadRequest(f"{before} and {after} have no question in common")
    only = len(a | b) - len(common)
    parts = [f"A: {before}, B: {after}; {len(common)} questions" + (f", {only} left out" if only else "")]
    parts += _settings(before, after)
    parts.append(_table([a[i] for i in common], [b[i] for i in common]))
    for title, first, second in (("became right", a, b), ("became wrong", b, a)):
        changed = [b[i] for i in common if second[i].scores["right"] > first[i].scores["right"]]
        parts.append(_listed(title, changed))
    return "\n\n".join(parts)


def differences(before: Sequence[Record], after: Sequence[Record]) -> dict[str, tuple[float, float, Estimate]]:
    """Give each figure of two runs of the same questions, in one order, and the difference with its interval.

    The interval is NaN where so few articles are asked about that it would tell nothing.
    """
    clusters = [cluster(record) for record in before]
    weights = resample_weights(clusters)
    is_telling = len(set(clusters)) >= FEWEST_CLUSTERS
    found = {}
    for name, part in RATIOS.items():
        old, new = ratio(part, before), ratio(part, after)
        if old.count and new.count:
            change = new.difference(old, weights)
            found[name] = (old.value, new.value, change if is_telling else replace(change, low=math.nan, high=math.nan))
    return found


def _records(folder: Path) -> list[Record]:
    try:
        return list(read_records(folder / "records.jsonl"))
    except (OSError, ValueError) as error:
        why = "there is no records.jsonl in it" if isinstance(error, OSError) else str(error)
        raise BadRequest(f"{folder} holds no run that can be read: {why}") from error


def _is_same(a: Record, b: Record) -> bool:
    """Tell whether two runs had the same question with the same gold; an index elsewhere has other URIs."""
    gold_a, gold_b = ((r.question, r.history, r.answers, r.needs, [p.quote for p in r.evidence]) for r in (a, b))
    return gold_a == gold_b


def _settings(before: Path, after: Path) -> list[str]:
    """Tell what else differs between the runs than the answers."""
    try:
        a, b = (read_json(folder / "run.json") for folder in (before, after))
    except (OSError, ValueError) as error:
        raise BadRequest(f"no run that can be read: {getattr(error, 'filename', None) or error}") from error
    lines = [
        f"  {part}.{key}: {a.get(part, {}).get(key)!r} in A, {b.get(part, {}).get(key)!r} in B"
        for part in _IDENTITY
        for key in sorted({*a.get(part, {}), *b.get(part, {})} - {"left_out", "folder", "name"})
        if a.get(part, {}).get(key) != b.get(part, {}).get(key)
    ]
    return ["\n".join(["They differ in", *lines])] if lines else []


def _table(before: Sequence[Record], after: Sequence[Record]) -> str:
    lines = [f"{'':<24}{'A':>7}{'B':>7}{'B - A':>8}  95 % interval"]
    for name, (old, new, change) in differences(before, after).items():
        is_certain = change.low > 0 or change.high < 0
        known = "too few articles" if math.isnan(change.low) else f"[{change.low:+.3f}, {change.high:+.3f}]"
        interval = f"{known}{'  *' if is_certain else ''}"
        lines.append(f"{name:<24}{old:>7.3f}{new:>7.3f}{change.value:>+8.3f}  {interval}")
    if any(line.endswith("*") for line in lines):
        lines.append("* 0 is outside the interval; of twenty figures one is so by chance")
    return "\n".join(lines)


def _shown(text: str) -> str:
    """Give a text as a line that a terminal shows and does not obey."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_LONGEST]


def _listed(title: str, records: Sequence[Record]) -> str:
    lines = [
        f"  {_shown(record.id)}: {_shown(record.question)}\n    {_shown(record.text)}" for record in records[:_SHOWN]
    ]
    more = [f"  … and {len(records) - _SHOWN} more"] if len(records) > _SHOWN else []
    return "\n".join([f"{len(records)} {title}" + (":" if records else ""), *lines, *more])
