"""Driver of haiku.rag: docling's chunks in SQLite, vectors and full text fused, the model behind Ollama's interface.

    PYTHON haiku_peer.py ARTICLES.jsonl QUESTIONS.jsonl MODEL_FOLDER OUT.json

Runs in an environment of its own, so it imports nothing of this project; `eval.peers` says what it reads and writes.
haiku.rag asks a server for each vector; here that is a thread of this process, which also puts the model's prefixes
in front, as haiku.rag does not tell passages from questions. Its reranker needs an LLM and is off. Indexing is
`create_document_from_source` on files, which passes over a file that has not changed. The vocabulary by which it sizes
chunks is fetched when it is imported; litellm, which it does not need otherwise, ships the same file.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pysqlite3  # type: ignore[import-not-found]

sys.modules["sqlite3"] = pysqlite3  # many a Python has a sqlite3 that loads no extensions, which haiku.rag needs
sys.modules["torchvision"] = None  # type: ignore[assignment]  # PyPI's, for CUDA, fails beside a torch for CPUs

from sentence_transformers import SentenceTransformer  # noqa: E402

_FOUND = 10


class _EmbeddingServer(ThreadingHTTPServer):
    """Answers Ollama's ``POST /api/embeddings`` on a free port of this machine; ``prefix`` goes before each text."""

    def __init__(self, model_folder: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = SentenceTransformer(model_folder, device="cpu")
        self.prefix = "passage: "

    def embed(self, text: str) -> list[float]:
        vector: list[float] = self.model.encode(self.prefix + text, normalize_embeddings=True).tolist()
        return vector


class _Handler(BaseHTTPRequestHandler):
    server: _EmbeddingServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"embedding": self.server.embed(asked["prompt"])}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


def main(articles_file: str, questions_file: str, model_folder: str, out: str) -> None:
    """Index the articles twice, ask all questions, and write what was found."""
    articles, questions = _read(articles_file), _read(questions_file)
    server = _EmbeddingServer(model_folder)
    server.embed("warm up")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        _configure(server, folder)
        result = asyncio.run(_run(articles, questions, server, Path(folder)))
    server.shutdown()
    Path(out).write_text(json.dumps(result), "utf-8")


def _read(file: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


def _configure(server: _EmbeddingServer, folder: str) -> None:
    """Set haiku.rag's environment, which it reads once, when it is imported."""
    litellm = find_spec("litellm")
    assert litellm and litellm.origin
    os.environ |= {
        "DEFAULT_DATA_DIR": folder,
        "EMBEDDINGS_PROVIDER": "ollama",
        "EMBEDDINGS_MODEL": "multilingual-e5-small",
        "EMBEDDINGS_VECTOR_DIM": str(len(server.embed("dimensions"))),
        "OLLAMA_BASE_URL": f"http://127.0.0.1:{server.server_port}",
        "RERANK_PROVIDER": "",
        "TIKTOKEN_CACHE_DIR": str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers"),
    }


async def _run(
    articles: list[dict[str, str]], questions: list[dict[str, str]], server: _EmbeddingServer, folder: Path
) -> dict[str, Any]:
    from haiku.rag.client import HaikuRAG  # type: ignore[import-not-found]

    addresses = _write_files(articles, folder)
    times = []
    async with HaikuRAG(folder / "haiku.rag.sqlite") as client:
        for _ in range(2):
            start = time.perf_counter()
            for file in addresses:
                await client.create_document_from_source(Path(file), {})
            times.append(time.perf_counter() - start)
        server.prefix = "query: "
        found, seconds = {}, []
        for question in questions:
            start = time.perf_counter()
            chunks = await client.search(question["question"], limit=_FOUND)
            seconds.append(time.perf_counter() - start)
            found[question["id"]] = [
                {"article": addresses[chunk.document_uri.removeprefix("file://")], "text": chunk.content}
                for chunk, _ in chunks
            ]
    return {
        "indexing_seconds": times[0],
        "again_seconds": times[1],
        "found": found,
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "versions": {name: version(name) for name in ("haiku.rag", "docling", "sentence-transformers", "torch")},
    }


def _write_files(articles: list[dict[str, str]], folder: Path) -> dict[str, str]:
    """Write each article as Markdown, its title as the heading; give the URI of each by its file."""
    addresses = {}
    for number, article in enumerate(articles):
        file = folder / f"{number}.md"
        file.write_text(f"# {article['title']}\n\n{article['text']}\n", "utf-8")
        addresses[str(file)] = article["url"]
    return addresses


if __name__ == "__main__":
    main(*sys.argv[1:])
