"""How long reading takes: eight passages of some 200 tokens with one question, int8 against torch in float32, warm.

Both readers run on the CPU, in turns on the same questions. Before that, what memory the reader adds to a process
that embeds questions.

    python -m eval.bench.reading XQUAD_FOLDER [--questions 30]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.bench.measure import at_least, at_most, percentile, timed
from eval.squad import SquadSet, read_squad
from index.embed import DEFAULT_EMBEDDER, Embedder, open_embedder
from rag.reader.pair_reader import OnnxPairReader, PairReader, TorchPairReader

_HERE = Path(__file__).resolve().parents[2]
_LANGUAGES = ("en", "de", "es", "zh")
_PASSAGES = 8
_SHORTEST, _LONGEST = 180, 220  # tokens of a passage
_WARM_UP = 3  # questions
_HELD = 10  # questions that are embedded and read before memory is looked at
_MILLISECONDS, _RATIO, _MEGABYTES = 900, 1.4, 300
_SEED = 7


@dataclass(frozen=True, slots=True)
class Task:
    """A question with the passages to read for it, pairs of title and text."""

    question: str
    passages: list[tuple[str, str]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds en.json, de.json, es.json and zh.json of XQuAD")
    parser.add_argument("--questions", type=int, default=30, help="that are read for (default: 30)")
    parser.add_argument("--hold", choices=("embedder", "both"), help=argparse.SUPPRESS)  # in the measured processes
    options = parser.parse_args()
    embedder = open_embedder(DEFAULT_EMBEDDER, print)
    if options.hold:
        tasks = [Task(question, [(title, text) for title, text in told]) for question, told in json.load(sys.stdin)]
        _hold(tasks, embedder, OnnxPairReader(print) if options.hold == "both" else None)
        return
    OnnxPairReader(print).warm_up()  # unpacks what has to be: that is no part of what is measured
    tasks = _tasks(options.folder, options.questions + _WARM_UP, embedder)
    _measure_memory(tasks[:_HELD])
    _measure_speed(tasks, embedder)


def _tasks(folder: Path, count: int, embedder: Embedder) -> list[Task]:
    """Choose questions, of each language in turn, and for each its own paragraph among others."""
    chance = random.Random(_SEED)
    by_language = [_tasks_in(read_squad(folder / f"{name}.json"), embedder, chance) for name in _LANGUAGES]
    return [task for turn in zip(*by_language, strict=False) for task in turn][:count]


def _tasks_in(data: SquadSet, embedder: Embedder, chance: random.Random) -> list[Task]:
    lengths = embedder.count_tokens(data.paragraphs)
    fitting = [n for n, length in enumerate(lengths) if _SHORTEST <= length <= _LONGEST]
    tasks = []
    for question, gold in zip(data.questions, data.gold, strict=True):
        if gold in fitting:
            chosen = [gold, *chance.sample([n for n in fitting if n != gold], _PASSAGES - 1)]
            chance.shuffle(chosen)
            tasks.append(Task(question, [("", data.paragraphs[n]) for n in chosen]))
    chance.shuffle(tasks)
    return tasks


# Memory


def _measure_memory(tasks: Sequence[Task]) -> None:
    embedder, embedder_peak = _memory_of("embedder", tasks)
    both, both_peak = _memory_of("both", tasks)
    print(f"memory of a process of its own after {len(tasks)} questions, and at its peak")
    print(f"  embedder            {embedder:>6.0f} MB  {embedder_peak:>6.0f} MB")
    print(f"  embedder, reader    {both:>6.0f} MB  {both_peak:>6.0f} MB")
    print(f"  the reader adds     {both - embedder:>6.0f} MB  {at_most(both - embedder, _MEGABYTES)}\n")


def _memory_of(what: str, tasks: Sequence[Task]) -> tuple[float, float]:
    """Give the megabytes that a new process holds in the end, and at its peak."""
    # It is handed its tasks: choosing them takes a second tokenizer, which would be measured with it.
    command = [sys.executable, "-m", "eval.bench.reading", ".", "--hold", what]
    told = json.dumps([(task.question, task.passages) for task in tasks])
    done = subprocess.run(command, cwd=_HERE, input=told, stdout=subprocess.PIPE, text=True, check=True)
    resident, peak = done.stdout.splitlines()[-1].split()
    return float(resident), float(peak)


def _hold(tasks: Sequence[Task], embedder: Embedder, reader: PairReader | None) -> None:
    for task in tasks:
        embedder.embed_query(task.question)
        if reader is not None:
            reader.read(task.question, task.passages)
    print(*_megabytes())


def _megabytes() -> tuple[float, float]:
    """Give what this process holds now, and at its peak; the peak twice where the system does not tell the former."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
        return highest, highest
    # Not ru_maxrss: a process takes that over from the one that started it.
    fields = dict(line.split(":", 1) for line in lines)
    now, highest = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, highest


# Speed


def _measure_speed(tasks: Sequence[Task], embedder: Embedder) -> None:
    ours, theirs = OnnxPairReader(print), TorchPairReader(print, "cpu")
    for task in tasks[:_WARM_UP]:
        ours.read(task.question, task.passages)
        theirs.read(task.question, task.passages)
    our_times, their_times = list[float](), list[float]()
    for task in tqdm(tasks[_WARM_UP:], desc="reading", leave=False):
        our_times.append(1000 * timed(ours.read, task.question, task.passages)[1])
        their_times.append(1000 * timed(theirs.read, task.question, task.passages)[1])
    texts = [text for task in tasks[_WARM_UP:] for _, text in task.passages]
    tokens = sum(embedder.count_tokens(texts)) / len(texts)
    median, float32 = percentile(our_times, 50), percentile(their_times, 50)
    print(f"{len(our_times)} questions, {_PASSAGES} passages each, of {tokens:.0f} tokens on the mean, warm")
    print(f"{'':<16}{'median':>8}{'p95':>8} ms")
    print(f"{'torch, float32':<16}{float32:>8.0f}{percentile(their_times, 95):>8.0f}")
    print(f"{'int8':<16}{median:>8.0f}{percentile(our_times, 95):>8.0f}     {at_most(median, _MILLISECONDS)}")
    print(f"{'ratio':<16}{float32 / median:>8.2f}{'':>13}{at_least(float32 / median, _RATIO)}")


if __name__ == "__main__":
    main()
