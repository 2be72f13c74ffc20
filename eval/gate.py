"""The gate: fails when a figure falls below its floor by more than noise.

    python -m eval.gate                     ask, and compare with the floors in eval/baseline.json
    python -m eval.gate --raise             also write the floors of figures that rose, or that have none yet
    python -m eval.gate --lower recall@1    write this floor although the figure fell; say why in the commit

The development questions are asked of the sample articles, which takes about a minute. Those that figures are reported
on are not looked at here, or they would soon be mended for. Nothing is left to chance, but int8 arithmetic differs
between processors: a figure may be below its floor by what two questions weigh.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.gold import SAMPLES, indexed_articles, read_gold
from eval.metrics import Ratio
from eval.records import Record, read_json, write_json
from eval.run import Asker
from eval.summary import RATIOS, ratio
from index.article_index import ArticleIndex
from index.build import add_articles
from rag import Assistant, Settings

GOLD = SAMPLES.parent / "gold_dev.jsonl"
BASELINE = Path(__file__).parent / "baseline.json"
GATED = ("recall@1", "recall@5", "mrr@10", "containment", "f1", "citation_precision", "verbatim", "refusal_f1")
_QUESTIONS = 2  # that another processor may turn
_EXACT = {"verbatim"}  # a quote that is not in the article is never noise
_DIGITS = 4
_ROUNDING = 2 * 10**-_DIGITS  # of value, floor and margin


@dataclass(frozen=True, slots=True)
class Gated:
    """A figure and its floor, both 0..1; ``margin`` is how far below it may be. A new figure has no floor yet."""

    name: str
    value: float
    floor: float | None
    margin: float

    @property
    def fell(self) -> bool:
        """Whether it is further below its floor than noise goes, or has no value at all (NaN)."""
        return self.floor is not None and not self.value >= self.floor - self.margin - _ROUNDING

    @property
    def verdict(self) -> str:
        """What to tell about it in a word."""
        if self.floor is None:
            return "new"
        return "FELL" if self.fell else "rose" if self.value > self.floor else "holds"


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask and compare; the exit status is 1 if a figure fell or has no floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--raise", dest="is_raising", action="store_true", help="write the floors of figures that rose or have none"
    )
    parser.add_argument("--lower", nargs="+", choices=GATED, default=[], help="write these floors even if they fall")
    options = parser.parse_args(arguments)
    floors = read_floors(BASELINE)
    figures = list(gated(ask(), floors))
    print(f"{'':<20}{'now':>8}{'floor':>8}{'margin':>8}")
    for figure in figures:
        floor = "" if figure.floor is None else f"{figure.floor:.4f}"
        print(f"{figure.name:<20}{figure.value:>8.4f}{floor:>8}{figure.margin:>8.4f}  {figure.verdict}")
    changed = moved(figures, is_raising=options.is_raising, lowered=options.lower)
    if changed:
        write_json(BASELINE, {"floors": floors | changed})
        print(f"written to {BASELINE.name}: {', '.join(changed)}")
    if new := [figure.name for figure in figures if figure.floor is None and figure.name not in changed]:
        raise SystemExit(f"without a floor: {', '.join(new)}. Write it with --raise")
    if fallen := [figure.name for figure in figures if figure.fell and figure.name not in changed]:
        raise SystemExit(f"below the floor: {', '.join(fallen)}. Mend it, or accept it with --lower {' '.join(fallen)}")


def read_floors(path: Path) -> dict[str, float]:
    """Read the floors; without a file there are none."""
    if not path.is_file():
        return {}
    try:
        floors = {name: float(floor) for name, floor in read_json(path)["floors"].items()}
        if wrong := [name for name, floor in floors.items() if name not in GATED or not 0 <= floor <= 1]:
            raise ValueError(f"{', '.join(wrong)}: no figure, or not 0..1")
        return floors
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(f'{path} is not {{"floors": {{figure: value}}}}: {error!r}') from error


def ask() -> list[Record]:
    """Index the sample articles, and ask the development questions."""
    questions = read_gold(GOLD)
    with tempfile.TemporaryDirectory() as scratch:
        index = ArticleIndex.open(Path(scratch), create=True)
        add_articles(index, [SAMPLES])
        articles = indexed_articles(index, {e.article for q in questions for e in q.evidence})
        index.close()
        asker = Asker(Assistant.open(scratch, Settings()), articles)
        return [asker.ask(question) for question in tqdm(questions, desc="Asking", leave=False, disable=None)]


def gated(records: Sequence[Record], floors: Mapping[str, float]) -> Iterator[Gated]:
    """Give the figures that have a floor, or are to have one."""
    for name in GATED:
        found = ratio(RATIOS[name], records)
        yield Gated(name, round(found.value, _DIGITS), floors.get(name), _margin(name, found))


def _margin(name: str, found: Ratio) -> float:
    """Give what two questions weigh: in an F1 of refusals, one counts twice against the sum of both its kinds."""
    weight = float(max(found.numerator.max(), found.denominator.max()) / found.denominator.sum())
    return 0.0 if name in _EXACT else round(_QUESTIONS * weight, _DIGITS)


def moved(figures: Sequence[Gated], *, is_raising: bool, lowered: Sequence[str]) -> dict[str, float]:
    """Give the floors to write: if asked to, of figures that are new or rose; and of those that may fall."""
    return {
        figure.name: figure.value
        for figure in figures
        if figure.name in lowered or (is_raising and (figure.floor is None or figure.value > figure.floor))
    }


if __name__ == "__main__":
    main()
