"""Reading a question against passages: one pass gives how likely each answers, and where the answer stands.

`OnnxPairReader` runs on the CPU in int8, with no torch; `TorchPairReader` runs the same weights where there is a GPU.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from index import e5
from index.embed import has_gpu
from index.onnx_encoder import OnnxEncoder, word_batches
from rag.reader.weights import ReaderWeights, expected_sha256, installed_weights
from rag.types import Reading

Floats = npt.NDArray[np.float32]

WINDOW = 256  # tokens that are read at once, the question's and the title's among them
MOST_QUESTION, MOST_TITLE = 48, 32  # tokens
_OVERLAP = 64  # tokens that two windows of a long passage share
_LONGEST_ANSWER = 48  # tokens
_START, _END = 0, 2  # the ids of <s> and </s>


class PairReader(Protocol):
    """Reads one question against several passages."""

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        """Give a reading of each passage, a pair of title and text."""

    def warm_up(self) -> None:
        """Load the model now rather than at first use."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a passage as the model reads it.

    ``offsets`` ``(n, 2)`` are the characters of the passage under each of its tokens, of which the first is the input's
    number ``first``; ``lines`` ``(n,)`` says which of the passage's lines each stands in.
    """

    passage: int
    ids: list[int]
    first: int
    offsets: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]


def as_heading(title: str) -> str:
    """Give a title as it stands before its passage."""
    return f"{title}." if title else ""


def windows(question: str, passages: Sequence[tuple[str, str]], tokenizer: Any) -> Iterator[Window]:  # noqa: ANN401
    """Lay out ``<s> question </s></s> title. passage </s>``, in overlapping windows where a passage is long."""
    encodings = tokenizer.encode_batch(
        [question, *(as_heading(title) for title, _ in passages), *(text for _, text in passages)],
        add_special_tokens=False,
    )
    asked, titles, texts = encodings[0], encodings[1 : 1 + len(passages)], encodings[1 + len(passages) :]
    for number, (title, text) in enumerate(zip(titles, texts, strict=True)):
        opening = [_START, *asked.ids[:MOST_QUESTION], _END, _END, *title.ids[:MOST_TITLE]]
        room = WINDOW - len(opening) - 1
        offsets = np.array(text.offsets, np.int64).reshape(-1, 2)
        breaks = [at for at, character in enumerate(passages[number][1]) if character == "\n"]
        lines = np.searchsorted(breaks, offsets[:, 0])
        for low in range(0, max(1, len(text.ids) - _OVERLAP), room - _OVERLAP):
            ids = [*opening, *text.ids[low : low + room], _END]
            yield Window(number, ids, len(opening), offsets[low : low + room], lines[low : low + room])


class _ByWindows:
    """What both readers have in common: from texts to windows, from the model's scores to readings."""

    def __init__(self, say: e5.Say) -> None:
        self._say = say

    @property
    def _tokenizer(self) -> Any:  # noqa: ANN401
        return e5.load_tokenizer(e5.unpacked(self._say))

    def read(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Reading]:
        """Give a reading of each passage, a pair of title and text; of a long one, that of its best window."""
        if not passages:
            return []
        laid_out = list(windows(question, passages, self._tokenizer))
        best: dict[int, Reading] = {}
        for row, relevance, spans in self._scores([window.ids for window in laid_out]):
            window = laid_out[row]
            reading = _decoded(window, relevance, spans)
            known = best.get(window.passage)
            if known is None or reading.relevance + reading.margin > known.relevance + known.margin:
                best[window.passage] = reading
        return [best[number] for number in range(len(passages))]

    def _scores(self, ids: list[list[int]]) -> Iterator[tuple[int, float, Floats]]:
        """Give, for each window in any order, its number, its relevance logit, and its span logits ``(l, 2)``."""
        raise NotImplementedError


