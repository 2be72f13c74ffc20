"""A transformer of `index.e5` through onnxruntime: token ids to states. The only file that imports onnxruntime."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from index.e5 import E5File

Floats = npt.NDArray[np.float32]

_BATCH_TOKENS = 2048  # padded tokens in one forward pass: past this more memory, no more speed
_SHORTEST = 0.6  # of the longest text in a batch: a shorter one costs less in the next batch than padded in this
_PADDING = 1


class OnnxEncoder:
    """Runs a graph that `index.e5.encoder_graph` built. Safe to share between threads."""

    def __init__(self, graph: Path, source: E5File) -> None:
        """Load nothing yet.

        Args:
            graph: the ONNX file.
            source: has the word and position embeddings that the graph's input is made of.
        """
        self._graph = graph
        self._source = source

    @cached_property
    def _positions(self) -> Floats:
        """Give what is added to each word embedding: the position's and the only segment's, ``(512, hidden)``."""
        hidden = self._source.hidden
        segment = self._source.vector("emb.type").reshape(-1, hidden)[0]
        positions: Floats = self._source.vector("emb.pos").reshape(-1, hidden) + segment
        return positions

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        # Threads that spin while they wait for work take half the time of a query, and of others who run beside it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The graph is written in fused operators already: optimising it again only delays the start.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(str(self._graph), options, providers=["CPUExecutionProvider"])

    def load(self) -> None:
        """Load everything now."""
        _ = self._session, self._positions

    def states(self, ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Floats, npt.NDArray[np.int32]]]:
        """Encode token ids, those of like length together, longest first.

        Args:
            ids: of each text, special ones included, at most 512.

        Yields:
            Which texts (their places in ``ids``), their states ``(b, l, hidden)``, and how many of the ``l`` are real.
        """
        for batch, words, lengths in word_batches(ids, self._source):
            embeddings = words + self._positions[: words.shape[1]]
            (states,) = self._session.run(None, {"embeddings": embeddings, "lengths": lengths})
            yield batch, states, lengths


def word_batches(
    ids: Sequence[Sequence[int]], source: E5File
) -> Iterator[tuple[list[int], Floats, npt.NDArray[np.int32]]]:
    """Look up the word embeddings of token ids, those of like length together, longest first.

    Yields:
        Which texts (their places in ``ids``), their embeddings ``(b, l, hidden)``, and how many of the ``l`` are real.
    """
    for batch in in_batches([len(i) for i in ids]):
        lengths = np.array([len(ids[i]) for i in batch], np.int32)
        padded = np.full((len(batch), lengths.max()), _PADDING, np.int64)
        for row, i in enumerate(batch):
            padded[row, : lengths[row]] = ids[i]
        words, where = np.unique(padded, return_inverse=True)
        yield batch, source.word_rows(words)[where.reshape(padded.shape)], lengths


def in_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group indices by length, longest first, so that little is padded and a batch stays in `_BATCH_TOKENS`."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[batch[0]] if batch else 0
        if batch and ((len(batch) + 1) * longest > _BATCH_TOKENS or lengths[i] < _SHORTEST * longest):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
