"""Train the reader on public question-answer pairs.

    python -m rag.reader.train POOL.jsonl.zst --out FOLDER

Takes some 90 minutes on two cores that multiply bfloat16 matrices (AMX), minutes on a GPU. Stopped, it goes on from
its last checkpoint when called again. Needs the extra ``train``.
"""

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from index import e5
from index.embed import DEFAULT_EMBEDDER, open_embedder
from rag.reader.code_switching import read_dictionaries, switched
from rag.reader.network import ReaderNetwork
from rag.reader.pair_reader import MOST_QUESTION, MOST_TITLE, WINDOW, as_heading
from rag.reader.pairs import Pair, cached_pairs
from rag.reader.weights import ReaderWeights, facts_of, save_weights

Ints = npt.NDArray[np.int32]

_NO_TITLE = 0.25  # how often a title is left out, so that the reader does without
_BATCH_TOKENS = 6144
_SORTED_TOGETHER = 64  # batches: pairs of like length are put together among so many
_CHECKPOINT_STEPS = 200
_LOOK_STEPS, _LOOK_PAIRS = 600, 500  # how often, and at how many held-back pairs, training stops to look
_WARM_UP = 0.06
_HEAD_RATE = 4.0  # of the heads, times the encoder's


@dataclass(frozen=True, slots=True)
class Example:
    """A pair in tokens; ``answers`` are the first and the last token of each, within ``text``."""

    question: Ints
    title: Ints
    text: Ints
    answers: tuple[tuple[int, int], ...]

    def length(self) -> int:
        """Give the tokens of the input, special ones included, at most what training takes."""
        return min(WINDOW, 4 + len(self.question) + len(self.title) + len(self.text))


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of one step: ids ``(b, l)``, lengths, where the passage starts, and the first and last answer token.

    Both answer tokens are 0, the opening ``<s>``, where there is no answer.
    """

    ids: Tensor
    lengths: Tensor
    passages: Tensor
    starts: Tensor
    ends: Tensor


def main() -> None:
    """Train, resume, and save the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path, help="examples, one JSON a line, compressed with zstandard")
    parser.add_argument("--out", type=Path, required=True, help="for checkpoints, the log and the weights")
    parser.add_argument("--start", type=Path, help="a trained reader's weights to go on from (default: the embedder's)")
    parser.add_argument(
        "--dictionaries", type=Path, help="folder of bilingual dictionaries, to switch words (default: none)"
    )
    parser.add_argument("--pairs", type=int, default=110_000, help="how many pairs to train on (%(default)s)")
    parser.add_argument("--frozen-layers", type=int, default=4, help="lower layers left as they are (%(default)s)")
    parser.add_argument("--rate", type=float, default=1.5e-4, help="highest learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of every choice made (%(default)s)")
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    source = e5.source_file()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = _network(source, asked.start, asked.frozen_layers).to(device)
    went_on_from = hashlib.sha256(asked.start.read_bytes()).hexdigest() if asked.start else ""
    dictionaries = read_dictionaries(asked.dictionaries) if asked.dictionaries else []
    pairs = cached_pairs(asked.pool, open_embedder(DEFAULT_EMBEDDER, e5.say_on_stderr), asked.out, asked.seed)
    trained_on = [pair for pair in pairs if not pair.is_held_back][: asked.pairs]
    if dictionaries:
        trained_on = list(switched(trained_on, dictionaries, random.Random(asked.seed)))
    held_back = [pair for pair in pairs if pair.is_held_back][:_LOOK_PAIRS]
    tokenizer = e5.tokenizer(source)
    table = torch.from_numpy(source.matrix("emb.word", source.hidden)).to(device, torch.bfloat16)
    settings = {name: value for name, value in vars(asked).items() if name != "out"}
    run = Run(network, table, asked.out, settings | {"pairs_made": len(pairs), "device": device})
    run.train(in_tokens(trained_on, tokenizer), in_tokens(held_back, tokenizer), asked.rate, asked.seed)
    trained = {name: w for name, w in network.named_weights().items() if not _is_the_embedders(name, w, source)}
    recipe = {name: getattr(asked, name) for name in ("frozen_layers", "rate", "seed")}
    facts = facts_of(recipe | {"pairs": len(trained_on), "start": went_on_from, "switched": bool(dictionaries)})
    save_weights(trained, asked.out / "reader.safetensors", facts)
    print(f"weights in {asked.out / 'reader.safetensors'}")


