"""Reading question sets in the SQuAD format (https://rajpurkar.github.io/SQuAD-explorer/)."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SquadSet:
    """Paragraphs, and questions with the number of the paragraph that answers each."""

    paragraphs: list[str]
    questions: list[str]
    gold: list[int]


def read_squad(path: Path) -> SquadSet:
    """Read a SQuAD file."""
    paragraphs, questions, gold = list[str](), list[str](), list[int]()
    for article in json.loads(path.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            questions += [qa["question"] for qa in paragraph["qas"]]
            gold += [len(paragraphs)] * len(paragraph["qas"])
            paragraphs.append(paragraph["context"])
    return SquadSet(paragraphs, questions, gold)


def write_records(data: SquadSet, path: Path) -> None:
    """Write the paragraphs as a .jsonl file of articles, ``paragraph:N`` being the URL of number N."""
    lines = [
        json.dumps({"text": text, "url": f"paragraph:{n}"}, ensure_ascii=False)
        for n, text in enumerate(data.paragraphs)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
