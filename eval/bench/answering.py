"""How long an answer takes: a cold ``rag ask`` from the shell, and `Assistant.ask` in a process that is warm.

The cold one runs over the sample articles, in a process of its own; the warm one over 1,000 passages, made from the
sample articles by shuffling their sentences and numbering them.

    python -m eval.bench.answering [--articles FOLDER] [--questions FILE.jsonl]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from eval.bench.measure import at_most, percentile

_HERE = Path(__file__).resolve().parents[2]
_RUNS = 7
_PASSAGES = 1000
_COLD_SECONDS, _COLD_MEGABYTES, _WARM_MILLISECONDS = 3, 800, 900


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=Path, default=_HERE / "eval/data/articles")
    parser.add_argument("--questions", type=Path, default=_HERE / "eval/data/gold_dev.jsonl")
    options = parser.parse_args()
    lines = options.questions.read_text("utf-8").splitlines()
    questions = [str(json.loads(line)["question"]) for line in lines if line.strip()]
    few = questions[:: max(1, len(questions) // _RUNS)][:_RUNS]
    with tempfile.TemporaryDirectory() as scratch:
        cold = _measure_cold(options.articles.resolve(), few, Path(scratch) / "cold")
        warm = _measure_warm(options.articles, questions, Path(scratch) / "warm")
    print(f"\ncold / warm: a warm process answers {1000 * cold / warm:.0f} times as fast as a new one")


# Cold


def _measure_cold(articles: Path, questions: list[str], folder: Path) -> float:
    """Print what a new process needs for an answer; give the median of its seconds."""
    # In a process of its own, which also unpacks the model: a child's peak memory counts from its parent's at the fork,
    # so this process has to be small still.
    _rag("add", str(articles), "--index", str(folder))
    progress = tqdm(questions, desc="cold", leave=False)
    runs = [_rag("ask", question, "--index", str(folder), "--json") for question in progress]
    seconds, megabytes, outputs = zip(*runs, strict=True)
    answered = sum(json.loads(output)["status"] != "abstained" for output in outputs)
    median, highest, peak = percentile(seconds, 50), max(seconds), max(megabytes)
    own = _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(f"rag ask, cold, shell to answer: {len(runs)} runs, {answered} answered")
    print(f"  median  {median:>7.2f} s   {at_most(median, _COLD_SECONDS)}")
    print(f"  longest {highest:>7.2f} s   {at_most(highest, _COLD_SECONDS)}")
    print(f"  memory  {peak:>7.0f} MB  {at_most(peak, _COLD_MEGABYTES)}")
    if own >= peak:
        print(f"  (that is this process's own {own:.0f} MB: the command needs no more)")
    return median


def _rag(*arguments: str) -> tuple[float, float, str]:
    """Run the command line; give seconds, megabytes at its peak and what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "rag", *arguments], stdout=output, cwd=_HERE)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"rag {arguments[0]} ended with exit status {process.returncode}")
        output.seek(0)
        return seconds, _megabytes(usage.ru_maxrss), output.read()


def _megabytes(peak: int) -> float:
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


# Warm


def _measure_warm(articles: Path, questions: list[str], folder: Path) -> float:
    """Print what `Assistant.ask` needs in a warm process; give the median of its milliseconds."""
    from rag import Assistant, Settings

    passages = _fill(articles, folder)
    assistant = Assistant.open(folder, Settings(index=folder))
    assistant.ask(questions[0])
    totals, retrieving, reading = list[float](), list[float](), list[float]()
    for question in tqdm(questions, desc="warm", leave=False):
        start = time.perf_counter()
        answer = assistant.ask(question)
        totals.append(1000 * (time.perf_counter() - start))
        retrieving.append(answer.timings["retrieve_ms"])
        reading.append(answer.timings["rerank_ms"])
    median = percentile(totals, 50)
    print(f"\nAssistant.ask, warm, {passages:,} passages, {len(questions)} questions")
    print(f"{'':<26}{'p50':>7}{'p95':>8} ms")
    for name, values in (("  retrieve (and embed)", retrieving), ("  read", reading), ("  ask", totals)):
        verdict = f"   {at_most(median, _WARM_MILLISECONDS)}" if values is totals else ""
        print(f"{name:<26}{percentile(values, 50):>7.1f}{percentile(values, 95):>8.1f}{verdict}")
    return median


def _fill(articles: Path, folder: Path) -> int:
    """Index the articles, then shuffled copies of them, until there are enough passages; give how many."""
    from eval.bench.synthetic import shuffled_copies
    from index.article_index import ArticleIndex
    from index.build import add_articles

    index = ArticleIndex.open(folder, create=True, say=print)
    add_articles(index, [articles])
    originals = list(index.articles())
    copies = shuffled_copies(originals)
    with tqdm(total=_PASSAGES, desc="passages", leave=False) as bar:
        while (passages := index.status().passages) < _PASSAGES:
            bar.update(passages - bar.n)
            records = folder.with_name("copies.jsonl")
            some = islice(copies, len(originals))
            records.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in some), "utf-8")
            add_articles(index, [records])
    index.close()
    return passages


if __name__ == "__main__":
    main()
