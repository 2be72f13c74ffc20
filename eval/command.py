"""What ``rag eval`` and its parts do, from the gold questions to the report."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval.formats import Document, GoldSet, read_gold_set
from eval.gold import GoldQuestion, indexed_articles, missing, problems
from eval.gold import described as lines_of
from eval.judge import open_judge
from eval.records import write_json
from eval.report import write_report
from eval.run import Asker, RunFolder, described, peak_megabytes
from eval.summary import summarise, table
from index.article_index import ArticleIndex
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
    folder = index_of(asked, gold, out, settings)
    assistant = Assistant.open(folder, settings)
    prepared = prepare(asked, gold, assistant.index)
    run = described(asked.gold, prepared.questions, assistant.index, settings)
    run = {**run, "judge": judge, "gold": {**run["gold"], "left_out": list(prepared.left_out)}}
    kept = RunFolder(out, run)
    if kept.records:
        print(f"{out} has {len(kept.records)} of {len(prepared.questions)} questions already; going on.")
    asker = Asker(assistant, prepared.articles, judging)
    start = time.perf_counter()
    with tqdm(
        total=len(prepared.questions), initial=len(kept.records), desc="Asking", unit=" questions", disable=None
    ) as bar:
        for _ in kept.ask_all(prepared.questions, asker.ask):
            bar.update()
    summary = {
        "run": kept.run,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
        "memory_mb": peak_megabytes(),
        **summarise(kept.records),
    }
    write_json(out / "summary.json", summary)
    write_report(summary, kept.records, out / "report.html")
    _print(summary, prepared.left_out, out)
    return 1 if summary["failed"] else 0


def _print(summary: dict[str, Any], left_out: Sequence[str], out: Path) -> None:
    index = summary["run"]["index"]
    print(f"\n{summary['questions']} questions of {index['articles']} articles in {index['folder']}\n")
    print(table(summary))
    total = next(stage for stage in summary["stages"] if stage["stage"] == "total")
    print(
        f"\nan answer takes {total['p50_ms']:.0f} ms (p50), {total['p95_ms']:.0f} ms (p95); {summary['memory_mb']} MB"
    )
    if left_out:
        print(f"{len(left_out)} questions left out, for example {left_out[0]}")
    if summary["failed"]:
        print(f"{summary['failed']} questions could not be asked: see their error in {out / 'records.jsonl'}")
    print(f"report: {out / 'report.html'}")


def index_of(asked: Asked, gold: GoldSet, out: Path, settings: Settings) -> Path:
    """Give the index to ask; one of the articles named, or of those that the set brings, is made first."""
    if asked.articles and gold.documents is not None:
        raise BadRequest(f"{asked.gold} brings its own articles: leave --articles out")
    if not asked.articles and gold.documents is None:
        return settings.index
    folder = out.with_name(f"{out.name}-index")
    paths = list(asked.articles)
    if gold.documents is not None:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [_written(gold.documents, folder / "documents.jsonl")]
    index = ArticleIndex.open(folder, settings.embedder or None, bulk=True, create=True)
    with tqdm(desc="Indexing", unit=" articles", leave=False, disable=None) as bar:
        report = add_articles(index, paths, sync=True, show=lambda p: bar.update(p.report.added - bar.n) and None)
    index.close()
    for skipped in report.skipped[:_SHOWN]:
        print(f"  skipped {skipped.uri}: {skipped.reason}")
    return folder


def _written(documents: Sequence[Document], path: Path) -> Path:
    path.write_text("".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in documents), "utf-8")
    return path


def prepare(asked: Asked, gold: GoldSet, index: ArticleIndex) -> Prepared:
    """Choose the questions to ask, and find the articles of their evidence.

    Raises:
        BadRequest: evidence is not in the index, or a question is there twice; names the lines.
    """
    questions = gold.questions[: asked.limit]
    articles = indexed_articles(index, {e.article for q in questions for e in q.evidence})
    if gold.documents is None:
        found = list(problems(questions, articles))
    else:  # a public set is as it is; what the cleaning of its articles took away cannot be found
        found = [(q, text) for q in questions for e in q.evidence if (text := missing(e, articles.get(e.article)))]
    left_out = [*gold.left_out, *lines_of(found).splitlines()]
    if found and not asked.lenient and gold.documents is None:
        raise BadRequest(_refusal(asked.gold, found, index, bool(articles)))
    bad = {question.id for question, _ in found}
    kept = tuple(question for question in questions if question.id not in bad)
    if not kept:
        raise BadRequest(_refusal(asked.gold, found, index, bool(articles)))
    return Prepared(kept, articles, tuple(left_out))


def _refusal(gold: str, found: Sequence[tuple[GoldQuestion, str]], index: ArticleIndex, is_related: bool) -> str:
    if not is_related:
        return (
            f"none of the articles that {gold} asks about is in {index.folder}: it was built from others; "
            "name theirs with --index, or the files with --articles"
        )
    shown = lines_of(found[:_SHOWN])
    more = f"\n… and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{gold} does not fit the articles in {index.folder} (--lenient leaves such questions out):\n{shown}{more}"
