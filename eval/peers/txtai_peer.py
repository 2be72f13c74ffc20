"""Driver of txtai: paragraphs by its own segmentation, in an embeddings database that keeps their text.

    PYTHON txtai_peer.py ARTICLES.jsonl QUESTIONS.jsonl MODEL_FOLDER OUT.json hybrid|dense

Runs in an environment of its own, so it imports nothing of this project; `eval.peers` says what it reads and writes.
Indexing again is its `upsert` with the same ids. A title would be a paragraph, and a passage, of its own that answers
nothing; so titles stay out.
"""

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from txtai import Embeddings  # type: ignore[import-not-found]
from txtai.pipeline import Segmentation  # type: ignore[import-not-found]

_FOUND = 10


def main(articles_file: str, questions_file: str, model_folder: str, out: str, search: str) -> None:
    """Index the articles twice, ask all questions, and write what was found."""
    articles, questions = _read(articles_file), _read(questions_file)
    embeddings = Embeddings(
        path=model_folder,
        content=True,
        hybrid=search == "hybrid",
        instructions={"query": "query: ", "data": "passage: "},
    )
    embeddings.transform("warm up", "query")
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            start = time.perf_counter()
            embeddings.upsert(_paragraphs(articles))
            embeddings.save(folder)
            times.append(time.perf_counter() - start)
    found, seconds = {}, []
    for question in questions:
        start = time.perf_counter()
        rows = embeddings.search(question["question"], _FOUND)
        seconds.append(time.perf_counter() - start)
        found[question["id"]] = [{"article": row["id"].rsplit("#", 1)[0], "text": row["text"]} for row in rows]
    result = {
        "indexing_seconds": times[0],
        "again_seconds": times[1],
        "found": found,
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "versions": {name: version(name) for name in ("txtai", "transformers", "torch")},
    }
    Path(out).write_text(json.dumps(result), "utf-8")


def _read(file: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


def _paragraphs(articles: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Give each paragraph with its id: the article's URI, ``#``, and its number."""
    split = Segmentation(paragraphs=True)
    return [(f"{article['url']}#{n}", text) for article in articles for n, text in enumerate(split(article["text"]))]


if __name__ == "__main__":
    main(*sys.argv[1:])
