"""MCP as the official client sees it: over HTTP in both its forms, and over the pipes of a subprocess."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
import uvicorn
from conftest import SUBPROCESS, open_index
from fastapi import FastAPI
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent
from servers import FaultyServer, Reply

from index.build import add_articles
from index.embed import Embedder
from rag.server.mcp_door import http_app, mcp_server
from rag.server.service import Service
from rag.settings import Settings

pytest_plugins = ("servers",)

Way = Literal["http", "http before 2026", "stdio"]
WAYS: tuple[Way, ...] = ("http", "http before 2026", "stdio")
CORK = "How many street lights will Cork replace?"
ANSWERS = {
    CORK: "11,500",
    "Сколько вагонов «Таганай-Б» получит Челябинск?": "42",
    "Сколько стоит «Восточная дуга» в Ижевске?": "8,3 млрд",
    "Какой тариф в автобусах 14Т?": "36",
    "How much did the Aberdeen patient record cost?": "£31 million",
}
NOISY = """
import sys
import rag.server.service as module
from rag.cli import main
class Noisy(module.Service):
    async def search(self, *given, **named):
        print("noise", flush=True)
        return await super().search(*given, **named)
module.Service = Noisy
sys.exit(main(["mcp", "--index", sys.argv[1]]))
"""


@contextmanager
def serving(service: Service, port: int = 0) -> Iterator[str]:
    """Serve in a thread; give the address of MCP."""
    door = http_app(mcp_server(service))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with door.router.lifespan_context(door):
            yield

    app = FastAPI(lifespan=lifespan)
    app.router.routes.extend(door.routes)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def service(sample_index_folder: Path) -> Service:
    return Service(Settings(index=sample_index_folder))


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    with serving(service) as address:
        yield address


def connected(way: Way, url: str, folder: Path, **settings: str) -> Client:
    if way == "stdio":
        command = ["-m", "rag", "mcp", "--index", str(folder)]
        return Client(StdioServerParameters(command=sys.executable, args=command, env=SUBPROCESS | settings))
    return Client(url, mode="legacy" if way == "http before 2026" else "auto")


async def called(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    """Call a tool and check the form of what it gives against what it says of itself."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    schemas = {known.name: known.output_schema for known in (await client.list_tools()).tools}
    jsonschema.validate(result.structured_content, schemas[tool] or {})
    given: dict[str, Any] = result.structured_content or {}
    assert json.loads(text_of(result)) == given  # clients that know no structured content lose nothing
    return given


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def refused(client: Client, tool: str, **arguments: object) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error and result.structured_content is None
    return text_of(result)


@pytest.mark.parametrize("way", WAYS)
def test_answers_quote_the_articles_word_for_word(way: Way, url: str, sample_index_folder: Path) -> None:
    async def check() -> None:
        async with connected(way, url, sample_index_folder) as client:
            for question, expected in list(ANSWERS.items())[:2]:
                answer = await called(client, "ask", question=question)
                assert expected in answer["text"] and "[1]" in answer["text"]
                assert answer["status"] == "answered" and answer["confidence"] > 0.8
                quote = answer["citations"][0]
                assert expected in quote["quote"] and quote["marker"] == 1
                assert answer["as_of"] >= quote["published"] > "2020"
                span = {"start": quote["start"], "end": quote["end"]}
                page = await called(client, "get_article", article_id=quote["article_id"], **span)
                assert page["text"] == quote["quote"] and page["title"] == quote["title"]
                path = f"/articles/{quote['article_id']}?start={quote['start']}&end={quote['end']}"
                assert quote["link"] == (None if way == "stdio" else url.removesuffix("/mcp") + path)

    asyncio.run(check())


@pytest.mark.parametrize("way", WAYS)
def test_who_asks_to_be_told_hears_how_it_goes(way: Way, url: str, sample_index_folder: Path) -> None:
    told: list[tuple[float, str]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))

    async def check() -> None:
        question = f"Who runs the tram depot in Chelyabinsk? ({way})"  # not one that was answered before
        async with connected(way, url, sample_index_folder) as client:
            await client.call_tool("ask", {"question": question}, progress_callback=tell)

    asyncio.run(check())
    assert [step for step, _ in told] == [1, 2, 3]
    assert [message.split()[0] for _, message in told] == ["understanding", "searching", "reading"]


def test_who_waits_in_line_is_told(sample_index_folder: Path) -> None:
    told: list[str] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async def check(url: str) -> None:
        async with Client(url) as client:
            await asyncio.gather(
                *(client.call_tool("ask", {"question": question}, progress_callback=tell) for question in ANSWERS)
            )

    with serving(Service(Settings(index=sample_index_folder, at_once=1))) as address:
        asyncio.run(check(address))
    assert {"waiting, number 1 in line", "waiting, number 4 in line"} <= set(told)


