"""The reader as a torch module, for training and for GPUs: the e5 encoder with a relevance head and a span head.

The CPU runs the same weights through onnxruntime (`rag.reader.pair_reader`), with no torch.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from index.e5 import EncoderWeights

_CHUNK = 8  # sequences whose attention is computed at once: what stays in a processor's cache
_FAR = -1e4  # added to the attention scores of padding


class ReaderNetwork(nn.Module):
    """Reads ``<s> question </s></s> title. passage </s>``.

    Gives the relevance logit ``(b,)`` and the start and end logits of every token ``(b, l, 2)``.
    """

    def __init__(self, weights: EncoderWeights, frozen_layers: int = 0) -> None:
        """Start from the weights of an encoder, with heads drawn at random.

        Args:
            weights: an embedding model's, or a trained reader's.
            frozen_layers: how many of the lower layers stay as they are; they run without a backward pass.
        """
        super().__init__()
        hidden = weights.hidden
        self._frozen_layers = frozen_layers
        positions = weights.vector("emb.pos").reshape(-1, hidden) + weights.vector("emb.type").reshape(-1, hidden)[0]
        self.positions: Tensor
        self.register_buffer("positions", torch.from_numpy(positions))
        self.norm = _norm(weights, "emb.ln")
        self.layers = nn.ModuleList(_Layer(weights, layer) for layer in range(weights.layers))
        self.relevance = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.span = nn.Linear(hidden, 2)
        for frozen in (self.norm, *self.layers[:frozen_layers]):
            frozen.requires_grad_(False)

    def load_heads(self, weights: EncoderWeights) -> None:
        """Take the heads of a trained reader."""
        with torch.no_grad():
            for name, head in self._heads().items():
                head.weight.copy_(_tensor(weights.vector(f"{name}.w")).reshape(head.weight.shape))
                head.bias.copy_(_tensor(weights.vector(f"{name}.b")))

    def _heads(self) -> dict[str, nn.Linear]:
        first, _, second = self.relevance
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        return {"rel0": first, "rel1": second, "span": self.span}

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read a batch.

        Args:
            words: word embeddings ``(b, l, hidden)``; the states between the layers have their type.
            lengths: tokens of each sequence ``(b,)``; what is beyond is padding.
        """
        length = words.shape[1]
        states = self.norm(words + self.positions[:length]).to(words.dtype)
        mask = None
        if bool((lengths < length).any()):
            beyond = torch.arange(length, device=words.device)[None] >= lengths[:, None]
            mask = torch.zeros(beyond.shape, device=words.device).masked_fill(beyond, _FAR)[:, None, None]
        with torch.no_grad():
            for layer in self.layers[: self._frozen_layers]:
                states = layer(states, mask)
        for layer in self.layers[self._frozen_layers :]:
            states = layer(states, mask)
        states = states.float()
        return self.relevance(states[:, 0]).squeeze(-1), self.span(states)

    def named_weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """Give all weights, frozen ones too, under the names of `EncoderWeights`; matrices are ``(n_out, n_in)``."""
        named: dict[str, Tensor] = {"emb.ln.w": self.norm.weight, "emb.ln.b": self.norm.bias}
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, _Layer)
            for part, rows in zip("qkv", layer.qkv.weight.chunk(3), strict=True):
                named[f"l{number}.{part}.w"] = rows
            for part, rows in zip("qkv", layer.qkv.bias.chunk(3), strict=True):
                named[f"l{number}.{part}.b"] = rows
            for part, linear in layer.parts().items():
                named[f"l{number}.{part}.w"], named[f"l{number}.{part}.b"] = linear.weight, linear.bias
        for name, head in self._heads().items():
            named[f"{name}.w"], named[f"{name}.b"] = head.weight, head.bias
        return {name: tensor.detach().float().cpu().numpy() for name, tensor in named.items()}


