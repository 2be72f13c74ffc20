"""The trained reader's weights: one safetensors file, 8 bits a weight; see ``weights/MODEL_CARD.md`` beside it.

Matrices are stored in blocks of 32 weights along the input, each with a float16 scale (as GGML's Q8_0), so that the
few large columns of a layer cost the others no precision. Vectors and heads are float32. What training left as it was
(the word embeddings and the frozen layers) is not in the file: it is the embedding model's, read from its package.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from index.e5 import E5File, source_file
from index.errors import ModelUnavailable

Floats = npt.NDArray[np.float32]

FILE = Path(__file__).parent / "weights" / "reader.safetensors"
_BLOCK = 32


class ReaderWeights:
    """What was trained, over the embedding model's own weights; an `index.e5.EncoderWeights`."""

    def __init__(self, base: E5File, path: Path) -> None:
        """Read ``path``, trained from ``base``.

        Raises:
            ModelUnavailable: the file is missing or not a reader's.
        """
        try:
            opened: Any = safe_open(path, "numpy")
            self._file = opened
            self._trained = frozenset(opened.keys())
            if "rel0.w" not in self._trained:
                raise ValueError("it has no relevance head")
        except Exception as error:  # safetensors raises types of its own beside OSError
            raise ModelUnavailable(
                f"cannot read the reader's weights {path} ({error}); install rag-articles again"
            ) from error
        self._base = base

    @property
    def hidden(self) -> int:
        """Width of the states, 384."""
        return self._base.hidden

    @property
    def layers(self) -> int:
        """Number of transformer layers, 12."""
        return self._base.layers

    @property
    def heads(self) -> int:
        """Number of attention heads, 12."""
        return self._base.heads

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward part, 1536."""
        return self._base.feed_forward

    @property
    def epsilon(self) -> float:
        """Epsilon of every LayerNorm."""
        return self._base.epsilon

    def vector(self, name: str) -> Floats:
        """Give a vector, or a matrix kept in float32, flat."""
        if name not in self._trained:
            return self._base.vector(name)
        trained: Floats = self._file.get_tensor(name).reshape(-1)
        return trained

    def matrix(self, name: str, n_in: int) -> Floats:
        """Give a matrix as float32 of shape ``(n_out, n_in)``."""
        if name not in self._trained:
            return self._base.matrix(name, n_in)
        blocks = self._file.get_tensor(name).reshape(-1, n_in // _BLOCK, _BLOCK).astype(np.float32)
        values: Floats = blocks * self._file.get_tensor(f"{name}.scale").astype(np.float32)[..., None]
        return values.reshape(-1, n_in)


def installed_weights() -> ReaderWeights:
    """Check and open the weights that came with this package.

    Raises:
        ModelUnavailable: they are missing or damaged.
    """
    verify_file()
    return ReaderWeights(source_file(), FILE)


def expected_sha256() -> str:
    """Give the SHA-256 that was taken of the file of weights when it was written.

    Raises:
        ModelUnavailable: it is missing.
    """
    try:
        return FILE.with_suffix(".sha256").read_text().split()[0]
    except (OSError, IndexError) as error:
        raise ModelUnavailable(f"the reader's weights are missing ({error}); install rag-articles again") from error


def verify_file() -> None:
    """Check the installed file of weights.

    Raises:
        ModelUnavailable: it is missing, or is not the one that its SHA-256 was taken of.
    """
    try:
        with FILE.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelUnavailable(f"the reader's weights are missing ({error}); install rag-articles again") from error
    if found != expected_sha256():
        raise ModelUnavailable(f"{FILE} is damaged (wrong SHA-256); install rag-articles again")


def save_weights(trained: Mapping[str, Floats], path: Path, facts: Mapping[str, str]) -> None:
    """Write trained weights, matrices of an encoder in 8 bits, with a SHA-256 beside them.

    Args:
        trained: by the names of `index.e5.EncoderWeights`; only what differs from the embedding model's.
        path: of the safetensors file.
        facts: strings to keep with them, such as how they were trained.
    """
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for name, values in trained.items():
        if values.ndim == 2 and name.startswith("l"):
            blocks = values.reshape(len(values), -1, _BLOCK)
            scales = (np.abs(blocks).max(axis=2) / 127).astype(np.float16)
            safe = np.maximum(scales.astype(np.float32), 1e-8)
            tensors[name] = np.clip(np.rint(blocks / safe[..., None]), -127, 127).astype(np.int8).reshape(values.shape)
            tensors[f"{name}.scale"] = scales
        else:
            tensors[name] = np.ascontiguousarray(values, np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, dict(facts))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n")


def facts_of(settings: Mapping[str, object]) -> dict[str, str]:
    """Turn settings into what safetensors keeps: strings."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
