"""Kills ``rag add`` again and again, and counts what is lost or half there.

A folder of small articles grows; ``rag add`` takes it in and is killed (SIGKILL) at a random moment. After each kill
``rag check`` must find nothing wrong, every article that was reported as added must be there, every article that is
there must be whole, and a search must find passages. An index that has taken in all articles must equal one that was
built in one go; then the next one is begun. In turns, the killed process is the real command line, which reports at its
end, and a driver of `add_articles` that prints each report.

    python -m eval.bench.crashes [--kills 50] [--articles 400]
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from eval.bench.measure import at_most, timed
from eval.bench.synthetic import Words
from index.article_index import ArticleIndex
from index.build import Progress, add_articles
from index.embed import DEFAULT_EMBEDDER, Embedder, open_embedder
from index.store import Store
from index.types import Where
from rag.retrieve import HybridRetriever
from rag.types import Question

_HERE = Path(__file__).resolve().parents[2]
_WORDS = 16  # in an article, on the average
_DRIVER = "from eval.bench.crashes import add_aloud; add_aloud()"
_FIRST_SHARE, _GROWTH = 0.4, 0.2  # of all articles: in the folder at first, and more with each round
_AIMED = 0.3  # of the kills wait until a derived index is written
_POLL = 0.001  # seconds
_SUMMARY = re.compile(r"Articles: (?:.*?)(\d+) added")

Whole = dict[str, tuple[str, str, tuple[tuple[int, int, int, str], ...]]]  # by URI: title, text, passages


@dataclass
class Tally:
    """What was seen so far."""

    phases: Counter[str] = field(default_factory=Counter)
    reported: int = 0
    lost: int = 0
    half: int = 0
    failures: list[str] = field(default_factory=list)
    finished: int = 0  # processes that ended before their kill
    completed: int = 0  # indexes that took in all articles

    @property
    def kills(self) -> int:
        """Count the processes killed."""
        return sum(self.phases.values())


@dataclass(frozen=True, slots=True)
class Run:
    """One process: whether the kill met it, and how many articles it had reported as added."""

    was_killed: bool
    reported: int


def main() -> None:
    """Kill and count; exit status 1 if anything was lost, half there or unequal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--articles", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        campaign = Campaign(Path(scratch), options.articles, options.seed)
        seconds = timed(campaign.kill, options.kills)[1]
        campaign.complete()
    tally = campaign.tally
    print(f"{tally.kills} kills in {seconds:.0f} s; {tally.finished} processes had ended before theirs")
    for phase, count in sorted(tally.phases.items()):
        print(f"  {phase:<38}{count:>5}")
    print(f"articles reported by killed processes   {tally.reported:>5}")
    print(f"lost                                    {tally.lost:>5}  {at_most(tally.lost, 0)}")
    print(f"half there                              {tally.half:>5}  {at_most(tally.half, 0)}")
    print(f"failed checks, searches, comparisons    {len(tally.failures):>5}  {at_most(len(tally.failures), 0)}")
    print(f"indexes completed and equal to one built in one go: {tally.completed}")
    for failure in tally.failures[:20]:
        print(f"  {failure}")
    raise SystemExit(1 if tally.lost or tally.half or tally.failures else 0)


def add_aloud() -> None:
    """Add a folder to an index, both named on the command line, and print the number added after each file."""
    folder, source = Path(sys.argv[1]), Path(sys.argv[2])

    def show(progress: Progress) -> None:
        print(progress.report.added, flush=True)

    index = ArticleIndex.open(folder, create=True, bulk=True)
    print(add_articles(index, [source], show=show).added, flush=True)


