"""The questions to begin with: made of the articles that are there, and each has its answer in them."""

import asyncio
import shutil
from pathlib import Path

import pytest
from conftest import open_index
from servers import FaultyServer, Reply

from index.build import add_articles
from index.embed import OnnxE5
from rag.server.examples import examples
from rag.server.service import Service
from rag.settings import Settings

HEATING = """Marlow Bridge heating scheme opens

Published 3 June 2024

The Marlow Bridge heating scheme was opened on Monday. It cost 14 million pounds, the council said, and took four years.

The scheme serves 2,300 households in the old town, which burned coal until now.
"""
NO_FIGURES = """A walk along the river

The path along the river is quiet in the morning, and herons stand in the shallows by the weir.
"""


async def _examples(service: Service, most: int = 4) -> list[str]:
    return [question async for question in examples(service, most)]


def test_the_samples_give_questions_that_are_surely_answered(sample_index_folder: Path) -> None:
    async def run() -> None:
        service = Service(Settings(index=sample_index_folder))
        questions = await _examples(service)
        assert 2 <= len(questions) <= 4 and len(set(questions)) == len(questions)
        for question in questions:
            answer = await service.ask(question)
            title = question.rsplit(":", 1)[0].strip()
            assert answer.status == "answered"
            assert answer.citations[0].answer and title.split()[0].casefold() in answer.citations[0].title.casefold()
        languages = {(await service.ask(question)).language for question in questions}
        assert len(languages) > 1  # the samples are in several
        assert await _examples(service, 1) == questions[:1]

    asyncio.run(run())


@pytest.mark.parametrize(("texts", "count"), [([], 0), ([NO_FIGURES], 0), ([NO_FIGURES, HEATING], 1)])
def test_an_index_gives_as_many_as_its_articles_answer(
    tmp_path: Path, embedder: OnnxE5, texts: list[str], count: int
) -> None:
    index = open_index(tmp_path / "index", embedder)
    files = [tmp_path / f"{n}.txt" for n in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, "utf-8")
    add_articles(index, files)
    index.close()
    questions = asyncio.run(_examples(Service(Settings(index=tmp_path / "index"))))
    assert len(questions) == count and all("Marlow" in question for question in questions)


def test_what_is_removed_or_refused_meanwhile_is_passed_over(sample_index_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(sample_index_folder, folder)

    async def run() -> None:
        service = Service(Settings(index=folder, at_once=1, queue=0))
        async with service.line.place():
            assert await _examples(service) == []  # others ask: nobody is kept waiting for examples
        asking = examples(service)
        await anext(asking)
        await service.remove([listed.id for listed in service.index.listing()[1]])
        assert [question async for question in asking] == []

    asyncio.run(run())


def test_no_example_is_sent_to_a_chat_model(tmp_path: Path, embedder: OnnxE5) -> None:
    (tmp_path / "heating.txt").write_text(HEATING, "utf-8")
    index = open_index(tmp_path / "index", embedder)
    add_articles(index, [tmp_path / "heating.txt"])
    index.close()
    with FaultyServer([Reply(["It cost 14 million pounds [1]."])]) as server:
        settings = Settings(index=tmp_path / "index", llm="openai:m", base_url=server.base_url)
        assert asyncio.run(_examples(Service(settings))) and not server.requests