def _network(source: e5.E5File, start: Path | None, frozen_layers: int) -> ReaderNetwork:
    if start is None:
        return ReaderNetwork(source, frozen_layers)
    weights = ReaderWeights(source, start)
    network = ReaderNetwork(weights, frozen_layers)
    network.load_heads(weights)
    return network


def _is_the_embedders(name: str, values: npt.NDArray[np.float32], source: e5.E5File) -> bool:
    """Tell whether weights are as the embedding model has them, so that they need not be shipped."""
    if name.partition(".")[0] in ("rel0", "rel1", "span"):
        return False
    of_model = source.matrix(name, values.shape[1]) if values.ndim == 2 else source.vector(name)
    return np.array_equal(values, of_model)


class Run:
    """One training run in a folder: checkpoints, a log of losses, and looks at held-back pairs."""

    def __init__(self, network: ReaderNetwork, table: Tensor, folder: Path, settings: dict[str, object]) -> None:
        """Train ``network`` on rows of the word-embedding ``table`` ``(rows, hidden)``; write into ``folder``."""
        self._network = network
        self._table = table
        self._folder = folder
        self._settings = {k: str(v) for k, v in settings.items()}
        folder.mkdir(parents=True, exist_ok=True)
        self._say(settings=self._settings)

    def train(self, examples: Sequence[Example], held_back: Sequence[Example], rate: float, seed: int) -> None:
        """Go once over the examples, from the last checkpoint on if there is one."""
        batches = in_batches([e.length() for e in examples], seed)
        heads = [*self._network.relevance.parameters(), *self._network.span.parameters()]
        own = {id(p) for p in heads}
        rest = [p for p in self._network.parameters() if p.requires_grad and id(p) not in own]
        groups = [{"params": rest, "lr": rate}, {"params": heads, "lr": rate * _HEAD_RATE}]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
        warm = max(1, round(_WARM_UP * len(batches)))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (len(batches) - step) / max(1, len(batches) - warm))
        )
        done = self._resume(optimizer, schedule)
        losses: list[list[float]] = []
        started = time.monotonic()
        for step in tqdm(range(done, len(batches)), desc="training", initial=done, total=len(batches), file=sys.stderr):
            if step and step % _LOOK_STEPS == 0:
                self._say(step=step, **self.look(held_back))
            batch = collate([examples[i] for i in batches[step]], random.Random(f"{seed} {step}"))
            self._network.train()
            parts = self._losses(batch)
            sum(parts).backward()  # type: ignore[union-attr]
            torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], 1.0)  # type: ignore[attr-defined]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append([float(part.detach()) for part in parts])
            if (step + 1) % 50 == 0:
                relevance, span = np.mean(losses[-50:], axis=0)
                minutes = (time.monotonic() - started) / 60
                self._say(step=step + 1, relevance=round(relevance, 4), span=round(span, 4), minutes=round(minutes, 1))
            if (step + 1) % _CHECKPOINT_STEPS == 0:
                state = {"network": self._network.state_dict(), "optimizer": optimizer.state_dict()}
                state |= {"schedule": schedule.state_dict(), "step": step + 1, "settings": self._settings}
                torch.save(state, self._folder / "part")
                (self._folder / "part").replace(self._checkpoint)
        self._say(step=len(batches), **self.look(held_back))

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def _resume(self, optimizer: torch.optim.Optimizer, schedule: Any) -> int:  # noqa: ANN401
        if not self._checkpoint.is_file():
            return 0
        state = torch.load(self._checkpoint, weights_only=True)
        if state.get("settings") != self._settings:
            raise SystemExit(
                f"{self._checkpoint} is of a run with other settings ({state.get('settings')}); go on with those, "
                "or give another --out"
            )
        self._network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        self._say(resumed=state["step"])
        return int(state["step"])

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        device = self._table.device
        with torch.autocast(device.type, dtype=torch.bfloat16):
            relevance, spans = self._network(self._table[batch.ids.to(device)], batch.lengths.to(device))
        places = torch.arange(batch.ids.shape[1])[None]
        outside = (places < batch.passages[:, None]) & (places > 0) | (places >= batch.lengths[:, None] - 1)
        return relevance.float().cpu(), spans.float().cpu().masked_fill(outside[..., None], -1e4)

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        relevance, spans = self._read(batch)
        answered = (batch.starts > 0).float()
        start = functional.cross_entropy(spans[..., 0], batch.starts)
        end = functional.cross_entropy(spans[..., 1], batch.ends)
        return functional.binary_cross_entropy_with_logits(relevance, answered), (start + end) / 2

    def look(self, examples: Sequence[Example]) -> dict[str, float]:
        """Measure on held-back pairs: AUROC of having an answer, and the share of answers found to the token.

        What the pairs do not tell is left out: they may be none, or all have an answer.
        """
        self._network.eval()
        logits, labels, exact = list[float](), list[bool](), list[bool]()
        for rows in in_batches([e.length() for e in examples], 0):
            batch = collate([examples[i] for i in rows], random.Random(0))
            with torch.no_grad():
                relevance, spans = self._read(batch)
            logits += relevance.tolist()
            labels += (batch.starts > 0).tolist()
            spans[:, 0] = -1e4
            same = (spans[..., 0].argmax(1) == batch.starts) & (spans[..., 1].argmax(1) == batch.ends)
            exact += same[batch.starts > 0].tolist()
        measures = {"exact": round(float(np.mean(exact)), 4)} if exact else {}
        if len(set(labels)) == 2:
            measures["auroc"] = round(float(roc_auc_score(labels, logits)), 4)
        return measures

    def _say(self, **facts: object) -> None:
        line = json.dumps(facts)
        with (self._folder / "train.jsonl").open("a") as file:
            file.write(line + "\n")
        tqdm.write(line, file=sys.stderr)