class Campaign:
    """A growing folder of articles, the index that takes it in, and what that index has to become."""

    def __init__(self, scratch: Path, articles: int, seed: int) -> None:
        """Write the articles and build the index to compare with."""
        self.tally = Tally()
        self._random = random.Random(seed)
        self._scratch = scratch
        self._source = scratch / "articles"
        self._folder = scratch / "index"
        self._texts = _articles(articles, seed)
        self._embedder = open_embedder(DEFAULT_EMBEDDER, print)
        self._embedder.warm_up()
        self._grow(articles)
        reference = scratch / "reference"
        _, self._full_seconds = timed(_rag, "add", str(self._source), "--index", str(reference))
        _, self._start_seconds = timed(_rag, "add", str(self._source), "--index", str(reference))
        self._wanted = _contents(reference, self._embedder)
        if len(self._wanted) != articles:
            raise SystemExit(f"the index built in one go holds {len(self._wanted)} articles of {articles}")
        self._begin()

    def kill(self, kills: int) -> None:
        """Start and kill ``rag add`` until it was killed ``kills`` times."""
        with tqdm(total=kills, desc="kills", leave=False) as bar:
            while self.tally.kills < kills:
                self._round()
                bar.update(self.tally.kills - bar.n)

    def complete(self) -> None:
        """Add all articles with no kill, and compare, unless the index has not been begun yet."""
        if not self._folder.exists():
            return
        self._grow(len(self._texts))
        status, said = _rag("add", str(self._source), "--index", str(self._folder))
        if status:
            self.tally.failures.append(f"a rag add that was not killed ended with {status}: {said}")
        self._compare()

    def _begin(self) -> None:
        shutil.rmtree(self._source)
        shutil.rmtree(self._folder, ignore_errors=True)
        # In random order: new articles come between those that are there already.
        self._order = self._random.sample(sorted(self._texts), len(self._texts))
        self._grow(round(_FIRST_SHARE * len(self._order)), self._order)

    def _grow(self, more: int, order: list[str] | None = None) -> None:
        self._source.mkdir(exist_ok=True)
        there = {path.name for path in self._source.iterdir()}
        names = order or sorted(self._texts)
        for name in [name for name in names if name not in there][:more]:
            (self._source / name).write_text(self._texts[name], "utf-8")

    def _round(self) -> None:
        held = _uris(self._folder)
        pending = [path.as_uri() for path in sorted(self._source.iterdir()) if path.as_uri() not in held]
        before = self._generation()
        derived_before = self._derived()
        if self.tally.kills % 2:
            arguments = ["-m", "rag", "add", str(self._source), "--index", str(self._folder)]
        else:
            arguments = ["-c", _DRIVER, str(self._folder), str(self._source)]
        run = self._run_and_kill(arguments, len(pending), derived_before)
        derived_now = self._derived()  # before anything opens the index and catches up
        if not run.was_killed:
            self.tally.finished += 1
        self._verify(held | set(pending[: run.reported]), run)
        if run.was_killed:
            self.tally.reported += run.reported
            self.tally.phases[_phase(before, self._generation(), derived_now != derived_before)] += 1
        if len(_uris(self._folder)) == len(self._texts):
            self.complete()
            self._begin()
        else:
            self._grow(round(_GROWTH * len(self._texts)), self._order)

    def _run_and_kill(self, arguments: list[str], pending: int, derived: set[tuple[str, int, int]]) -> Run:
        """Start a process and kill it at a random moment, or as a derived index is being written."""
        each = max(0.0, self._full_seconds - self._start_seconds) / len(self._texts)
        delay = self._random.uniform(0, self._start_seconds + each * pending)
        is_aimed = self._random.random() < _AIMED
        pause = self._random.uniform(0, 0.04)
        output_path = self._scratch / "output.txt"
        with output_path.open("w", encoding="utf-8") as output:
            command = [sys.executable, *arguments]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, cwd=_HERE)
            if is_aimed:
                _wait(lambda: process.poll() is not None or self._is_deriving(derived))
                time.sleep(pause)
            else:
                until = time.monotonic() + delay
                _wait(lambda: process.poll() is not None or time.monotonic() >= until)
            process.kill()
            status = process.wait()
        if status > 0:
            self.tally.failures.append(f"{arguments[:2]} ended by itself with exit status {status}")
        said = output_path.read_text("utf-8")
        return Run(status < 0, _reported(said))

    def _is_deriving(self, before: set[tuple[str, int, int]]) -> bool:
        """Tell whether the first files of this run are in the derived indexes, after the store's first commit."""
        return bool(self._derived() - before)

    def _derived(self) -> set[tuple[str, int, int]]:
        """Give the files of the derived indexes, with size and time; those that opening alone makes are left out."""
        found = set()
        for path in [*self._folder.glob("dense-*"), *self._folder.glob("lexical-*/*")]:
            if path.name.startswith(".") or path.name in ("meta.json", "managed.json"):
                continue
            try:
                details = path.stat()
            except FileNotFoundError:
                continue
            found.add((path.name, details.st_size, details.st_mtime_ns))
        return found

    def _generation(self) -> int:
        """Give the store's generation; -1 while there is no store."""
        path = self._folder / "index.sqlite"
        if not path.is_file():
            return -1
        store = Store(path)
        generation = store.generation()
        store.close()
        return generation

    def _verify(self, expected: set[str], run: Run) -> None:
        """Check the index as a process left it: whole, with all that it held and reported, and searchable."""
        if not (self._folder / "index.sqlite").is_file():  # killed before there was an index
            self.tally.lost += len(expected)
            return
        status, said = _rag("check", "--index", str(self._folder))
        if status:
            self.tally.failures.append(f"rag check ended with {status}: {said}")
        contents = _contents(self._folder, self._embedder)
        self.tally.lost += len(expected - contents.keys())
        self.tally.half += sum(self._wanted.get(uri) != whole for uri, whole in contents.items())
        if contents:
            try:
                self._search(self._random.choice(sorted(contents)))
            except Exception as error:  # whatever it is, it is what a user would meet
                self.tally.failures.append(f"a search failed: {type(error).__name__}: {error}")

    def _search(self, uri: str) -> None:
        """Search for an article by its first words, in a process that opens the index anew."""
        text = self._wanted[uri][1][:80]
        index = ArticleIndex.open(self._folder)
        hits = HybridRetriever(index, 3, Where()).retrieve(Question(text, "en", self._embedder.embed_query(text)), 5)
        index.close()
        if uri not in [hit.article.uri for hit in hits]:
            self.tally.failures.append(f"a search for the first words of {uri} does not find it")

    def _compare(self) -> None:
        """Compare the index, which should hold every article by now, with the one built in one go."""
        contents = _contents(self._folder, self._embedder)
        vectors = [_vectors(folder) for folder in (self._folder, self._scratch / "reference")]
        if contents != self._wanted:
            unlike = sum(contents.get(uri) != whole for uri, whole in self._wanted.items())
            self.tally.failures.append(f"{unlike} articles are not as in the index built in one go")
        elif vectors[0] != vectors[1]:
            self.tally.failures.append(f"{vectors[0]} vectors, {vectors[1]} in the index built in one go")
        elif _rag("check", "--index", str(self._folder))[0]:
            self.tally.failures.append("rag check fails on the completed index")
        else:
            self.tally.completed += 1


