"""Runs other tools, each in a virtual environment of its own, over the same articles and questions."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.gold import GoldQuestion
from index import e5
from index.types import Article

VENVS = e5.cache_folder() / "peers"
_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_INSTALLING, _RUNNING = 1800, 1800  # seconds
_LAST_LINES = 8  # of what a failed command said


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool to compare: its driver, and a variant for that; the exact versions it runs with, or this interpreter."""

    name: str
    driver: Path
    requirements: Path | None = None
    variant: str = ""


PEERS = (
    Peer("tutorial", _HERE / "tutorial.py", _HERE / "requirements" / "tutorial.txt"),
    Peer("txtai", _HERE / "txtai_peer.py", _HERE / "requirements" / "txtai.txt", "hybrid"),
    Peer("txtai-dense", _HERE / "txtai_peer.py", _HERE / "requirements" / "txtai.txt", "dense"),
    Peer("haiku.rag", _HERE / "haiku_peer.py", _HERE / "requirements" / "haiku.txt"),
    Peer("ours-unread", _HERE / "ours.py", variant="unread"),
    Peer("ours", _HERE / "ours.py", variant="read"),
)


class PeerFailed(Exception):
    """A tool could not be installed or did not run to its end; the text says what and why."""


def run_all(
    peers: Sequence[Peer], articles: Sequence[Article], asked: Sequence[GoldQuestion], venvs: Path, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Give what each tool's runs wrote, by its name; they take turns, and one that fails is reported and left out."""
    runs: dict[str, list[dict[str, Any]]] = {}
    failed: set[str] = set()
    model = e5.export_sentence_transformer(e5.say_on_stderr)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = [{"url": article.uri, "title": article.title, "text": article.text} for article in articles]
        _write_lines(rows, folder / "articles.jsonl")
        _write_lines([{"id": each.id, "question": each.question} for each in asked], folder / "questions.jsonl")
        for peer in [peer for _ in range(rounds) for peer in peers]:
            if peer.name not in failed:
                _say(f"{peer.name} …")
                try:
                    runs.setdefault(peer.name, []).append(_run(peer, interpreter(peer, venvs), folder, model))
                except PeerFailed as failure:
                    _say(f"{peer.name} is left out: {failure}")
                    failed.add(peer.name)
    return {name: of_one for name, of_one in runs.items() if name not in failed}


def _write_lines(rows: Sequence[dict[str, str]], file: Path) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def interpreter(peer: Peer, venvs: Path) -> Path:
    """Give the Python that a tool is installed for; installs it into a virtual environment where that is not done.

    Raises:
        PeerFailed: the environment cannot be made, or a package not installed.
    """
    if peer.requirements is None:
        return Path(sys.executable)
    folder = venvs / peer.requirements.stem
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = peer.requirements.read_text("utf-8")
    if not installed.is_file() or installed.read_text("utf-8") != wanted:
        _say(f"installing into {folder} …")
        _call([sys.executable, "-m", "venv", "--clear", str(folder)], _INSTALLING, lines=1)
        _call([str(python), "-m", "pip", "install", "-q", "-r", str(peer.requirements)], _INSTALLING, lines=1)
        installed.write_text(wanted, "utf-8")
    return python


def _run(peer: Peer, python: Path, folder: Path, model: Path) -> dict[str, Any]:
    """Run a driver once; give what it wrote."""
    out = folder / "out.json"
    out.unlink(missing_ok=True)
    command = [python, peer.driver, folder / "articles.jsonl", folder / "questions.jsonl", model, out]
    path = "" if peer.requirements else str(_ROOT)  # an environment of its own has nothing of ours
    _call([*map(str, command), *filter(None, [peer.variant])], _RUNNING, lines=_LAST_LINES, python_path=path)
    try:
        result: dict[str, Any] = json.loads(out.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PeerFailed(f"it wrote no result ({error})") from error
    return result


def _call(command: Sequence[str], timeout: float, *, lines: int, python_path: str = "") -> None:
    """Run a command that loads nothing from a model hub.

    Raises:
        PeerFailed: it failed or took too long; with the last ``lines`` of what it said.
    """
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": python_path}
    try:
        subprocess.run(command, env=env, timeout=timeout, check=True, capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"more than {timeout:.0f} s for {' '.join(command[:3])}") from error
    except subprocess.CalledProcessError as error:
        said = "\n".join(error.stderr.strip().splitlines()[-lines:])
        raise PeerFailed(f"exit status {error.returncode}: {said}") from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