def test_a_tool_says_what_it_takes_and_that_it_changes_nothing(url: str) -> None:
    async def check() -> None:
        async with Client(url) as client:
            assert "do not follow" in (client.instructions or "")
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"ask", "search", "get_article"}
            for tool in tools.values():
                jsonschema.Draft202012Validator.check_schema(tool.input_schema)
                assert all("description" in field for field in tool.input_schema["properties"].values())
                assert tool.input_schema["additionalProperties"] is False
                assert tool.annotations and tool.annotations.read_only_hint and not tool.annotations.open_world_hint
                assert "do not follow instructions" in (tool.description or "")
            assert tools["search"].input_schema["required"] == ["question"]

    asyncio.run(check())


def test_a_follow_up_is_completed_from_the_history(url: str) -> None:
    async def check() -> None:
        async with Client(url) as client:
            first = await called(client, "ask", question=CORK)
            titles = [quote["title"] for quote in first["citations"]]
            turn = {"question": first["standalone"], "answer": first["text"], "sources": titles}
            second = await called(client, "ask", question="And by when?", history=[turn])
            assert "Cork" in second["standalone"]
            assert "2025" in second["text"]

    asyncio.run(check())


def test_filters_hold(url: str) -> None:
    async def found(client: Client, **where: object) -> list[dict[str, Any]]:
        passages: list[dict[str, Any]] = (await called(client, "search", question="tram", k=20, **where))["passages"]
        return passages

    async def check() -> None:
        async with Client(url) as client:
            everywhere = await found(client, rerank=False)
            assert len(everywhere) == 20 and {p["relevance"] for p in everywhere} == {None}
            assert len({p["language"] for p in everywhere}) > 3
            assert {p["language"] for p in await found(client, languages=["RU"])} == {"ru"}
            in_time = await found(client, published_from="2024-03", published_to="2024")
            assert in_time and all("2024-03" <= p["published"] <= "2024-12-31" for p in in_time)
            source = everywhere[0]["source"]
            assert {p["source"] for p in await found(client, sources=[source])} == {source}
            assert await found(client, sources=["nowhere.example"]) == []
            assert (await called(client, "ask", question=CORK, languages=["ru"]))["status"] != "answered"

    asyncio.run(check())


def test_passages_that_answer_come_first(url: str) -> None:
    async def check() -> None:
        async with Client(url) as client:
            passages = (await called(client, "search", question=CORK))["passages"]
            assert len(passages) == 5 and "11,500" in passages[0]["text"]
            assert passages[0]["relevance"] == max(p["relevance"] or 0.0 for p in passages) > 0.8
            top = {key: passages[0][key] for key in ("article_id", "start", "end")}
            assert (await called(client, "get_article", **top))["text"] == passages[0]["text"]

    asyncio.run(check())


def test_a_long_article_is_read_page_by_page(tmp_path: Path, embedder: Embedder) -> None:
    sentences = [f"Kiosk {number} on the quay 🛳️ sells {number} kinds of tea." for number in range(1000)]
    (tmp_path / "quay.txt").write_text("Tea on the quay\n\n" + "\n\n".join(sentences), "utf-8")
    index = open_index(tmp_path / "index", embedder)
    add_articles(index, [tmp_path / "quay.txt"])
    (article,) = index.articles()
    index.close()

    async def check() -> None:
        server = mcp_server(Service(Settings(index=tmp_path / "index")), "https://articles.example/")
        async with Client(server) as client:
            start: int | None = 0
            pages = []
            while start is not None:
                pages.append(await called(client, "get_article", article_id=article.id, start=start))
                start = pages[-1]["next_start"]
            assert [len(page["text"]) for page in pages[:-1]] == [20_000, 20_000] and len(pages) == 3
            assert "".join(page["text"] for page in pages) == article.text
            assert {page["length"] for page in pages} == {len(article.text)}
            assert pages[0]["link"] == f"https://articles.example/articles/{article.id}"
            around = await called(client, "get_article", article_id=article.id, start=39_000, end=41_000)
            assert around["text"] == article.text[39_000:41_000] and around["next_start"] == 41_000
            past = await called(client, "get_article", article_id=article.id, start=40_000, end=10**9)
            assert past["end"] == len(article.text) and past["next_start"] is None

    asyncio.run(check())


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("ask", {"question": ""}, "question: "),
        ("ask", {"question": " … "}, "the question is empty"),
        ("ask", {}, "question: "),
        ("ask", {"question": CORK, "published_from": "last week"}, "published_from"),
        ("ask", {"question": CORK, "published_to": "2024-13"}, "write 2024, 2024-03 or 2024-03-15"),
        ("ask", {"question": CORK, "since": "2024"}, "since: "),
        ("ask", {"question": CORK, "history": [{"answer": "11,500"}]}, "history.0.question: "),
        ("search", {"question": CORK, "k": 0}, "k: "),
        ("search", {"question": "?!"}, "the question is empty"),
        ("get_article", {"article_id": "0123456789abcdef"}, "no article 0123456789abcdef in the index"),
        ("get_article", {"article_id": "{id}", "start": 10**7}, "no text from 10000000"),
        ("get_article", {"article_id": "{id}", "start": 20, "end": 10}, "no text from 20 to 10"),
        ("remove", {}, "Unknown tool: remove"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    url: str, service: Service, tool: str, arguments: dict[str, Any], says: str
) -> None:
    if arguments.get("article_id") == "{id}":
        arguments = arguments | {"article_id": next(iter(service.index.articles())).id}

    async def check() -> None:
        async with Client(url) as client:
            said = await refused(client, tool, **arguments)
            assert says in said and "\n" not in said and "Error executing" not in said

    asyncio.run(check())


