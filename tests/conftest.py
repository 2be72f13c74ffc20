"""What the tests share: one built sample index, the real models, and stand-ins for tests of what is around them."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from index.article_index import ArticleIndex
from index.articles import Kind, Source
from index.build import add_articles
from index.embed import Embedder, OnnxE5
from index.store import Store
from index.types import Article
from rag.reader.pair_reader import OnnxPairReader
from rag.types import Reading

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network; has to be set before the hub's library loads

Floats = npt.NDArray[np.float32]

ROOT = Path(__file__).resolve().parent.parent
SUBPROCESS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}  # its environment
SAMPLES = ROOT / "eval" / "data" / "articles"


class TinyEmbedder:
    """A deterministic bag of words: fast, and good enough where only storing, counting and finding again matter."""

    def __init__(self, name: str = "tiny-words", dim: int = 64, max_tokens: int = 256) -> None:
        self._name, self._dim, self._max_tokens = name, dim, max_tokens

    @property
    def name(self) -> str:
        return self._name

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def embed_passages(self, texts: Sequence[str]) -> Floats:
        return np.array([self.embed_query(text) for text in texts], np.float32).reshape(len(texts), self._dim)

    def embed_query(self, text: str) -> Floats:
        words = re.findall(r"\w+", text.lower()) or [""]
        total = np.sum([_word_vector(word, self._name, self._dim) for word in words], axis=0)
        vector: Floats = (total / np.linalg.norm(total)).astype(np.float32)
        return vector

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def warm_up(self) -> None:
        pass


@lru_cache(maxsize=100_000)
def _word_vector(word: str, name: str, dim: int) -> Floats:
    seed = int.from_bytes(blake2b(f"{name} {word}".encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


class CountingEmbedder(TinyEmbedder):
    """A `TinyEmbedder` that remembers which passages it was asked to embed."""

    def __init__(self, name: str = "tiny-words", dim: int = 64, max_tokens: int = 256) -> None:
        super().__init__(name, dim, max_tokens)
        self.calls: list[list[str]] = []

    def embed_passages(self, texts: Sequence[str]) -> Floats:
        self.calls.append(list(texts))
        return super().embed_passages(texts)

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]


class ScriptedPairs:
    """Stands in for the model that reads, so that what is composed of its readings can be tested alone.

    It finds the answers that it was given, wherever a passage holds one, with the strength given for each: this is the
    relevance logit, and the margin is twice as much, as it is with the model.
    """

    def __init__(self, answers: Mapping[str, float]) -> None:
        self._answers = dict(answers)
        self.calls: list[list[tuple[str, str]]] = []

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        self.calls.append(list(passages))
        return [self._reading(text) for _, text in passages]

    def _reading(self, text: str) -> Reading:
        for answer, strength in self._answers.items():
            start = text.find(answer)
            if start >= 0:
                return Reading(strength, 2 * strength, start, start + len(answer))
        return Reading(-40.0, -80.0, 0, min(1, len(text)))

    def warm_up(self) -> None:
        pass


def open_index(folder: Path, embedder: Embedder) -> ArticleIndex:
    """Open the index in ``folder``, made empty if there is none, with an embedder that is at hand."""
    if not (folder / "index.sqlite").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        Store.create(folder / "index.sqlite", embedder.name, embedder.dim)
    return ArticleIndex(folder, Store(folder / "index.sqlite"), embedder)


def text_source(text: str | bytes, kind: Kind = "text", uri: str = "file:///news/page.txt") -> Source:
    """Make a source as `index.articles` reads it from a file."""
    return Source(uri, kind, text.encode() if isinstance(text, str) else text, uri)


def make_article(
    uri: str, text: str, title: str = "", language: str = "en", published: str | None = None, source: str = "news"
) -> Article:
    """Make an article whose id follows from its URI and text."""
    key = blake2b(f"{uri}\0{title}\0{text}".encode(), digest_size=8).hexdigest()
    return Article(key, uri, title, text, language, published, None, "2025-01-01T00:00:00+00:00", source, f"raw-{key}")


def note(number: int) -> str:
    """Write a small article with a word of its own, ``marker0042``."""
    word = f"marker{number:04}"
    return (
        f"The {word} station opened to passengers in district {number} on a rainy morning.\n\n"
        f"Its ticket office sells {word} maps to every visitor who asks for one at the counter.\n"
    )


def write_notes(folder: Path, numbers: Sequence[int]) -> list[Path]:
    """Write one file for each number; they are listed in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"note-{number:04}.txt" for number in numbers]
    for file, number in zip(files, numbers, strict=True):
        file.write_text(note(number), "utf-8")
    return files


@pytest.fixture(scope="session")
def embedder() -> OnnxE5:
    """Give the real model, loaded once."""
    model = OnnxE5(print)
    model.warm_up()
    return model


@pytest.fixture(scope="session")
def pairs() -> OnnxPairReader:
    """Give the real reader, unpacked and loaded once."""
    reader = OnnxPairReader(print)
    reader.warm_up()
    return reader


@pytest.fixture(scope="session")
def sample_index_folder(tmp_path_factory: pytest.TempPathFactory, embedder: OnnxE5) -> Path:
    """Build the index of the sample articles with the real model; copy the folder before changing it."""
    folder = tmp_path_factory.mktemp("sample") / "index"
    index = open_index(folder, embedder)
    report = add_articles(index, [SAMPLES])
    assert report.skipped == []
    index.close()
    return folder
