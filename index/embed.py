"""Text to vectors: the `Embedder` protocol and its two implementations.

`OnnxE5` is the default: multilingual-e5-small on the CPU, no torch. `SentenceTransformerEmbedder` runs any other
sentence-transformers model, and the default one where there is a GPU to add articles with. Import of the heavy
libraries happens when a model is first used, not before: a command that needs no model stays quick.
"""

import re
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from index import e5
from index.errors import ModelUnavailable
from index.onnx_encoder import OnnxEncoder

Floats = npt.NDArray[np.float32]

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no tokenizer takes

DEFAULT_EMBEDDER = "multilingual-e5-small"


class Embedder(Protocol):
    """Turns texts into L2-normalised vectors: the inner product of two is their cosine, -1..1."""

    @property
    def name(self) -> str:
        """Identity of the model, recorded in the index; vectors of two names are never mixed."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Longest input in the model's own tokens, special ones included; what is longer is cut off."""

    def embed_passages(self, texts: Sequence[str]) -> Floats:
        """Embed passages: float32 ``(n, dim)``."""

    def embed_query(self, text: str) -> Floats:
        """Embed a question: float32 ``(dim,)``."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens, special ones left out."""

    def warm_up(self) -> None:
        """Load the model now rather than at first use."""


class OnnxE5:
    """multilingual-e5-small through onnxruntime: int8 on the CPU (see `index.e5`). Safe to share between threads."""

    name = e5.MODEL_ID
    dim = 384
    max_tokens = 512

    def __init__(self, say: e5.Say) -> None:
        """Load nothing yet; ``say`` will receive a line if the model has to be unpacked first."""
        self._say = say

    @cached_property
    def _folder(self) -> Path:
        return e5.unpacked(self._say)

    @property
    def _tokenizer(self) -> Any:  # noqa: ANN401
        return e5.load_tokenizer(self._folder)

    @cached_property
    def _encoder(self) -> OnnxEncoder:
        return OnnxEncoder(self._folder / "encoder.onnx", e5.source_file())

    def warm_up(self) -> None:
        """Load everything now, the session beside the tokenizer."""
        _ = self._folder  # its errors are to be raised here, not in the thread
        session = threading.Thread(target=self._encoder.load)
        session.start()
        _ = self._tokenizer
        session.join()

    def embed_passages(self, texts: Sequence[str]) -> Floats:
        """Embed passages: float32 ``(n, 384)``."""
        return self._embed(["passage: " + text for text in texts])

    def embed_query(self, text: str) -> Floats:
        """Embed a question: float32 ``(384,)``."""
        vector: Floats = self._embed(["query: " + text])[0]
        return vector

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens, special ones left out."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    def embed_tokens(self, texts: Sequence[str]) -> list[tuple[npt.NDArray[np.int64], Floats]]:
        """Embed each token of each text in its context.

        Returns:
            For each text ``(n, 2)``, the characters of it under each token, and ``(n, 384)`` float32, L2-normalised.
        """
        prefix = "query: "  # e5's own for comparing texts of one kind
        whole = [_LONE_SURROGATE.sub("\ufffd", prefix + text) for text in texts]
        encodings = self._tokenizer.encode_batch(whole)
        found: list[tuple[npt.NDArray[np.int64], Floats]] = [
            (np.zeros((0, 2), np.int64), np.zeros((0, self.dim), np.float32))
        ] * len(texts)
        for batch, states, _ in self._encoder.states([encoding.ids[: self.max_tokens] for encoding in encodings]):
            for place, row in enumerate(batch):
                offsets = np.array(encodings[row].offsets[: self.max_tokens], np.int64) - len(prefix)
                real = np.flatnonzero((offsets[:, 0] >= 0) & (offsets[:, 1] > offsets[:, 0]))
                vectors = states[place, real]
                found[row] = offsets[real], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return found

    def _embed(self, texts: list[str]) -> Floats:
        whole = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        ids = [i if len(i) <= self.max_tokens else [*i[: self.max_tokens - 1], i[-1]] for i in whole]
        vectors = np.zeros((len(ids), self.dim), np.float32)
        for batch, states, lengths in self._encoder.states(ids):
            real = np.arange(states.shape[1])[None, :] < lengths[:, None]
            sums = (states * real[..., None]).sum(axis=1)
            vectors[batch] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return vectors


class SentenceTransformerEmbedder:
    """Any sentence-transformers model, on the GPU where torch finds one."""

    def __init__(self, model: str, name: str | None = None) -> None:
        """Load nothing yet; ``model`` is a folder or a name, ``name`` its identity if that is another."""
        self._path = model
        self.name = name or model

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401
        if not Path(self._path).exists():
            e5.say_on_stderr(f"Looking for the embedding model {self._path} in the cache, then on the model hub …")
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()  # theirs would mix with ours
            return SentenceTransformer(self._path)
        except Exception as error:  # a hub that is out of reach and a broken folder raise a dozen types
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelUnavailable(
                f"cannot load the embedding model {self._path!r}: {reason}; give a folder with a "
                f"sentence-transformers model, or use the default, --embedder {DEFAULT_EMBEDDER}"
            ) from error

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        """Longest input in the model's own tokens."""
        return int(self._model.max_seq_length or 512)

    def warm_up(self) -> None:
        """Load the model now."""
        _ = self._model

    def embed_passages(self, texts: Sequence[str]) -> Floats:
        """Embed passages: float32 ``(n, dim)``, with the model's own prompt for documents if it has one."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        vectors = self._model.encode_document(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    def embed_query(self, text: str) -> Floats:
        """Embed a question: float32 ``(dim,)``, with the model's own prompt for queries if it has one."""
        vector = self._model.encode_query(text, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vector, np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens, special ones left out."""
        encoded = self._model.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]


def open_embedder(name: str, say: e5.Say, *, bulk: bool = False) -> Embedder:
    """Make the embedder called ``name``: the default, or any sentence-transformers model by name or folder.

    Args:
        name: `DEFAULT_EMBEDDER`, or what ``SentenceTransformer(...)`` takes.
        say: receives a line when the model has to be unpacked first.
        bulk: many texts are coming: worth starting torch for, if there is a GPU.

    Raises:
        ModelUnavailable: when the model is first used.
    """
    if name not in (DEFAULT_EMBEDDER, e5.MODEL_ID):
        return SentenceTransformerEmbedder(str(Path(name).resolve()) if Path(name).is_dir() else name)
    if bulk and has_gpu():
        return SentenceTransformerEmbedder(str(e5.export_sentence_transformer(say)), e5.MODEL_ID)
    return OnnxE5(say)


def has_gpu() -> bool:
    """Tell whether torch can use a GPU here."""
    if not Path("/dev/nvidia0").exists():  # importing torch to be told no takes seconds
        return False
    import torch

    return bool(torch.cuda.is_available())
