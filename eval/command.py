"""What ``rag eval`` and its parts do, from the gold questions to the report."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval.formats import Document, GoldSet, read_gold_set
from eval.gold import GoldQuestion, indexed_articles, missing, problems
from eval.gold import described as lines_of
from eval.judge import open_judge
from eval.records import write_json
from eval.report import write_report
from eval.run import Asker, RunFolder, check_folder, described, fingerprint, peak_megabytes
from eval.summary import summarise, table
from index.article_index import ArticleIndex
from index.articles import list_files, readable
from index.build import add_articles
from index.errors import BadRequest
from index.types import Article
from rag import Assistant, Settings

_SHOWN = 10  # problems of gold questions in one error


@dataclass(frozen=True, slots=True)
class Asked:
    """Which questions to ask of which articles.

    ``gold`` is a file of gold questions or ``FORMAT:PATH``. The articles are those of the index in the settings, unless
    ``articles`` names files to index, or the set brings its own; then the index is made in the folder of the run.
    ``lenient`` leaves out questions that the articles cannot settle instead of refusing them.
    """

    gold: str
    articles: Sequence[Path] = ()
    limit: int | None = None
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """Questions ready to be asked: each piece of evidence stands in one of ``articles``; ``left_out`` says why not."""

    questions: tuple[GoldQuestion, ...]
    articles: dict[str, Article]
    left_out: tuple[str, ...]


def evaluate(asked: Asked, out: Path, settings: Settings, judge: str = "", judge_url: str = "") -> int:
    """Ask all questions, and write records, figures and the report into ``out``; 0 if none failed, else 1.

    Raises:
        BadRequest: the questions or the folder cannot be used; says what is wrong and where.
    """
    gold = read_gold_set(asked.gold)
    judging = open_judge(settings, judge, judge_url) if judge else None
    check_folder(out)
    folder = index_of(asked, gold, out, settings)
    assistant = Assistant.open(folder, settings)
    prepared = prepare(asked, gold, assistant.index)
    run = described(asked.gold, prepared.questions, assistant.index, settings)
    run = {**run, "judge": f"{judge} {judge_url}".strip(), "gold": {**run["gold"], "left_out": list(prepared.left_out)}}
    kept = RunFolder(out, run)
    if kept.records:
        print(f"{out} holds {len(kept.records)} of {len(prepared.questions)} answers already; only the rest is asked")
    asker = Asker(assistant, prepared.articles, judging, date.fromisoformat(kept.run["started"][:10]))
    with tqdm(
        total=len(prepared.questions), initial=len(kept.records), desc="Asking", unit=" questions", disable=None
    ) as bar:
        for _ in kept.ask_all(prepared.questions, asker.ask):
            bar.update()
    if fingerprint(assistant.index) != kept.run["index"]["fingerprint"]:
        raise BadRequest(
            f"the index in {folder} changed while it was asked, so {out} mixes two: ask again into a new folder"
        )
    summary = {
        "run": kept.run,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(sum(record.timings["total_ms"] for record in kept.records) / 1000, 1),
        "memory_mb": peak_megabytes(),
        **summarise(kept.records),
    }
    write_json(out / "summary.json", summary)
    write_report(summary, kept.records, out / "report.html")
    _print(summary, prepared.left_out, out)
    return 1 if summary["failed"] else 0


def _print(summary: dict[str, Any], left_out: Sequence[str], out: Path) -> None:
    index = summary["run"]["index"]
    print(f"\nquestions: {summary['questions']}; articles: {index['articles']}, in {index['folder']}\n")
    print(table(summary))
    total = next(stage for stage in summary["stages"] if stage["stage"] == "total")
    print(f"\nan answer: {total['p50_ms']:.0f} ms (p50), {total['p95_ms']:.0f} ms (p95); {summary['memory_mb']} MB")
    if summary["citation_characters"]:
        print(f"a citation: {summary['citation_characters']:.0f} characters")
    if left_out:
        print(f"left out: {len(left_out)}, for example {left_out[0]}")
    if summary["failed"]:
        print(f"could not be asked: {summary['failed']}; see their error in {out / 'records.jsonl'}")
    print(f"report: {out / 'report.html'}")


def index_of(asked: Asked, gold: GoldSet, out: Path, settings: Settings) -> Path:
    """Give the index to ask; one of the articles named, or of those that the set brings, is made in ``out`` first."""
    if asked.articles and gold.documents is not None:
        raise BadRequest(f"{asked.gold} brings its own articles: leave --articles out")
    if not asked.articles and gold.documents is None:
        return settings.index
    if lost := [str(path) for path in asked.articles if not path.exists()]:
        raise BadRequest(f"no such file or folder: {', '.join(lost)}")
    folder = _made_of(_digest(asked.articles, gold.documents or ()), out)
    paths = list(asked.articles)
    if gold.documents is not None:
        paths = [_written(gold.documents, folder / "documents.jsonl")]
    index = ArticleIndex.open(folder, settings.embedder or None, bulk=True, create=True)
    with tqdm(desc="Indexing", unit=" articles", leave=False, disable=None) as bar:
        report = add_articles(index, paths, show=lambda p: bar.update(p.report.added - bar.n) and None)
    index.close()
    for skipped in report.skipped[:_SHOWN]:
        print(f"  skipped {readable(skipped.uri)}: {skipped.reason}")
    return folder


def _made_of(articles: str, out: Path) -> Path:
    """Give the folder for the index of a run, which no other index may be in: nothing is ever removed from it."""
    folder, mark = out / "index", out / "articles.sha256"
    if mark.is_file() and mark.read_text("utf-8") != articles:
        raise BadRequest(f"{out} was made of other articles, or they have changed since: name a new folder with --out")
    if folder.exists() and not mark.is_file():
        raise BadRequest(f"{folder} is another index: name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(articles, "utf-8")  # first: a process killed here must not leave a folder that nobody owns
    folder.mkdir(exist_ok=True)
    return folder


def _digest(paths: Sequence[Path], documents: Sequence[Document]) -> str:
    """Give what articles are told from others by: the files' names, sizes and times, or the documents themselves."""
    files = [file for file in list_files(paths) if isinstance(file, Path)]
    known = [(file.as_uri(), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    return hashlib.sha256(repr([*known, *documents]).encode("utf-8", "replace")).hexdigest()


def _written(documents: Sequence[Document], path: Path) -> Path:
    path.write_text("".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in documents), "utf-8")
    return path


def prepare(asked: Asked, gold: GoldSet, index: ArticleIndex) -> Prepared:
    """Choose the questions to ask, and find the articles of their evidence.

    Raises:
        BadRequest: evidence is not in the index, or a question is there twice; names the lines.
    """
    questions = gold.questions[: asked.limit]
    names = {e.article for q in questions for e in q.evidence}
    articles = indexed_articles(index, names)
    if gold.documents is None:
        found = list(problems(questions, articles))
    else:  # a public set is as it is; what the cleaning of its articles took away cannot be found
        found = [(q, text) for q in questions for e in q.evidence if (text := missing(e, articles.get(e.article)))]
    reasons = {(q.id, q.place): (q, text) for q, text in reversed(found)}  # of each question the first
    kept = tuple(q for q in questions if (q.id, q.place) not in reasons)
    is_strict = gold.documents is None and not asked.lenient
    if not kept or (found and is_strict):
        raise BadRequest(_refusal(asked.gold, found, index, is_unrelated=bool(names) and not articles))
    left_out = lines_of(reversed(reasons.values())).splitlines()
    return Prepared(kept, articles, (*gold.left_out, *left_out))


def _refusal(gold: str, found: Sequence[tuple[GoldQuestion, str]], index: ArticleIndex, *, is_unrelated: bool) -> str:
    if is_unrelated:
        return (
            f"none of the articles that {gold} asks about is in {index.folder}: it was built from others; "
            "name theirs with --index, or the files with --articles"
        )
    shown = lines_of(found[:_SHOWN])
    more = f"\n… and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{gold} does not fit the articles in {index.folder} (--lenient leaves such questions out):\n{shown}{more}"
