"""The report of an evaluation run, for people: one HTML page that loads nothing and runs no script.

Questions, articles and answers are hostile text: the template escapes all of it, and the page's content-security policy
forbids what would get through. The plots are matplotlib's, as SVG within the page, and stand beside tables of the same
figures. The same run gives the same bytes.
"""

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from eval.metrics import Estimate
from eval.records import Record
from index.errors import BadRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = Mapping[str, Mapping[str, Estimate]]  # by group, then by figure: table["language ru"]["recall@5"]

MEANINGS = {
    "recall@1": "How much of the evidence needed is in the first passage found.",
    "recall@3": "How much of the evidence needed is among the first three passages found.",
    "recall@5": "How much of the evidence needed is among the first five passages found.",
    "recall@10": "How much of the evidence needed is among the first ten passages found.",
    "mrr@10": "One by the place of the first passage with evidence: 1 if it is the first, a half if the second.",
    "ndcg@10": "How near the top all the evidence is; 1 if nothing else stands before it.",
    "answered": "Of the questions that the articles answer, how many were answered, rightly or not.",
    "containment": "Of the questions that the articles answer, how many got an answer that holds a right one.",
    "exact_match": "How many got exactly a right answer and no word more.",
    "f1": "How many words the answer and a right one share.",
    "lemma_f1": "The same over dictionary forms, for questions in Russian.",
    "containment_if_answered": "When it does answer, how often the answer holds a right one.",
    "f1_if_answered": "When it does answer, how many words the answer and a right one share.",
    "citation_precision": "Of the quotes cited, how many support a right answer.",
    "citation_recall": "Of the evidence needed, how much is cited.",
    "verbatim": "Of the quotes cited, how many stand in the article word for word.",
    "refusal_precision": "Of the questions refused, how many the articles do not answer.",
    "refusal_recall": "Of the questions that the articles do not answer, how many were refused.",
    "refusal_f1": "How well it refuses what the articles do not answer, and nothing else.",
    "aurc": "How badly confidence tells right from wrong: the area under the risk-coverage curve. Less is better.",
    "judged": "How many answers a language model judged right.",
    "judge_agreement": "How often that judge and containment agree.",
}
HEADLINES = ("recall@5", "containment", "containment_if_answered", "citation_precision", "verbatim", "refusal_f1")
PLOTTED = ("recall@5", "containment", "citation_precision", "refusal_f1")  # by language
WORST = 20  # failures shown
RETRIEVED = 5  # passages shown of each
_DEPTHS = (1, 3, 5, 10)


def write_report(summary: Mapping[str, Any], records: Sequence[Record], path: Path) -> None:
    """Write the report of a run.

    Args:
        summary: what ``summary.json`` holds, with ``run.json`` under ``run``.
        records: of all questions.
        path: the page, replaced if it is there.

    Raises:
        BadRequest: matplotlib is not installed.
        OSError: the page cannot be written.
    """
    try:
        import matplotlib  # noqa: F401 (an optional extra; here, to fail before any work is done)
    except ImportError as error:
        raise BadRequest("the report needs matplotlib: pip install 'rag-articles[eval]'") from error
    table = _table(summary["figures"])
    failures = sorted(filter(None, map(_failure, records)), key=lambda f: (f.order, f.record.id))
    page = _template().render(
        summary=summary,
        run=summary["run"],
        started=datetime.fromisoformat(summary["run"]["started"]),
        table=table,
        meanings=MEANINGS,
        headlines=HEADLINES,
        headlines_of=_headlines_of,
        slices={name: members for name in ("language", "kind") if len(members := _members(table, name)) > 1},
        plots=_plots(summary, table),
        faults=Counter(failure.fault for failure in failures),
        failures=failures[:WORST],
        retrieved=RETRIEVED,
        failed=[record for record in records if record.status == "failed"],
    )
    path.write_bytes(page.encode("utf-8", "replace"))  # half a surrogate pair in an article is no reason to stop


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table: dict[str, dict[str, Estimate]] = {"all": {}}
    for row in rows:
        estimate = Estimate(row["value"], _number(row["low"]), _number(row["high"]), row["count"])
        table.setdefault(row["group"], {})[row["figure"]] = estimate
    return table


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _members(table: Table, name: str) -> dict[str, Mapping[str, Estimate]]:
    """Give the figures of each language, pair or kind, in alphabetical order."""
    start = f"{name} "
    return {group.removeprefix(start): table[group] for group in sorted(table) if group.startswith(start)}