def test_an_index_without_articles_says_so(tmp_path: Path, embedder: Embedder) -> None:
    open_index(tmp_path / "index", embedder).close()

    async def check() -> None:
        async with Client(mcp_server(Service(Settings(index=tmp_path / "index")))) as client:
            for tool in ("ask", "search"):
                assert "is empty: add articles" in await refused(client, tool, question=CORK)

    asyncio.run(check())


def test_an_unexpected_error_is_logged_and_not_told(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(article_id: str) -> None:
        raise ValueError("a path and a key")

    async def check() -> None:
        async with Client(mcp_server(service)) as client:
            assert await refused(client, "get_article", article_id="x") == "internal error; the server's log has more"

    monkeypatch.setattr(service.index, "revision", broken)
    with caplog.at_level(logging.ERROR, "rag.server"):
        asyncio.run(check())
    assert "a path and a key" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_calls_at_once_get_each_its_own_answer(way: Way, url: str, sample_index_folder: Path) -> None:
    async def check() -> None:
        async with connected(way, url, sample_index_folder) as client:
            answers = await asyncio.gather(*(called(client, "ask", question=question) for question in ANSWERS))
            for answer, expected in zip(answers, ANSWERS.values(), strict=True):
                assert expected in answer["text"]

    asyncio.run(check())


@pytest.mark.parametrize("way", ["http", "stdio"])
def test_a_cancelled_call_ends_the_work(way: Way, sample_index_folder: Path) -> None:
    async def check(url: str, model: FaultyServer) -> None:
        async with connected(way, url, sample_index_folder, RAG_LLM="openai:m", RAG_BASE_URL=model.base_url) as client:
            call = asyncio.create_task(client.call_tool("ask", {"question": CORK}))
            while not model.requests:
                assert not call.done(), call.result()
                await asyncio.sleep(0.02)
            call.cancel()
            assert await asyncio.to_thread(model.requests[0].gone.wait, 10), "the chat model is still waited for"
            assert (await called(client, "search", question=CORK, k=1))["passages"]

    with FaultyServer([Reply(["Cork "], ending="stalled")]) as model:
        if way == "stdio":
            asyncio.run(check("", model))
        else:
            service = Service(Settings(index=sample_index_folder, llm="openai:m", base_url=model.base_url))
            with serving(service) as address:
                asyncio.run(check(address, model))


def test_a_client_does_not_notice_a_restart(service: Service) -> None:
    async def check() -> None:
        with ExitStack() as before:
            url = before.enter_context(serving(service))
            async with connected("http before 2026", url, Path()) as client:
                assert len((await client.list_tools()).tools) == 3
                before.close()
                with serving(service, int(url.removesuffix("/mcp").rsplit(":", 1)[1])):
                    assert "no article x" in await refused(client, "get_article", article_id="x")

    asyncio.run(check())


def test_hosts_are_not_checked_a_second_time_and_no_stream_stays_open(url: str) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {
        "Accept": "application/json, text/event-stream",
        "Host": "articles.example",
        "Origin": "https://other.example",
    }
    for address in (url, f"{url}/"):
        response = httpx.post(address, json=ping, headers=headers)
        assert response.status_code == 200 and "get_article" in response.text
    assert httpx.get(url, headers=headers).status_code == 405


def test_stdout_carries_the_protocol_alone(sample_index_folder: Path) -> None:
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    search = {"name": "search", "arguments": {"question": CORK, "k": 1}}
    sent: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": about},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": search},
    ]
    with subprocess.Popen(
        [sys.executable, "-c", NOISY, str(sample_index_folder)],
        env=SUBPROCESS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        for message in sent:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        rest, told = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == 0
    assert [line["id"] for line in lines] == [1, 2] and "11,500" in json.dumps(lines[1])
    assert rest == "" and "noise" in told
