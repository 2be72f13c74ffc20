import asyncio
import json
from pathlib import Path

import pytest
from conftest import open_index
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI
from pydantic import SecretStr, ValidationError
from servers import SmolServer

from index.embed import OnnxE5
from index.errors import BadRequest
from index.types import Where
from rag import Assistant, Settings
from rag.langchain import ArticleRetriever
from rag.reader.multilingual_reader import MultilingualReader
from rag.reader.pair_reader import OnnxPairReader

pytest_plugins = ("servers",)

CORK = "How many street lights will Cork replace?"
WUXI = "无锡无人驾驶公交L9线全长多少公里?"


@pytest.fixture(scope="module")
def assistant(sample_index_folder: Path, embedder: OnnxE5, pairs: OnnxPairReader) -> Assistant:
    settings = Settings(passages=8)
    reader = MultilingualReader(pairs, settings.min_confidence)
    return Assistant(open_index(sample_index_folder, embedder), reader, reader, settings)


def test_documents_are_the_passages_found_with_where_they_stand(assistant: Assistant) -> None:
    documents = ArticleRetriever(assistant=assistant, k=4).invoke(CORK)
    hits = assistant.retrieve(CORK, 4)
    assert [d.page_content for d in documents] == [hit.text for hit in hits]
    assert [d.metadata["rank"] for d in documents] == [1, 2, 3, 4]
    assert len({d.id for d in documents}) == 4
    for document, hit in zip(documents, hits, strict=True):
        article = assistant.index.article(document.metadata["article_id"])
        assert article is not None
        assert article.text[document.metadata["start"] : document.metadata["end"]] == document.page_content
        assert document.metadata == {
            "article_id": article.id,
            "title": article.title,
            "uri": article.uri,
            "source": article.uri,
            "published": article.published,
            "language": hit.passage.language,
            "start": hit.passage.start,
            "end": hit.passage.end,
            "rank": hit.rank,
            "score": hit.score,
            "relevance": hit.relevance,
        }
        assert json.loads(json.dumps(document.metadata)) == document.metadata
    assert "cork-smart-lighting" in documents[0].metadata["source"] and "11,500" in documents[0].page_content


def test_a_filter_keeps_other_articles_out(assistant: Assistant) -> None:
    retriever = ArticleRetriever(assistant=assistant, k=5, where=Where(languages=("es",)))
    assert {d.metadata["language"] for d in retriever.invoke("tranvía")} == {"es"}


def test_many_questions_at_once_and_asynchronous_ones_find_the_same(assistant: Assistant) -> None:
    retriever = ArticleRetriever(assistant=assistant, k=2)
    one_by_one = [retriever.invoke(CORK), retriever.invoke(WUXI)]
    assert one_by_one[0] != one_by_one[1]
    assert retriever.batch([CORK, WUXI]) == one_by_one

    async def together() -> list[list[Document]]:
        return list(await asyncio.gather(retriever.ainvoke(CORK), retriever.ainvoke(WUXI)))

    assert asyncio.run(together()) == one_by_one


def test_a_chain_with_a_real_model_runs_through(assistant: Assistant, smollm2: SmolServer) -> None:
    prompts: list[str] = []

    def joined(documents: list[Document]) -> str:
        prompts.append("\n".join(document.page_content for document in documents))
        return prompts[-1]

    model = ChatOpenAI(
        model=smollm2.model, base_url=smollm2.base_url, api_key=SecretStr("none"), temperature=0, max_retries=0
    ).bind(max_tokens=16)
    chain = (
        {"passages": ArticleRetriever(assistant=assistant, k=1) | joined, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{passages}\n\nQuestion: {question}")
        | model
        | StrOutputParser()
    )
    assert chain.invoke(CORK).strip()
    assert "11,500" in prompts[0]
    assert len(list(chain.stream(CORK))) > 1


@pytest.mark.parametrize("k", [0, 101, "many"])
def test_how_many_documents_are_given_is_checked(assistant: Assistant, k: int) -> None:
    with pytest.raises(ValidationError):
        ArticleRetriever(assistant=assistant, k=k)


def test_only_an_assistant_will_do(assistant: Assistant) -> None:
    with pytest.raises(ValidationError):
        ArticleRetriever.model_validate({"assistant": "rag-index"})
    assert ArticleRetriever(assistant=assistant).assistant is assistant


def test_a_question_without_words_is_refused(assistant: Assistant) -> None:
    with pytest.raises(BadRequest, match="the question is empty"):
        ArticleRetriever(assistant=assistant).invoke(" ")
