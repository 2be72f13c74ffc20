"""Indexing, start-up and memory against a plain pipeline as LangChain's tutorials build it, in the same run.

Both have the same articles and the same embedding model; the plain one is installed into an environment of its own by
`eval.peers`, which also says how it is built. Articles are the samples and shuffled copies of them.

    python -m eval.bench.indexing [--articles 300] [--rounds 2] [--venvs DIR]
"""

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from eval.bench.measure import at_least, timed
from eval.bench.synthetic import shuffled_copies
from eval.gold import SAMPLES, GoldQuestion, named_articles
from eval.peers.running import PEERS, VENVS, run_all
from index.types import Article

_PLAIN, _OURS = "tutorial", "ours-unread"  # nothing is read: only indexing and searching are compared
_FASTER, _AGAIN = 1.5, 50.0  # to reach
_ASKED = GoldQuestion("1", "How many street lights will Cork replace?", "en", (), (), "unanswerable")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each, in turns (default: 2)")
    parser.add_argument("--venvs", type=Path, default=VENVS, help="where the plain pipeline is installed")
    options = parser.parse_args()
    articles = _articles(options.articles)
    runs = _runs(articles, options.venvs, options.rounds)
    starts = {name: _start_up(articles[0], name, options.venvs) for name in runs}
    plain, ours = ({key: _median(runs[name], key) for key in runs[name][0]} for name in (_PLAIN, _OURS))
    print(f"{len(articles)} articles of {sum(len(a.text) for a in articles) / len(articles):,.0f} characters; medians")
    print(f"{'':<40}{'plain':>10}{'ours':>10}{'ratio':>8}")
    for title, key, to_reach in (
        ("articles a minute", "indexing_seconds", _FASTER),
        ("… again, nothing changed", "again_seconds", _AGAIN),
    ):
        _print(title, 60 * len(articles) / plain[key], 60 * len(articles) / ours[key], to_reach)
    _print("seconds to the first passage, one article", starts[_PLAIN], starts[_OURS])
    _print("memory at its peak, MB", plain["peak_mb"], ours["peak_mb"])


def _print(name: str, plain: float, ours: float, to_reach: float | None = None) -> None:
    """Print a row; the ratio is how many times as much (or, of costs, as little) ours is."""
    ratio = ours / plain if to_reach else plain / ours
    verdict = f"  {at_least(ratio, to_reach)}" if to_reach else ""
    print(f"{name:<40}{plain:>10,.1f}{ours:>10,.1f}{ratio:>8.2f}{verdict}")


def _articles(wanted: int) -> list[Article]:
    """Give the sample articles, and copies until there are enough."""
    samples = list({article.uri: article for article in named_articles(SAMPLES).values()}.values())
    copies = [
        Article(str(c["url"]), str(c["url"]), str(c["title"]), str(c["text"]), "und", None, None, "", "copies", "")
        for c in islice(shuffled_copies(samples), max(0, wanted - len(samples)))
    ]
    return [*samples[:wanted], *copies]


def _runs(articles: Sequence[Article], venvs: Path, rounds: int) -> dict[str, list[dict[str, Any]]]:
    peers = [peer for peer in PEERS if peer.name in (_PLAIN, _OURS)]
    runs = run_all(peers, articles, [_ASKED], venvs, rounds)
    if len(runs) < len(peers):
        raise SystemExit("one of them did not run: see above")
    return runs


def _start_up(article: Article, name: str, venvs: Path) -> float:
    """Give the seconds of a new process that loads all, indexes one article twice, and finds a passage."""
    peers = [peer for peer in PEERS if peer.name == name]
    return timed(run_all, peers, [article], [_ASKED], venvs, 1)[1]


def _median(runs: Sequence[dict[str, Any]], key: str) -> float:
    values = [run[key] for run in runs]
    return median(values) if isinstance(values[0], int | float) else 0.0


if __name__ == "__main__":
    main()
