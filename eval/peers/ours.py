"""Driver of this project through its Python API, in the interpreter that runs `eval.peers`.

    PYTHON ours.py ARTICLES.jsonl QUESTIONS.jsonl MODEL_FOLDER OUT.json read|unread

``read`` has the passages reranked by the model that reads them, ``unread`` leaves them as they were found. The model
folder is not used: the same weights in int8 come with the project. Indexing includes reading the file and cleaning.
"""

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from index.article_index import ArticleIndex
from index.build import add_articles
from rag import Assistant, Settings

_FOUND = 10


def main(articles_file: str, questions_file: str, _: str, out: str, reading: str) -> None:
    """Index the articles twice, ask all questions, and write what was found."""
    questions = [json.loads(line) for line in Path(questions_file).read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        times = _index(Path(articles_file), Path(folder))
        assistant = Assistant.open(folder, Settings())
        found, seconds = {}, []
        for question in questions:
            start = time.perf_counter()
            hits = assistant.retrieve(question["question"], _FOUND, rerank=reading == "read")
            seconds.append(time.perf_counter() - start)
            found[question["id"]] = [{"article": hit.article.uri, "text": hit.text} for hit in hits]
    result = {
        "indexing_seconds": times[0],
        "again_seconds": times[1],
        "found": found,
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "versions": {name: version(name) for name in ("rag-articles", "onnxruntime")},
    }
    Path(out).write_text(json.dumps(result), "utf-8")


def _index(articles: Path, folder: Path) -> list[float]:
    """Index the articles twice; give the seconds of each time."""
    index = ArticleIndex.open(folder, create=True)
    index.embedder.warm_up()
    times = []
    for _ in range(2):
        start = time.perf_counter()
        report = add_articles(index, [articles])
        times.append(time.perf_counter() - start)
        if report.skipped:
            raise SystemExit(f"not indexed: {report.skipped}")
    index.close()
    return times


if __name__ == "__main__":
    main(*sys.argv[1:])