class _Layer(nn.Module):
    def __init__(self, weights: EncoderWeights, number: int) -> None:
        super().__init__()
        hidden, at = weights.hidden, f"l{number}"
        self._heads = weights.heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.up = nn.Linear(hidden, weights.feed_forward)
        self.down = nn.Linear(weights.feed_forward, hidden)
        self.attention_norm = _norm(weights, f"{at}.aln")
        self.output_norm = _norm(weights, f"{at}.oln")
        with torch.no_grad():
            self.qkv.weight.copy_(_tensor(np.concatenate([weights.matrix(f"{at}.{p}.w", hidden) for p in "qkv"])))
            self.qkv.bias.copy_(_tensor(np.concatenate([weights.vector(f"{at}.{p}.b") for p in "qkv"])))
            for name, linear in (("ao", self.out), ("fi", self.up), ("fo", self.down)):
                linear.weight.copy_(_tensor(weights.matrix(f"{at}.{name}.w", linear.in_features)))
                linear.bias.copy_(_tensor(weights.vector(f"{at}.{name}.b")))

    def parts(self) -> dict[str, nn.Linear | nn.LayerNorm]:
        """Give the parts under the names of `EncoderWeights`, those of the attention's input left out."""
        return {
            "ao": self.out,
            "fi": self.up,
            "fo": self.down,
            "aln": self.attention_norm,
            "oln": self.output_norm,
        }

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        context = _Attention.apply(self.qkv(states), mask, self._heads)  # type: ignore[no-untyped-call]
        states = self.attention_norm(states + self.out(context))
        output: Tensor = self.output_norm(states + self.down(functional.gelu(self.up(states))))
        return output


class _Attention(torch.autograd.Function):
    """Softmax attention, a few sequences at a time, forward and backward.

    torch's fused attention has a slow backward pass on the CPU (it took two fifths of a training step); plain matrix
    products over the whole batch leave the processor's cache.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, qkv: Tensor, mask: Tensor | None, heads: int) -> Tensor:
        batch, length, width = qkv.shape
        size = width // 3 // heads
        parts = qkv.view(batch, length, 3, heads, size)
        output = qkv.new_empty(batch, length, heads, size)
        shares = []
        for at in range(0, batch, _CHUNK):
            q, k, v = parts[at : at + _CHUNK].permute(2, 0, 3, 1, 4).reshape(3, -1, length, size)
            scores = torch.bmm(q / math.sqrt(size), k.transpose(1, 2))
            if mask is not None:
                rows = mask[at : at + _CHUNK].to(scores.dtype)
                scores = (scores.view(-1, heads, length, length) + rows).view(-1, length, length)
            share = torch.softmax(scores, -1)
            shares.append(share)
            output[at : at + _CHUNK] = torch.bmm(share, v).view(-1, heads, length, size).transpose(1, 2)
        ctx.save_for_backward(qkv, *shares)
        ctx.heads = heads  # type: ignore[attr-defined]
        return output.view(batch, length, heads * size)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        qkv, *shares = ctx.saved_tensors  # type: ignore[attr-defined]
        heads: int = ctx.heads  # type: ignore[attr-defined]
        batch, length, width = qkv.shape
        size = width // 3 // heads
        parts = qkv.view(batch, length, 3, heads, size)
        gradient = gradient.reshape(batch, length, heads, size)
        output = torch.empty_like(parts)
        for share, at in zip(shares, range(0, batch, _CHUNK), strict=True):
            q, k, v = parts[at : at + _CHUNK].permute(2, 0, 3, 1, 4).reshape(3, -1, length, size)
            outer = gradient[at : at + _CHUNK].transpose(1, 2).reshape(-1, length, size)
            inner = torch.bmm(outer, v.transpose(1, 2))
            scores = torch.ops.aten._softmax_backward_data(inner, share, -1, share.dtype)
            scores *= 1 / math.sqrt(size)
            of_each = (
                torch.bmm(scores, k),
                torch.bmm(scores.transpose(1, 2), q),
                torch.bmm(share.transpose(1, 2), outer),
            )
            for number, part in enumerate(of_each):
                output[at : at + _CHUNK, :, number] = part.view(-1, heads, length, size).transpose(1, 2)
        return output.view(batch, length, width), None, None


def _norm(weights: EncoderWeights, name: str) -> nn.LayerNorm:
    norm = nn.LayerNorm(weights.hidden, weights.epsilon)
    with torch.no_grad():
        norm.weight.copy_(_tensor(weights.vector(f"{name}.w")))
        norm.bias.copy_(_tensor(weights.vector(f"{name}.b")))
    return norm


def _tensor(values: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