def in_tokens(pairs: Sequence[Pair], tokenizer: Any) -> list[Example]:  # noqa: ANN401
    """Turn pairs into tokens; an answer is the tokens that touch it."""

    def encode(texts: list[str]) -> dict[str, Any]:
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, tokenizer.encode_batch(distinct, add_special_tokens=False), strict=True))

    questions = encode([p.question for p in pairs])
    titles = encode([as_heading(p.title) for p in pairs])
    texts = encode([p.text for p in pairs])
    offsets = {text: np.array(encoding.offsets, np.int32).reshape(-1, 2) for text, encoding in texts.items()}
    examples = []
    for pair in pairs:
        places = offsets[pair.text]
        touched = [np.flatnonzero((places[:, 1] > start) & (places[:, 0] < end)) for start, end in pair.answers]
        examples.append(
            Example(
                np.array(questions[pair.question].ids[:MOST_QUESTION], np.int32),
                np.array(titles[as_heading(pair.title)].ids[:MOST_TITLE], np.int32),
                np.array(texts[pair.text].ids, np.int32),
                tuple((int(t[0]), int(t[-1])) for t in touched if len(t)),
            )
        )
    return examples


def in_batches(lengths: Sequence[int], seed: int) -> list[list[int]]:
    """Put examples of like length together, in an order drawn from ``seed``."""
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    step = _SORTED_TOGETHER * _BATCH_TOKENS // max(1, int(np.mean(lengths or [1])))
    batches = []
    for at in range(0, len(order), step):
        own = list(_of_like_length(sorted(order[at : at + step], key=lambda i: lengths[i]), lengths))
        chance.shuffle(own)
        batches += own
    return batches


def _of_like_length(ordered: list[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in ordered:
        if batch and (len(batch) + 1) * lengths[i] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    yield batch


def collate(examples: Sequence[Example], chance: random.Random) -> Batch:
    """Lay examples side by side: one of the answers each, and a window about it where the passage is too long."""
    rows: list[list[int]] = []
    passages, starts, ends = list[int](), list[int](), list[int]()
    for example in examples:
        title = [] if chance.random() < _NO_TITLE else example.title.tolist()
        start, end = chance.choice(example.answers) if example.answers else (-1, -1)
        room = WINDOW - 4 - len(example.question) - len(title)
        low, high = max(0, end + 1 - room), max(0, len(example.text) - room)
        first = chance.randint(low, max(low, min(high, start))) if start >= 0 else chance.randint(0, high)
        opening = [0, *example.question.tolist(), 2, 2, *title]
        rows.append([*opening, *example.text[first : first + room].tolist(), 2])
        passages.append(len(opening))
        is_within = start >= first and end < first + room
        starts.append(len(opening) + start - first if is_within else 0)
        ends.append(len(opening) + end - first if is_within else 0)
    longest = max(map(len, rows))
    ids = torch.tensor([row + [1] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(ids, lengths, torch.tensor(passages), torch.tensor(starts), torch.tensor(ends))


if __name__ == "__main__":
    main()
