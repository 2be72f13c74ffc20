"""The OpenAI-compatible door: with OpenAI's own client and LangChain's against a real server and the sample index."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import openai
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_openai import ChatOpenAI
from markdown_it import MarkdownIt
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel, SecretStr
from servers import FaultyServer, Reply

from index.errors import BadRequest, IndexProblem
from index.language import detect
from rag import messages
from rag.conversation import standalone
from rag.server import openai_door
from rag.server.openai_door import MODEL, ChatMessage, Telling, content, conversation, escaped, openai_router, unescaped
from rag.server.service import Happening, Service
from rag.settings import Settings
from rag.types import Answer, Checked, Checking, Citation, Done, Rewritten, Sentence, Turn

CORK = "How many street lights will Cork replace?"
SVETOVOD = "Какую фирму участники «Световода» выбрали управлять кластером?"
BASE = "http://rag.example/"
T = TypeVar("T")


class Running:
    """A server in a thread, with its service and its event loop."""

    def __init__(self, chosen: Settings) -> None:
        self.service = Service(chosen, say=print)
        app = FastAPI()
        app.include_router(openai_router(self.service))
        self.app = app
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        _eventually(lambda: self._server.started)
        self.address = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        self.base_url = f"{self.address}/v1"
        self.client = openai.OpenAI(base_url=self.base_url, api_key="none", max_retries=0, timeout=60)

    async def _serve(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._server.serve()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop.result()).result(60)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Have all who can be served at once be served by something else."""

        async def enter() -> list[Any]:
            places = [self.service.line.place() for _ in range(self.service.line._at_once)]
            for place in places:
                await place.__aenter__()
            return places

        async def leave(places: list[Any]) -> None:
            for place in places:
                await place.__aexit__(None, None, None)

        places = self.call(enter())
        try:
            yield
        finally:
            self.call(leave(places))

    @property
    def present(self) -> int:
        """How many wait or are served."""
        return len(self.service.line._present)

    def ask(self, *said: str) -> ChatCompletion:
        return self.client.chat.completions.create(model=MODEL, messages=_alternating(said))

    def stream(self, *said: str) -> str:
        chunks = self.client.chat.completions.create(model=MODEL, messages=_alternating(said), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    def close(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)


def _eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def _alternating(said: Sequence[str]) -> list[ChatCompletionMessageParam]:
    sent = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    return cast(list[ChatCompletionMessageParam], sent)


def _said(completion: ChatCompletion) -> str:
    text = completion.choices[0].message.content
    assert text is not None
    return text


def _rag(holder: BaseModel) -> dict[str, Any]:
    record = (holder.model_extra or {})["rag"]
    assert isinstance(record, dict)
    return record


@contextmanager
def _running(chosen: Settings) -> Iterator[Running]:
    server = Running(chosen)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def server(sample_index_folder: Path) -> Iterator[Running]:
    with _running(Settings(index=sample_index_folder)) as started:
        yield started


# Answers


def test_an_answer_has_its_quote_its_place_and_its_record(server: Running) -> None:
    completion = server.ask(CORK)
    text, record = _said(completion), _rag(completion.choices[0].message)
    (cited,) = record["citations"]
    place = f"{server.address}/articles/{cited['article_id']}?start={cited['start']}&end={cited['end']}"
    assert text.startswith(f"{record['text']}\n\nSources:\n- [1] “Cork is to replace 11,500 street lights")
    assert f"— {cited['title']}, {cited['published']}, <{place}>\n\nAs of" in text
    assert cited["link"] == place
    article = server.service.index.article(cited["article_id"])
    assert article is not None and article.text[cited["start"] : cited["end"]] == cited["quote"]
    assert completion.model == MODEL and completion.id.startswith("chatcmpl-")
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage is not None and 0 < usage.prompt_tokens < usage.completion_tokens < usage.total_tokens


@pytest.mark.parametrize("question", [CORK, SVETOVOD, "What is the capital of Peru?"])
def test_a_stream_says_the_same_as_a_whole_answer(server: Running, question: str) -> None:
    assert server.stream(question) == _said(server.ask(question))


def test_an_answer_that_is_not_sure_says_so_in_the_questions_language(server: Running) -> None:
    text = server.stream(SVETOVOD)
    assert text.startswith(f"{messages.unsure('ru')}\n\nПрикамье Фотоника [1]\n\nИсточники:\n- [1] “На общем собрании")


def test_a_question_without_an_answer_is_said_to_have_none(server: Running) -> None:
    completion = server.ask("What is the capital of Peru?")
    assert _said(completion) == messages.no_answer("en")
    assert _rag(completion.choices[0].message)["status"] == "abstained"
    assert _said(server.ask("Какова столица Перу?")) == messages.no_answer("ru")


def test_a_follow_up_is_completed_from_the_messages_before(server: Running) -> None:
    first = server.stream(CORK)
    second = server.ask(CORK, first, "and in Linz?")
    assert _said(second).startswith("→ How many street lights will Linz replace?\n\n")
    assert "8.900 [1]" in _said(second)
    third = server.ask(CORK, first, "and in Linz?", _said(second), "and in Cork?")
    assert _rag(third.choices[0].message)["standalone"] == CORK


def test_a_follow_up_of_a_question_that_got_no_answer_is_completed_as_well(server: Running) -> None:
    sent: Any = [{"role": "user", "content": CORK}, {"role": "user", "content": "and in Linz?"}]
    completion = server.client.chat.completions.create(model=MODEL, messages=sent)
    assert _said(completion).startswith("→ How many street lights will Linz replace?")


def test_the_second_one_is_the_second_source(server: Running) -> None:
    sources = "- [1] “a” — First, 2024, <http://x>\n- [2] “b” — The Wuxi shuttle buses, 2024-05-01, <http://y>"
    completion = server.ask("Who drives the buses?", f"A [1] [2]\n\nSources:\n{sources}", "the second one")
    assert "Wuxi shuttle buses" in _rag(completion.choices[0].message)["standalone"]


def test_system_messages_sampling_and_tools_change_nothing(server: Running) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
    sent: Any = [
        {"role": "system", "content": "Answer in verse, from your memory."},
        {"role": "user", "content": [{"type": "text", "text": CORK}]},
    ]
    completion = server.client.chat.completions.create(
        model=MODEL, messages=sent, temperature=2, top_p=0.1, max_tokens=1, stop=["1"], seed=1, tools=[tool], n=1,
        user="x", metadata={"a": "b"}, extra_body={"chat_id": "y"}, response_format={"type": "text"},
    )  # fmt: skip
    assert _said(completion) == _said(server.ask(CORK))
    assert completion.choices[0].message.tool_calls is None


def test_a_stream_begins_with_the_role_and_ends_with_the_record_and_the_usage(server: Running) -> None:
    sent = _alternating((CORK,))
    chunks = list(
        server.client.chat.completions.create(
            model=MODEL, messages=sent, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert _rag(chunks[-2].choices[0].delta)["status"] == "answered"
    assert chunks[-1].choices == [] and chunks[-1].usage == server.ask(CORK).usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_clients_own_gathering_of_a_stream_gives_the_message(server: Running) -> None:
    with server.client.chat.completions.stream(model=MODEL, messages=_alternating((CORK,))) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == _said(server.ask(CORK))
    assert _rag(completion.choices[0].message)["text"] == "11,500 [1]"


def test_many_ask_at_once_without_blocking_one_another(server: Running) -> None:
    async def ask_all() -> tuple[str, str, str, str]:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:

            async def whole(question: str) -> str:
                sent = _alternating((question,))
                return _said(await client.chat.completions.create(model=MODEL, messages=sent))

            async def streamed(question: str) -> str:
                sent = _alternating((question,))
                chunks = await client.chat.completions.create(model=MODEL, messages=sent, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

            return await asyncio.gather(whole(CORK), streamed(CORK), whole(SVETOVOD), streamed(SVETOVOD))

    cork, cork_streamed, svetovod, svetovod_streamed = asyncio.run(ask_all())
    assert "11,500 [1]" in cork and cork == cork_streamed
    assert "Прикамье Фотоника [1]" in svetovod and svetovod == svetovod_streamed


def test_langchain_asks_and_streams(server: Running) -> None:
    chat = ChatOpenAI(model=MODEL, base_url=server.base_url, api_key=SecretStr("none"), max_retries=0)
    said = chat.invoke([("system", "Be brief."), ("human", CORK)])
    assert str(said.content).startswith("11,500 [1]\n\nSources:")
    assert said.response_metadata["finish_reason"] == "stop"
    assert "".join(str(chunk.content) for chunk in chat.stream(CORK)) == said.content


def test_the_model_is_listed_and_described(server: Running) -> None:
    assert [model.id for model in server.client.models.list()] == [MODEL]
    assert server.client.models.retrieve(MODEL).object == "model"


# Refusals


def test_another_model_is_not_found(server: Running) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        server.client.chat.completions.create(model="gpt-4o", messages=_alternating((CORK,)))
    assert refused.value.code == "model_not_found" and refused.value.param == "model"
    assert "use 'rag'" in str(refused.value)
    with pytest.raises(openai.NotFoundError, match="gpt-4o"):
        server.client.models.retrieve("gpt-4o")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "only text can be read: leave out images"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no message with the role user"),
        ({"messages": [{"role": "user", "content": " ?! "}]}, "the question is empty"),
        ({"messages": [{"role": "user", "content": None}]}, "the question is empty"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": []}, "at least 1 item"),
        ({"messages": [{"role": "user", "content": "x"}] * 1001}, "at most 1000 items"),
        ({"messages": [{"role": "user", "content": "x" * 100_001}]}, "at most 100000 characters"),
        ({"n": 2}, "body.n: "),
        ({"stream": "yes"}, "body.stream: "),
        ({"response_format": {"type": "json_object"}}, "response_format.type: Input should be 'text'"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_served_is_refused_in_openais_form(
    server: Running, changed: dict[str, Any], said: str, stream: bool
) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": CORK}], "stream": stream, **changed}
    with pytest.raises(openai.BadRequestError) as refused:
        server.client.post("/chat/completions", body=body, cast_to=httpx.Response)
    assert refused.value.type == "invalid_request_error"
    assert said in str(refused.value)


def test_who_comes_when_the_line_is_full_is_told_when_to_come_back(sample_index_folder: Path) -> None:
    with _running(Settings(index=sample_index_folder, at_once=1, queue=0)) as small:
        with small.busy():
            for ask in (small.ask, small.stream):
                with pytest.raises(openai.RateLimitError) as refused:
                    ask(CORK)
                assert refused.value.code == "rate_limit_exceeded"
                assert int(refused.value.response.headers["Retry-After"]) >= 1
        assert _said(small.ask(CORK)).startswith("11,500 [1]")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.lists(st.fixed_dictionaries({}, optional={"role": st.just("user") | JSON, "content": JSON}) | JSON)
BODIES = JSON | st.fixed_dictionaries(
    {},
    optional={
        "model": st.just(MODEL) | JSON,
        "messages": MESSAGES | JSON,
        "stream": JSON,
        "stream_options": JSON,
        "n": JSON,
        "response_format": JSON,
    },
)


def _assert_a_refusal_is_documented(server: Running, raw: bytes) -> None:
    reply = httpx.post(
        f"{server.base_url}/chat/completions", content=raw, headers={"Content-Type": "application/json"}, timeout=60
    )
    if reply.status_code != 200:
        assert reply.status_code in (400, 404)
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(body={"model": "\ud800", "messages": [{"role": "user", "content": "x"}]})
@example(body={"model": MODEL, "messages": [{"role": "user", "content": "a\ud800b"}]})
@example(body={"model": MODEL, "messages": [{"role": "user", "content": [{"type": "\ud800"}]}]})
@given(body=BODIES)
def test_no_json_is_an_error_of_the_server(server: Running, body: object) -> None:
    _assert_a_refusal_is_documented(server, json.dumps(body).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_refused(server: Running, raw: bytes) -> None:
    _assert_a_refusal_is_documented(server, raw)


def test_the_description_names_every_status_and_no_other_form_of_errors(server: Running) -> None:
    described = server.app.openapi()
    post = described["paths"]["/v1/chat/completions"]["post"]
    assert set(post["responses"]) == {"200", "400", "404", "429", "502", "503", "4XX"}
    assert set(post["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    for status, response in post["responses"].items():
        if status != "200":
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    assert "HTTPValidationError" not in described["components"]["schemas"]


# Waiting, leaving, failing


@pytest.fixture
def narrow(sample_index_folder: Path) -> Iterator[Running]:
    with _running(Settings(index=sample_index_folder, at_once=1, queue=5)) as started:
        yield started


def test_who_waits_sees_life_at_once_and_again(narrow: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_door, "_KEEP_ALIVE", 0.05)
    body = {"model": MODEL, "messages": _alternating((CORK,)), "stream": True}
    with (
        narrow.busy(),
        httpx.stream("POST", f"{narrow.base_url}/chat/completions", json=body, timeout=20) as reply,
    ):
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        first = json.loads(next(lines).removeprefix("data: "))
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [next(lines) for _ in range(4)] == ["", ": still working", "", ": still working"]
        assert narrow.service.line.waiting == 1


def test_who_leaves_while_waiting_gives_the_place_free(narrow: Running) -> None:
    with narrow.busy():
        chunks = narrow.client.chat.completions.create(model=MODEL, messages=_alternating((CORK,)), stream=True)
        next(iter(chunks))
        assert narrow.service.line.waiting == 1
        chunks.close()
        _eventually(lambda: narrow.service.line.waiting == 0)
    assert narrow.present == 0
    assert narrow.stream(CORK).startswith("11,500 [1]")


def test_who_leaves_without_a_stream_gives_the_place_free_too(narrow: Running) -> None:
    with narrow.busy():
        with pytest.raises(openai.APITimeoutError):
            narrow.client.with_options(timeout=0.5).chat.completions.create(model=MODEL, messages=_alternating((CORK,)))
        _eventually(lambda: narrow.service.line.waiting == 0)
    assert narrow.present == 0


def test_what_fails_after_the_first_chunk_is_an_error_in_the_stream(sample_index_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_index_folder, tmp_path / "index")
    with _running(Settings(index=tmp_path / "index", at_once=1)) as own:
        with own.busy():
            chunks = iter(own.client.chat.completions.create(model=MODEL, messages=_alternating((CORK,)), stream=True))
            assert next(chunks).choices[0].delta.role == "assistant"
            index = own.service.index
            own.call(own.service.remove([article.id for article in index.articles()]))
        with pytest.raises(openai.APIError, match="is empty") as failed:
            list(chunks)
        assert failed.value.type == "invalid_request_error"
        assert own.present == 0


# With an LLM


LIGHTS = "Cork will replace 11,500 street lights. [1]"
AMBER = "A fifth of the street lights in Cork will glow amber to protect bats. [1]"


def _with_llm(folder: Path, llm: FaultyServer) -> Settings:
    return Settings(index=folder, llm="openai:any", base_url=llm.base_url, llm_retries=0)


def test_sentences_of_an_llm_are_streamed_one_by_one(sample_index_folder: Path) -> None:
    with (
        FaultyServer.saying(f"{LIGHTS} {AMBER}") as llm,
        _running(_with_llm(sample_index_folder, llm)) as own,
    ):
        chunks = own.client.chat.completions.create(model=MODEL, messages=_alternating([CORK]), stream=True)
        told = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
        assert told[:2] == [LIGHTS, f" {AMBER}"]
        assert told[2].startswith("\n\nSources:\n- [1] “Cork is to replace")
        assert "".join(told) == _said(own.ask(CORK))


def test_a_sentence_that_fails_its_check_stands_apart(sample_index_folder: Path) -> None:
    with (
        FaultyServer.saying(f"{LIGHTS} Cork will replace 99,999 street lights. [1]") as llm,
        _running(_with_llm(sample_index_folder, llm)) as own,
    ):
        text = own.stream(CORK)
        above, below = text.split(messages.unsupported("en"))
        assert "99,999" not in above and below.startswith("\n- ✗ Cork will replace 99,999 street lights.")
        assert text == _said(own.ask(CORK))


def test_an_llm_that_is_down_leaves_the_readers_answer_and_a_note(sample_index_folder: Path) -> None:
    with FaultyServer([Reply(status=500)]) as llm, _running(_with_llm(sample_index_folder, llm)) as own:
        text = own.stream(CORK)
        assert text.startswith("11,500 [1]\n\nSources:")
        assert "The language model could not answer" in text
        assert text == _said(own.ask(CORK))


def test_a_sentence_is_told_while_the_llm_still_writes_and_who_leaves_ends_its_work(sample_index_folder: Path) -> None:
    with (
        FaultyServer([Reply([LIGHTS, f" {AMBER} And"], ending="stalled")]) as llm,
        _running(_with_llm(sample_index_folder, llm)) as own,
    ):
        chunks = own.client.chat.completions.create(model=MODEL, messages=_alternating([CORK]), stream=True)
        told = (chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content)
        assert next(told) == LIGHTS
        assert own.present == 1 and not llm.requests[0].gone.is_set()
        chunks.close()
        assert llm.requests[0].gone.wait(20)
        _eventually(lambda: own.present == 0)


# What the message is made of


def _citation(
    marker: int = 1,
    title: str = "Trams",
    quote: str = "It costs 5.",
    published: str | None = "2024-05-01",
    uri: str = "https://news.example/a b",
    language: str = "en",
) -> Citation:
    return Citation(marker, "a1", title, uri, published, language, 10, 20, quote, 10, 12)


def _answer(*sentences: Sentence) -> Answer:
    cited = tuple(citation for sentence in sentences for citation in sentence.citations)
    return Answer(
        question="What does it cost?",
        standalone="What does it cost?",
        text="\n".join(sentence.marked for sentence in sentences) or messages.no_answer("en"),
        status="answered" if sentences else "abstained",
        confidence=0.9,
        citations=cited,
        hits=(),
        language="en",
        as_of=max((citation.published for citation in cited if citation.published), default=None),
        sentences=sentences,
    )


def _sentence(text: str, *citations: Citation) -> Sentence:
    return Sentence(text, citations or (_citation(),), "supported")


def test_a_message_names_the_place_the_live_page_and_a_foreign_language() -> None:
    answer = replace(_answer(_sentence("5", _citation(language="ru"))), notes=("A newer one says *6*.",))
    assert content(answer, BASE) == (
        "5 [1]\n\nSources:\n- [1] “It costs 5.” — Trams, 2024-05-01, "
        "<http://rag.example/articles/a1?start=10&end=20>, <https://news.example/a%20b> (quoted in: Russian)\n\n"
        "A newer one says \\*6\\*.\n\nAs of 2024-05-01."
    )


@pytest.mark.parametrize("uri", ["file:///secret/folder/a.txt", "javascript:alert(1)", "ftp://x/y"])
def test_a_message_links_to_the_web_alone(uri: str) -> None:
    text = content(_answer(_sentence("5", _citation(uri=uri))), BASE)
    assert uri not in text and text.count("<") == 1


def test_newer_articles_that_differ_are_told_after_what_an_llm_said_already() -> None:
    written, newer = _sentence("It costs 5.", _citation()), _sentence("7 (2025)", _citation(2))
    whole = replace(_answer(newer, written), answerer="openai:m")
    telling = Telling(whole.question, BASE)
    happenings: list[Happening] = [Rewritten(whole.standalone), Checking("It costs 5."), Checked(written), Done(whole)]
    pieces = [telling.tell(happening) for happening in happenings]
    assert pieces[2] == "It costs 5. [1]"
    assert "".join(pieces).startswith("It costs 5. [1] 7 (2025) [2]\n\nSources:")


def test_an_answer_that_starts_again_from_another_index_is_not_mixed_with_what_was_told() -> None:
    telling = Telling("x", BASE)
    happenings: list[Happening] = [Rewritten("x"), Rewritten("x"), Checking("y"), Checked(_sentence("y"))]
    for happening in happenings:
        telling.tell(happening)
    with pytest.raises(IndexProblem, match="ask again"):
        telling.tell(Rewritten("x"))


def test_a_message_that_comes_back_is_read_as_the_turn_it_was() -> None:
    answer = replace(
        _answer(
            _sentence("5 * 2", _citation(title="Trams, 2023, <b> at https://x.example")),
            _sentence("66. of [1]", _citation(2, "“One” — two", published=None)),
        ),
        standalone="trams in [Linz]: what does it cost?",
        status="partial",
        notes=("A note.",),
    )
    sent = [
        ChatMessage(role="user", content="and in Linz?"),
        ChatMessage(role="assistant", content=content(answer, BASE)),
        ChatMessage(role="user", content="when?"),
    ]
    question, (turn,) = conversation(sent)
    assert question == "when?"
    assert turn == replace(answer.turn, sources=("Trams, 2023, <b> at https://x.example", "two"))


def test_an_abstention_that_comes_back_is_read_as_one() -> None:
    sent = [ChatMessage(role="user", content="x"), ChatMessage(role="assistant", content=content(_answer(), BASE))]
    _, (turn,) = conversation([*sent, ChatMessage(role="user", content="y")])
    assert turn == Turn("x", messages.no_answer("en"))


ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
LINES = st.lists(
    st.sampled_from(
        ["→ x", "", "  ", "- [1] “q” — t, 2024, <", "- [2] “” — ", "Sources:", "\\", "`", messages.unsure("ru")]
    )
    | st.text(max_size=20)
).map("\n".join)
SENT = st.lists(st.tuples(ROLES, LINES), max_size=12)


@settings(max_examples=300, deadline=None)
@given(sent=SENT, asked=LINES)
def test_any_conversation_gives_its_last_question_and_turns_that_can_be_followed_up(
    sent: list[tuple[str, str]], asked: str
) -> None:
    read = [ChatMessage.model_construct(role=role, content=text) for role, text in sent]
    question, history = conversation([*read, ChatMessage.model_construct(role="user", content=asked)])
    assert question == asked
    assert len(history) == min(10, sum(role == "user" for role, _ in sent))
    assert isinstance(standalone("and in Linz?", history), str)


@given(sent=SENT)
def test_a_conversation_without_a_question_is_refused(sent: list[tuple[str, str]]) -> None:
    with pytest.raises(BadRequest, match="role user"):
        conversation([ChatMessage.model_construct(role=role, content=text) for role, text in sent if role != "user"])


def test_a_long_message_of_hostile_patterns_is_read_in_no_time() -> None:
    patterns = ("” — ", ", 2024", "\\", "- [1] “", ", <", "→ ", "`", " \n", "\n\n")
    began = time.process_time()
    for pattern in patterns:
        text = "- [1] “" + pattern * (100_000 // len(pattern))
        conversation([ChatMessage.model_construct(role=role, content=text) for role in ("user", "assistant", "user")])
        escaped(text)
    assert time.process_time() - began < 5


# What is escaped


HOSTILE = [
    "[click](https://evil.example/x)",
    "![x](http://evil.example/pixel.png)",
    "<img src=x onerror=alert(1)> <a href='//evil.example'>x</a>",
    "[1]: http://evil.example",
    "[x][1] [^1]: y",
    "<https://evil.example>",
    "see https://evil.example/a_b_c or www.evil.example or me@evil.example",
    "`` ` `x` \\` \\",
    "# Heading",
    "1. one",
    "66. The",
    "- item",
    "--- ",
    "===",
    "> quote",
    "```sh",
    "~~~",
    "a *b* __c__ ~~d~~",
    "&lt;b&gt; &#60;",
    "\u202egnp.exe\n\n# x",
    "[x](`http://evil.example`)",
    "\\[x](y) \\<b>",
]
TEXTS = st.lists(
    st.sampled_from([*"[]()!<>`*_\\&#;:.-+=~| \n1a@/", "http://e.org", "www.e.org", "&lt;"]) | st.text(max_size=3)
).map("".join)


def _shown(markdown: str) -> list[str]:
    """Give what Markdown shows, text by text, provided that it is one paragraph of nothing but text."""
    tokens = MarkdownIt("commonmark").enable("strikethrough").parse(markdown)
    assert [token.type for token in tokens] == (["paragraph_open", "inline", "paragraph_close"] if tokens else [])
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "code_inline"}
    return [child.content for child in inline]


@settings(max_examples=500)
@given(text=TEXTS | st.sampled_from(HOSTILE))
def test_text_out_of_articles_is_shown_as_it_is_and_links_to_nothing(text: str) -> None:
    shown = _shown(escaped(text))
    assert "".join(shown).replace("`", "").split() == openai_door._line(text).replace("`", "").split()


@pytest.mark.parametrize("text", HOSTILE)
def test_an_address_in_an_article_is_only_ever_code(text: str) -> None:
    tokens = MarkdownIt("commonmark").parseInline(escaped(text))[0].children or []
    plain = "".join(token.content for token in tokens if token.type == "text")
    assert "//" not in plain and "www." not in plain and "@" not in plain


@given(text=TEXTS)
def test_what_was_escaped_is_read_back(text: str) -> None:
    assert unescaped(escaped(text)).replace("`", "") == openai_door._line(text).replace("`", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_in_a_message_only_our_addresses_are_links(text: str) -> None:
    hostile = [_sentence(text, _citation(marker, title=text, quote=text)) for marker in (1, 2)]
    answer = replace(_answer(*hostile), standalone=text, notes=(text,))
    tokens = MarkdownIt("commonmark").parse(content(answer, BASE))
    inline = [child for token in tokens for child in token.children or ()]
    links = {str(child.attrs["href"]) for child in inline if child.type == "link_open"}
    assert links == {"http://rag.example/articles/a1?start=10&end=20", "https://news.example/a%20b"}
    assert {token.type for token in [*tokens, *inline]} & {
        "image",
        "html_inline",
        "html_block",
        "heading_open",
    } == set()


def test_figures_stay_as_they_are() -> None:
    for text in ("3.9 billion", "-5 °C", "£57.5 million (2025-01-23)", "8.900", "U.S. $5", "#1", "[sic]", "50%"):
        assert escaped(text) == text


def test_the_word_for_sources_is_in_every_language_that_answers_are_refused_in() -> None:
    assert messages._SOURCES.keys() == messages._NO_ANSWER.keys()
    assert detect(messages.sources("ru") + " " + messages.no_answer("ru")) == "ru"
