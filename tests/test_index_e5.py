import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index import e5
from index.embed import DEFAULT_EMBEDDER, OnnxE5, SentenceTransformerEmbedder, open_embedder
from index.errors import ModelUnavailable
from rag.reader.pair_reader import OnnxPairReader

TEXTS = ["Москва — столица России.", "Berlin ist die Hauptstadt Deutschlands.", "北京是中国的首都。", "word " * 700]


def test_unpacking_is_announced_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_CACHE", str(tmp_path))
    said: list[str] = []
    folder = e5.unpacked(said.append)
    assert said == ["Unpacking the embedding model (once) …"] and e5.verify_unpacked(folder) == []
    assert e5.unpacked(said.append) == folder and len(said) == 1
    with (folder / "tokenizer.json").open("r+b") as file:
        file.seek(1000)
        file.write(b"#")
    assert e5.verify_unpacked(folder) == ["tokenizer.json"]
    (folder / "encoder.onnx").write_bytes(b"cut off")
    assert e5.unpacked(said.append) == folder and len(said) == 2 and e5.verify_unpacked(folder) == []


def test_weights_with_a_wrong_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "e5-small-q4.bin"
    shutil.copy(e5.source_file().path, damaged)
    with damaged.open("r+b") as file:
        file.seek(30_000_000)
        file.write(b"\xff\xff")
    monkeypatch.setattr(e5, "source_file", lambda: e5.E5File(damaged))
    monkeypatch.setenv("RAG_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelUnavailable, match=r"wrong SHA-256.*reinstall"):
        e5.unpacked(lambda _: None)
    assert not any((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAG_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelUnavailable, match="RAG_CACHE"):
        e5.unpacked(lambda _: None)


def test_vectors_have_length_one_and_languages_meet(embedder: OnnxE5) -> None:
    vectors = embedder.embed_passages(TEXTS)
    assert vectors.shape == (4, 384) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert int((vectors[:3] @ embedder.embed_query("What is the capital of Germany?")).argmax()) == 1
    assert int((vectors[:3] @ embedder.embed_query("Which city is the capital of China?")).argmax()) == 2
    assert embedder.embed_passages([]).shape == (0, 384)


def test_a_text_has_the_same_vector_in_any_company(embedder: OnnxE5) -> None:
    alone = embedder.embed_passages(TEXTS[:1])[0]
    assert float(embedder.embed_passages(TEXTS)[0] @ alone) > 0.998


def test_token_counts_are_those_of_the_model_without_special_ones(embedder: OnnxE5) -> None:
    assert embedder.count_tokens(["", "Москва", "a b c"]) == [0, 1, 3]
    assert embedder.count_tokens(["word " * 700]) == [700]


def test_a_text_that_is_too_long_is_cut_to_what_the_model_takes(embedder: OnnxE5) -> None:
    cut, longer = embedder.embed_passages(["word " * 600, "word " * 700])
    assert float(cut @ longer) > 0.998


def test_the_tokenizer_is_loaded_once_for_all_who_use_it_and_cuts_nothing_off(embedder: OnnxE5) -> None:
    tokenizer = e5.load_tokenizer(e5.unpacked(print))
    assert tokenizer is e5.load_tokenizer(e5.unpacked(print)) and tokenizer.truncation is None
    embedder.embed_passages(["word " * 700])
    assert len(tokenizer.encode("word " * 700, add_special_tokens=False).ids) == 700


def test_the_export_is_an_ordinary_sentence_transformers_model_with_the_same_vectors(embedder: OnnxE5) -> None:
    folder = e5.export_sentence_transformer(lambda _: None)
    model = SentenceTransformerEmbedder(str(folder), e5.MODEL_ID)
    ours, theirs = embedder.embed_passages(TEXTS), model.embed_passages(TEXTS)
    assert model.dim == 384 and model.max_tokens == 512 and model.name == embedder.name
    assert (ours * theirs).sum(axis=1).min() > 0.997
    assert float(embedder.embed_query("Где?") @ model.embed_query("Где?")) > 0.997
    assert model.count_tokens(TEXTS) == embedder.count_tokens(TEXTS)
    assert model.embed_passages([]).shape == (0, 384)


def test_a_model_that_cannot_be_had_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    embedder = open_embedder("no-such/model", lambda _: None)
    with pytest.raises(ModelUnavailable, match=f"cannot load the embedding model 'no-such/model'.*{DEFAULT_EMBEDDER}"):
        embedder.embed_query("x")


def test_answering_needs_no_torch(sample_index_folder: Path, pairs: OnnxPairReader) -> None:
    code = (
        "import sys, json; from rag import Assistant; "
        f"a = Assistant.open({str(sample_index_folder)!r}).ask('Сколько стоит трамвай?'); "
        "print(json.dumps([m for m in ('torch', 'transformers', 'onnx', 'sklearn') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