def _phase(before: int, after: int, derived_changed: bool) -> str:
    if derived_changed:
        return "3 in the derived indexes, or at the end"
    if after > max(before, 0):
        return "2 after a commit, before that"
    return "1 before the first commit" if before >= 0 or after >= 0 else "0 before there was an index"


def _articles(count: int, seed: int) -> dict[str, str]:
    """Make small articles by file name, each with a title and a number of its own."""
    words, sizes = Words(seed), random.Random(seed)
    texts = {}
    for number in range(count):
        body = words.text(sizes.randint(_WORDS // 2, _WORDS * 3 // 2))
        texts[f"{number:04}.txt"] = f"Report {number} {' '.join(words.draw(3))}\n\nNumber {number} {body}\n"
    return texts


def _rag(*arguments: str) -> tuple[int, str]:
    """Run the command line; give its exit status and what it said."""
    command = [sys.executable, "-m", "rag", *arguments]
    done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def _reported(said: str) -> int:
    """Read how many articles a process said it had added, in the driver's way or the command line's."""
    if match := _SUMMARY.search(said):
        return int(match[1])
    # A line cut short by the kill would count for less than it says.
    numbers = [line for line in said.splitlines(keepends=True) if line.endswith("\n") and line.strip().isdigit()]
    return int(numbers[-1]) if numbers else 0


def _uris(folder: Path) -> set[str]:
    path = folder / "index.sqlite"
    if not path.is_file():
        return set()
    store = Store(path)
    uris = {article.uri for article in store.articles()}
    store.close()
    return uris


def _vectors(folder: Path) -> int:
    store = Store(folder / "index.sqlite")
    count = store.counts()["vectors"]
    store.close()
    return count


def _contents(folder: Path, embedder: Embedder) -> Whole:
    """Give all that an index holds, by URI; a passage without a vector is left out, and so makes its article differ."""
    store = Store(folder / "index.sqlite")
    ids = store.passage_ids()
    with_vectors, vectors = store.vectors(ids)
    if vectors.shape[1] != embedder.dim:
        raise SystemExit(f"vectors of length {vectors.shape[1]} in {folder}")
    passages: dict[str, list[tuple[int, int, int, str]]] = {}
    for passage in store.passages(with_vectors).values():
        row = (passage.ordinal, passage.start, passage.end, passage.language)
        passages.setdefault(passage.article_id, []).append(row)
    found = {a.uri: (a.title, a.text, tuple(sorted(passages.get(a.id, [])))) for a in store.articles()}
    store.close()
    return found


def _wait(is_over: Callable[[], bool]) -> None:
    while not is_over():
        time.sleep(_POLL)


if __name__ == "__main__":
    main()
