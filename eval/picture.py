"""Draw the README's picture: real commands and their real output, as an SVG that loads nothing from elsewhere.

python -m eval.picture eval/data/answer.svg
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

_ARTICLES = Path(__file__).parent / "data" / "articles"
_QUESTIONS = (
    "How many street lights will Cork replace?",
    "Сколько стоит теплосеть Lower Don в Шеффилде?",
    "Who won the chess world championship in 1985?",
)


def main() -> None:
    """Ask, and write the picture."""
    console = Console(record=True, width=104, file=Path("/dev/null").open("w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as scratch:
        _rag("add", str(_ARTICLES), "--index", scratch)
        for question in _QUESTIONS:
            console.print(Text("$ ", style="green") + Text(f'rag ask "{question}"', style="bold"))
            console.print(Text(_rag("ask", question, "--index", scratch)))
    svg = console.export_svg(title="rag")
    for remote in (r"@font-face\s*\{.*?\}\s*", r"<!--.*?-->\s*"):
        svg = re.sub(remote, "", svg, flags=re.DOTALL)
    Path(sys.argv[1]).write_text(svg, "utf-8")


def _rag(*arguments: str) -> str:
    command = [sys.executable, "-m", "rag", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
