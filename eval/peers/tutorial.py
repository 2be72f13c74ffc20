"""Driver of LangChain, put together as its tutorials do: split by characters, embed, keep in FAISS, search.

    PYTHON tutorial.py ARTICLES.jsonl QUESTIONS.jsonl MODEL_FOLDER OUT.json

Runs in an environment of its own, so it imports nothing of this project; `eval.peers` says what it reads and writes.
It is given the prefixes that the model was trained with, which a tutorial for any model leaves out. It has no way to
tell what has changed: indexing again is indexing anew.
"""

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_community.vectorstores import FAISS  # type: ignore[import-not-found]
from langchain_huggingface import HuggingFaceEmbeddings  # type: ignore[import-not-found]
from langchain_text_splitters import RecursiveCharacterTextSplitter  # type: ignore[import-not-found]

_FOUND = 10


def main(articles_file: str, questions_file: str, model_folder: str, out: str) -> None:
    """Index the articles twice, ask all questions, and write what was found."""
    articles, questions = _read(articles_file), _read(questions_file)
    embeddings = HuggingFaceEmbeddings(
        model_name=model_folder,
        encode_kwargs={"prompt": "passage: ", "normalize_embeddings": True},
        query_encode_kwargs={"prompt": "query: ", "normalize_embeddings": True},
    )
    embeddings.embed_query("warm up")
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            start = time.perf_counter()
            store = _index(articles, embeddings, folder)
            times.append(time.perf_counter() - start)
    found, seconds = {}, []
    for question in questions:
        start = time.perf_counter()
        documents = store.similarity_search(question["question"], k=_FOUND)
        seconds.append(time.perf_counter() - start)
        found[question["id"]] = [{"article": d.metadata["source"], "text": d.page_content} for d in documents]
    result = {
        "indexing_seconds": times[0],
        "again_seconds": times[1],
        "found": found,
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "versions": {name: version(name) for name in ("langchain-community", "sentence-transformers", "torch")},
    }
    Path(out).write_text(json.dumps(result), "utf-8")


def _read(file: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


def _index(articles: list[dict[str, str]], embeddings: HuggingFaceEmbeddings, folder: str) -> Any:  # noqa: ANN401
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    texts = [f"{article['title']}\n\n{article['text']}" for article in articles]
    documents = splitter.create_documents(texts, [{"source": article["url"]} for article in articles])
    store = FAISS.from_documents(documents, embeddings)
    store.save_local(folder)
    return store


if __name__ == "__main__":
    main(*sys.argv[1:])