def _headlines_of(members: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """Name the headline figures that any of the languages or kinds has."""
    return [name for name in HEADLINES if any(name in figures for figures in members.values())]


# Failures


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that went wrong, and how; the least ``order`` is the worst."""

    record: Record
    fault: str
    order: tuple[int, float]


def _failure(record: Record) -> Failure | None:
    """Tell what went wrong with a question, if anything.

    What misleads is worst, the more so the surer it sounded. Then what was at hand and not used, the more so the higher
    it stood; last what was not found.
    """
    if record.status == "failed" or record.scores["right"] == 1:  # what failed is named apart
        return None
    if not record.is_refused:
        if not record.is_answerable:
            return Failure(record, "answered what no article answers", (0, -record.confidence))
        return Failure(record, "answered wrongly", (0, -record.confidence))
    rank = _evidence_rank(record)
    if rank is None:
        return Failure(record, "refused, evidence not found", (2, 0))
    return Failure(record, "refused, evidence found", (1, rank))


def _evidence_rank(record: Record) -> int | None:
    """Give how many of the passages found, from the first on, hold all the evidence that is needed."""
    covered: set[int] = set()
    for rank, found in enumerate(record.found, 1):
        covered.update(found.pieces)
        if all(covered.intersection(group) for group in record.needs):
            return rank
    return None


# Plots


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its title and what one should know to read it."""

    title: str
    note: str
    drawing: Markup


_LABEL = 12  # characters
_WIDTH = 4.0  # inches, so that the text is as large as the page's on a phone
# The drawings take their colours from the page, which has two schemes: each is drawn in a stand-in, #0000NN, that is
# then replaced by the CSS variable.
_INKS = ("ink", "quiet", "line", "on-heat", *(f"series-{n}" for n in range(6)), *(f"heat-{n}" for n in range(11)))
_STAND_INS = {ink: f"#0000{number:02x}" for number, ink in enumerate(_INKS, 1)}
_INK, _QUIET, _LINE = (_STAND_INS[ink] for ink in ("ink", "quiet", "line"))
_SERIES = [_STAND_INS[f"series-{n}"] for n in range(6)]
_MARKERS = "os^Dv*"
_STYLE: Mapping[Any, object] = {  # matplotlib names all its keys as a type
    "axes.axisbelow": True,
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _QUIET,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.size": 8.5,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, in the page's font
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _QUIET,
    "xtick.major.size": 0,
    "ytick.color": _QUIET,
    "ytick.labelcolor": _INK,
    "ytick.major.size": 0,
}


def _plots(summary: Mapping[str, Any], table: Table) -> list[Plot]:
    """Draw what there are figures for."""
    languages, pairs = _members(table, "language"), _members(table, "pair")
    return [
        *_recall_plots(table["all"], languages),
        *_curve_plots(summary["curve"]),
        *_stage_plots(summary["stages"]),
        *(plot for figure in PLOTTED for plot in _language_plots(figure, table["all"], languages)),
        *_pair_plots(pairs),
    ]


def _drawn(name: str, height: float, draw: "Callable[[Axes], None]") -> Markup:
    """Draw an SVG of a height in inches; ``name`` keeps its ids apart from those of the page's other drawings."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(_WIDTH, height))
        draw(figure.subplots())
        image = io.StringIO()
        figure.savefig(image, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    svg = image.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)  # would hold for the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every drawing
    for ink, stand_in in _STAND_INS.items():
        svg = svg.replace(f": {stand_in}", f": var(--{ink})")
    return Markup(svg)


def _label(name: str) -> str:
    """Cut a name that would leave no room for the drawing."""
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"


def _recall_plots(overall: Mapping[str, Estimate], languages: Mapping[str, Mapping[str, Estimate]]) -> list[Plot]:
    depths = [depth for depth in _DEPTHS if f"recall@{depth}" in overall]
    if len(depths) < 2:
        return []

    def draw(axes: "Axes") -> None:
        names = [f"recall@{depth}" for depth in depths]
        of_all = [overall[name] for name in names]
        axes.fill_between(depths, [e.low for e in of_all], [e.high for e in of_all], color=_LINE, linewidth=0)
        for number, (language, figures) in enumerate(languages.items() if len(languages) > 1 else ()):
            if figures.keys() >= set(names):
                values = [figures[name].value for name in names]
                ink, marker = _SERIES[number % 6], _MARKERS[number % 6]
                axes.plot(
                    depths, values, label=_label(language), color=ink, marker=marker, markersize=3.5, linewidth=1.1
                )
        axes.plot(depths, [e.value for e in of_all], color=_INK, linewidth=2.2, label="all")
        axes.set_xticks(depths)
        axes.set_xlabel("passages")
        axes.set_ylim(top=1.005)
        axes.figure.legend(loc="outside lower center", ncols=6, columnspacing=1.2, handlelength=1.6)

    note = "How much of the evidence needed is among the first passages found. The band is the 95 % interval of all."
    return [Plot("Recall by number of passages", note, _drawn("recall", 3.0, draw))]


def _curve_plots(curve: Sequence[tuple[float, float]]) -> list[Plot]:
    if len(curve) < 2:
        return []

    def draw(axes: "Axes") -> None:
        coverage, risk = zip(*curve, strict=True)
        axes.fill_between(coverage, risk, color=_SERIES[0], alpha=0.15, linewidth=0)
        axes.plot(coverage, risk, color=_SERIES[0], linewidth=1.8)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, max(0.1, max(risk) * 1.1))
        axes.set_xlabel("coverage: share of questions answered, the surest first")
        axes.set_ylabel("risk: share of those that is wrong")

    note = "If it answered its surest questions alone, so many of the answers would be wrong. The lower, the better."
    return [Plot("Risk and coverage", note, _drawn("curve", 3.0, draw))]


def _language_plots(
    figure: str, overall: Mapping[str, Estimate], languages: Mapping[str, Mapping[str, Estimate]]
) -> list[Plot]:
    estimates = {language: figures[figure] for language, figures in languages.items() if figure in figures}
    if len(estimates) < 2 or figure not in overall:
        return []

    def draw(axes: "Axes") -> None:
        places = range(len(estimates))
        axes.barh(places, [e.value for e in estimates.values()], height=0.62, color=_STAND_INS["heat-5"])
        axes.set_yticks(places, map(_label, estimates))
        for place, estimate in enumerate(estimates.values()):
            axes.hlines(place, estimate.low, estimate.high, color=_INK, linewidth=1.4)
            axes.text(1.03, place, f"{estimate.value:.3f}", va="center")
            axes.text(1.2, place, f"{estimate.count}", va="center", color=_QUIET)
        axes.axvline(overall[figure].value, color=_INK, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")

    note = (
        "The line is the 95 % interval; dashed, the figure of all; at the right the figure, and of how many questions."
    )
    return [Plot(f"{figure} by language", note, _drawn(figure, 0.6 + 0.27 * len(estimates), draw))]


def _pair_plots(pairs: Mapping[str, Mapping[str, Estimate]]) -> list[Plot]:
    figures = ("recall@1", "containment")
    values = [of_pair[figure].value for of_pair in pairs.values() for figure in figures if figure in of_pair]
    if len(pairs) < 2 or not values:
        return []
    lowest = min(0.9, math.floor(min(values) * 10) / 10)
    note = f"Question down, article across; below each figure, of how many questions. Colours from {lowest:.1f} to 1."
    return [Plot(f"{figure} by pair of languages", note, _heat_map(figure, pairs, lowest)) for figure in figures]


def _heat_map(figure: str, pairs: Mapping[str, Mapping[str, Estimate]], lowest: float) -> Markup:
    cells = {tuple(pair.split("→", 1)): of_pair[figure] for pair, of_pair in pairs.items() if figure in of_pair}
    rows, columns = (sorted({pair.split("→", 1)[side] for pair in pairs}) for side in (0, 1))

    def draw(axes: "Axes") -> None:
        for (asked, answered), estimate in cells.items():
            x, y = columns.index(answered), rows.index(asked)
            level = round(10 * (estimate.value - lowest) / (1 - lowest))
            ink = _STAND_INS["on-heat" if level > 6 else "ink"]
            axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=_STAND_INS[f"heat-{level}"], linewidth=0)
            axes.text(x + 0.5, y + 0.42, f"{estimate.value:.2f}", ha="center", va="center", color=ink)
            axes.text(x + 0.5, y + 0.75, f"{estimate.count}", ha="center", va="center", color=ink, fontsize=6.5)
        axes.set_xticks([n + 0.5 for n in range(len(columns))], map(_label, columns))
        axes.set_yticks([n + 0.5 for n in range(len(rows))], map(_label, rows))
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), xlabel="article", ylabel="question")
        axes.tick_params(labelcolor=_INK)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)

    return _drawn(f"pairs {figure}", 0.6 + 0.42 * len(rows), draw)


def _stage_plots(stages: Sequence[Mapping[str, Any]]) -> list[Plot]:
    if not stages:
        return []

    def draw(axes: "Axes") -> None:
        for place, stage in enumerate(stages):
            p50, p95 = stage["p50_ms"], stage["p95_ms"]
            axes.hlines(place, p50, p95, color=_SERIES[0], linewidth=3, alpha=0.4)
            axes.plot([p50], [place], marker="o", color=_SERIES[0], clip_on=False)
            axes.plot([p95], [place], marker="|", color=_SERIES[0], markersize=9, markeredgewidth=2)
            axes.text(1.04, place, f"{p50:,.0f}", va="center", transform=axes.get_yaxis_transform())
            axes.text(1.22, place, f"{p95:,.0f}", va="center", color=_QUIET, transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(stages)), [_label(stage["stage"]) for stage in stages])
        axes.set_xlim(left=0)
        axes.set_ylim(len(stages) - 0.5, -0.5)
        axes.set_xlabel("milliseconds")
        axes.grid(visible=False, axis="y")

    note = "The dot is the median, the bar's end what 95 of 100 questions stay below; both stand at the right."
    return [Plot("Time by stage", note, _drawn("stages", 0.8 + 0.27 * len(stages), draw))]
