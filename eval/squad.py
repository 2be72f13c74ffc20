"""SQuAD's paragraphs and questions as the benchmarks take them: lists, by number."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from eval.formats import read_squad_articles


@dataclass(frozen=True, slots=True)
class SquadSet:
    """Paragraphs, and questions with the number of the paragraph that answers each.

    ``answers`` are the texts that are right, of each question; ``articles`` is the number of each paragraph's article.
    """

    paragraphs: list[str]
    questions: list[str]
    gold: list[int]
    answers: list[tuple[str, ...]] = field(default_factory=list)
    articles: list[int] = field(default_factory=list)


def read_squad(path: Path) -> SquadSet:
    """Read a SQuAD file.

    Raises:
        BadRequest: it cannot be read, or is no such file.
    """
    data = SquadSet([], [], [])
    for number, article in enumerate(read_squad_articles(path)):
        for paragraph in article.paragraphs:
            for asked in paragraph.qas:
                data.questions.append(asked.question)
                data.gold.append(len(data.paragraphs))
                data.answers.append(tuple(dict.fromkeys(answer.text for answer in asked.answers)))
            data.paragraphs.append(paragraph.context)
            data.articles.append(number)
    return data


def write_records(data: SquadSet, path: Path) -> None:
    """Write the paragraphs as a .jsonl file of articles, ``paragraph:N`` being the URL of number N."""
    lines = [
        json.dumps({"text": text, "url": f"paragraph:{n}"}, ensure_ascii=False)
        for n, text in enumerate(data.paragraphs)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