class OnnxPairReader(_ByWindows):
    """The reader in int8 on the CPU. Safe to share between threads."""

    @cached_property
    def _weights(self) -> ReaderWeights:
        return installed_weights()

    @cached_property
    def _encoder(self) -> OnnxEncoder:
        return OnnxEncoder(_unpacked(self._weights, self._say) / "reader.onnx", e5.source_file())

    @cached_property
    def _heads(self) -> dict[str, Floats]:
        hidden = self._weights.hidden
        names = ("rel0.w", "rel0.b", "rel1.w", "rel1.b", "span.w", "span.b")
        flat = {name: self._weights.vector(name) for name in names}
        return {name: v.reshape(-1, hidden).T if name.endswith(".w") else v for name, v in flat.items()}

    def warm_up(self) -> None:
        """Load the model now."""
        self._encoder.load()
        _ = self._tokenizer, self._heads

    def _scores(self, ids: list[list[int]]) -> Iterator[tuple[int, float, Floats]]:
        heads = self._heads
        for batch, states, lengths in self._encoder.states(ids):
            inner = np.tanh(states[:, 0] @ heads["rel0.w"] + heads["rel0.b"])
            relevance = inner @ heads["rel1.w"] + heads["rel1.b"]
            spans = states @ heads["span.w"] + heads["span.b"]
            for place, row in enumerate(batch):
                yield row, float(relevance[place, 0]), spans[place, : lengths[place]]


class TorchPairReader(_ByWindows):
    """The reader through torch: in bfloat16 on a GPU, in float32 on the CPU."""

    def __init__(self, say: e5.Say, device: str = "cuda") -> None:
        """Load nothing yet; ``device`` as torch names it."""
        super().__init__(say)
        self._device = device

    @cached_property
    def _network(self) -> Any:  # noqa: ANN401
        from rag.reader.network import ReaderNetwork

        weights = installed_weights()
        network = ReaderNetwork(weights)
        network.load_heads(weights)
        return network.to(self._device).eval()

    def warm_up(self) -> None:
        """Load the model now."""
        _ = self._network, self._tokenizer

    def _scores(self, ids: list[list[int]]) -> Iterator[tuple[int, float, Floats]]:
        import torch

        source = e5.source_file()
        half = self._device != "cpu"
        for batch, embeddings, lengths in word_batches(ids, source):
            words = torch.from_numpy(embeddings).to(self._device, torch.bfloat16 if half else torch.float32)
            with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=half):
                relevance, spans = self._network(words, torch.from_numpy(lengths).to(self._device))
            for place, row in enumerate(batch):
                yield row, float(relevance[place]), spans[place, : lengths[place]].float().cpu().numpy()


def open_pair_reader(say: e5.Say) -> PairReader:
    """Give the reader for this machine: through torch where there is a GPU, else through onnxruntime.

    Args:
        say: receives a line when the model has to be unpacked first.
    """
    return TorchPairReader(say) if has_gpu() else OnnxPairReader(say)


def _unpacked(weights: ReaderWeights, say: e5.Say) -> Path:
    def write(folder: Path) -> None:
        import onnx

        onnx.save(e5.encoder_graph(weights), str(folder / "reader.onnx"))

    name = f"reader-{expected_sha256()[:12]}-{e5.RECIPE}"
    return e5.unpack_once(name, write, lambda: say("Unpacking the reader (once) …"))


def _decoded(window: Window, relevance: float, spans: Floats) -> Reading:
    """Find the best span of a window, against the score of none at ``<s>``.

    An answer has no more than `_LONGEST_ANSWER` tokens and stays in one line: headline and text are no one sentence.
    """
    count = len(window.offsets)
    none = float(spans[0].sum())
    if not count:
        return Reading(relevance, -none, 0, 0)
    starts, ends = spans[window.first : window.first + count].T
    scores = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones((count, count), bool)) & ~np.triu(np.ones((count, count), bool), _LONGEST_ANSWER)
    allowed &= window.lines[:, None] == window.lines[None, :]
    scores = np.where(allowed, scores, -np.inf)
    start, end = np.unravel_index(int(scores.argmax()), scores.shape)
    margin = float(scores[start, end]) - none
    return Reading(relevance, margin, int(window.offsets[start, 0]), int(window.offsets[end, 1]))
