import asyncio
import json
import logging
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from conftest import ROOT, SUBPROCESS
from servers import FaultyServer, Reply, SmolServer

from index.embed import OnnxE5
from index.errors import BadRequest, ChatModelFailed
from rag.chat_model import LONGEST_KEY, open_chat_model
from rag.settings import Settings
from rag.types import ChatModel

pytest_plugins = ("servers",)

KEY = "sk-test-3f9a2c71d04be865"
RULES = "Answer in one short sentence."
REQUEST = "What is the capital of France?"
Asking = Callable[[ChatModel], list[str]]


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def _opened(
    base_url: str, key_file: Path | None = None, timeout: float = 30.0, retries: int = 0, answer: int = 64
) -> ChatModel:
    model = open_chat_model(
        Settings(
            llm="openai:smollm2",
            base_url=base_url,
            llm_key_file=str(key_file or ""),
            llm_timeout=timeout,
            llm_retries=retries,
            llm_answer=answer,
        )
    )
    assert model is not None
    return model


def _streamed(model: ChatModel) -> list[str]:
    return list(model.stream(RULES, REQUEST))


def _astreamed(model: ChatModel) -> list[str]:
    async def pieces() -> list[str]:
        return [piece async for piece in model.astream(RULES, REQUEST)]

    return asyncio.run(pieces())


@pytest.fixture(params=[_streamed, _astreamed], ids=["sync", "async"])
def asking(request: pytest.FixtureRequest) -> Asking:
    chosen: Asking = request.param
    return chosen


def _error(message: str) -> str:
    return json.dumps({"error": {"message": message, "type": "some_error"}})


def _failure(model: ChatModel, asking: Asking = _streamed) -> str:
    with pytest.raises(ChatModelFailed) as caught:
        asking(model)
    text = str(caught.value)
    assert text.isprintable() and "openai:smollm2" in text, text
    return text


# The real server


def test_a_real_model_answers_piece_by_piece(smollm2: SmolServer, asking: Asking) -> None:
    pieces = asking(_opened(smollm2.base_url, timeout=60, answer=24))
    assert len(pieces) > 1 and all(pieces)
    assert re.search(r"\w{3,}", "".join(pieces))


def test_four_threads_share_a_model(smollm2: SmolServer) -> None:
    model = _opened(smollm2.base_url, timeout=60, answer=16)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: "".join(_streamed(model)), range(4)))
    assert all(re.search(r"\w{3,}", answer) for answer in answers)


def test_a_model_serves_one_event_loop_after_another() -> None:
    with FaultyServer.saying("Paris it is.") as server:
        model = _opened(server.base_url)
        assert [_astreamed(model) for _ in range(3)] == [["Paris ", "it ", "is."]] * 3


def test_a_prompt_that_is_too_long_is_called_so(smollm2: SmolServer) -> None:
    model = _opened(smollm2.base_url, timeout=60)
    with pytest.raises(ChatModelFailed, match=r"too long .*lower llm_context, now 8192: .*4096 tokens"):
        list(model.stream(RULES, "tram " * (smollm2.context + 1)))


# What is sent


def test_rules_and_request_are_sent_as_system_and_user_with_the_limits() -> None:
    with FaultyServer.saying("Paris.") as server:
        assert _streamed(_opened(server.base_url, answer=77)) == ["Paris."]
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert [(m["role"], m["content"]) for m in request.body["messages"]] == [("system", RULES), ("user", REQUEST)]
    assert request.body["stream"] is True
    assert (request.body["model"], request.body["temperature"]) == ("smollm2", 0)
    assert request.body["max_completion_tokens"] == 77


def test_a_model_says_what_it_is_called_and_how_long_a_prompt_may_be() -> None:
    model = open_chat_model(
        Settings(llm="openai:qwen3:8b", base_url="http://127.0.0.1:1", llm_context=4000, llm_answer=500)
    )
    assert model is not None and (model.name, model.prompt_tokens) == ("openai:qwen3:8b", 3500)


def test_without_an_llm_there_is_no_model() -> None:
    assert open_chat_model(Settings()) is None


def test_thoughts_are_not_part_of_the_answer(asking: Asking) -> None:
    with FaultyServer([Reply(["Par", "is"], thoughts=["The user ", "wants a capital"])]) as server:
        assert asking(_opened(server.base_url)) == ["Par", "is"]


def test_a_long_line_comes_through_whole(asking: Asking) -> None:
    line = "слово " * 300_000
    with FaultyServer([Reply([line])]) as server:
        assert asking(_opened(server.base_url)) == [line]


def test_a_model_that_does_not_stop_is_stopped(asking: Asking) -> None:
    with FaultyServer([Reply(["so "] * 100_000, pause=0.0005)]) as server:
        pieces = asking(_opened(server.base_url, answer=20))
        assert server.requests[0].gone.wait(10)
    assert 20 <= len(pieces) <= 40


@pytest.mark.parametrize("tracing", ["LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"])
def test_nothing_goes_to_langsmith_whatever_the_environment_says(tracing: str) -> None:
    program = """
import sys, time
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.langchain import wait_for_all_tracers
from rag.chat_model import open_chat_model
from rag.settings import Settings
model = open_chat_model(Settings(llm="openai:m", base_url=sys.argv[1]))
if sys.argv[2] == "alone":
    print(*model.stream("rules", "request"))
else:
    RunnableLambda(lambda _: print(*model.stream("rules", "request"))).invoke("")
wait_for_all_tracers()
"""
    with FaultyServer([Reply(body="{}")]) as langsmith, FaultyServer.saying("Paris.") as server:
        environment = {
            **SUBPROCESS,
            tracing: "true",
            "LANGSMITH_ENDPOINT": langsmith.address,
            "LANGSMITH_API_KEY": "lsv2_x",
            "LANGSMITH_GATEWAY": langsmith.address,
        }
        command = [sys.executable, "-c", program, server.base_url]
        assert (
            subprocess.check_output([*command, "alone"], env=environment, cwd=ROOT, text=True, timeout=120)
            == "Paris.\n"
        )
        assert langsmith.requests == [] and len(server.requests) == 1
        # Within a chain that its user has traced: LangSmith does hear of the chain, not of what was sent in it.
        assert (
            subprocess.check_output([*command, "chain"], env=environment, cwd=ROOT, text=True, timeout=120)
            == "Paris.\n"
        )
        assert langsmith.requests and not any(
            "request" in str(r.body) and "rules" in str(r.body) for r in langsmith.requests
        )


def test_the_environment_does_not_redirect_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer.saying("Wrong.") as elsewhere:
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "LANGSMITH_GATEWAY"):
            monkeypatch.setenv(name, elsewhere.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # so that the test itself reaches nobody
        model = open_chat_model(Settings(llm="openai:smollm2", llm_retries=0))
        assert model is not None and "https://api.openai.com/v1" in _failure(model)
    assert elsewhere.requests == []


# Ending early


def test_closing_the_stream_ends_the_request() -> None:
    with FaultyServer([Reply(["so "] * 1000, pause=0.02)]) as server:
        pieces = _opened(server.base_url, answer=1000).stream(RULES, REQUEST)
        assert [next(pieces), next(pieces)] == ["so ", "so "]
        pieces.close()
        assert server.requests[0].gone.wait(10)


@pytest.mark.parametrize("reply", [Reply(["so "] * 1000, pause=0.02), Reply(wait=60)], ids=["midway", "before"])
def test_cancelling_the_task_ends_the_request(reply: Reply) -> None:
    with FaultyServer([reply]) as server:
        model = _opened(server.base_url, timeout=60, answer=1000)

        async def cancelled() -> bool:
            async def ask() -> None:
                async for _ in model.astream(RULES, REQUEST):
                    pass

            task = asyncio.create_task(ask())
            while not server.requests:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(server.requests[0].gone.wait, 10)

        assert asyncio.run(cancelled())


def test_closing_the_asynchronous_stream_ends_the_request() -> None:
    with FaultyServer([Reply(["so "] * 1000, pause=0.02)]) as server:

        async def closed() -> bool:
            pieces = _opened(server.base_url, answer=1000).astream(RULES, REQUEST)
            assert await anext(pieces) == "so "
            await pieces.aclose()
            return await asyncio.to_thread(server.requests[0].gone.wait, 10)

        assert asyncio.run(closed())


# What passes


@pytest.mark.parametrize(
    "trouble",
    [Reply(status=500), Reply(status=503, body="<html>busy</html>"), Reply(ending="cut"), Reply(status=429)],
    ids=["500", "503", "cut", "429"],
)
def test_what_passes_is_tried_again(trouble: Reply, asking: Asking) -> None:
    with FaultyServer([trouble, Reply(["Paris."])]) as server:
        assert asking(_opened(server.base_url, retries=1)) == ["Paris."]
    first, second = server.requests
    assert second.at - first.at > 0.4 and first.body == second.body


@pytest.mark.parametrize("as_date", [False, True])
def test_the_pause_that_a_server_asks_for_is_kept(as_date: bool) -> None:
    asked = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True) if as_date else "2"
    with FaultyServer([Reply(status=429, headers={"Retry-After": asked}), Reply(["Paris."])]) as server:
        assert _streamed(_opened(server.base_url, retries=1)) == ["Paris."]
    first, second = server.requests
    assert second.at - first.at > 1.5  # without being asked it waits a second at most


def test_a_pause_longer_than_the_timeout_is_not_waited_for() -> None:
    with FaultyServer([Reply(status=429, headers={"Retry-After": "60"}, body=_error("quota used up"))]) as server:
        assert re.search(r"\(429\); wait 60 s, .*quota used up", _failure(_opened(server.base_url, retries=3)))
    assert len(server.requests) == 1


def test_what_stays_broken_is_tried_as_often_as_set(asking: Asking) -> None:
    with FaultyServer([Reply(status=502, body=_error("no backend"))]) as server:
        assert re.search(r"failed \(502\).*no backend", _failure(_opened(server.base_url, retries=1), asking))
    assert len(server.requests) == 2


def test_after_the_first_piece_nothing_is_tried_again(asking: Asking) -> None:
    with FaultyServer([Reply(["Par"], ending="cut"), Reply(["Paris."])]) as server:
        assert "broke off its answer" in _failure(_opened(server.base_url, retries=3), asking)
    assert len(server.requests) == 1


# What fails


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=401), r"refused the API key \(401\): see to OPENAI_API_KEY or llm_key_file"),
        (Reply(status=403), r"refused the API key \(403\)"),
        (Reply(status=404, body=_error("no model smollm2")), r"not found \(404\); check the model.*no model smollm2"),
        (Reply(status=400, body=_error("no such\n\x1b[31mfield")), r"refused the request \(400\): no such \[31mfield"),
        (
            Reply(status=400, body=_error("This model's maximum context length is 512 tokens.")),
            "prompt is too long .*lower llm_context, now 8192",
        ),
        (Reply(body='data: {"error": {"message": "out of memory"}}\n\n'), "out of memory"),
        (Reply(body="data: {broken\n\n"), "no answer that can be read; check base_url"),
        (Reply(body="<html>Welcome</html>"), "no answer that can be read; check base_url"),
        (Reply(), r"gave no text \(finish reason: stop\)"),
        (Reply(thoughts=["hm"] * 9, ending="length"), r"gave no text \(finish reason: length\).*raise llm_answer"),
        (Reply(["Par"], ending="unfinished"), "stopped in the middle"),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_do(reply: Reply, said: str, asking: Asking) -> None:
    with FaultyServer([reply]) as server:
        text = _failure(_opened(server.base_url), asking)
    assert re.search(said, text) and server.base_url in text, text


@pytest.mark.parametrize("reply", [Reply(wait=60), Reply(["Par"], ending="stalled")], ids=["before", "midway"])
def test_silence_is_borne_as_long_as_the_timeout_and_once(reply: Reply, asking: Asking) -> None:
    with FaultyServer([reply]) as server:
        started = time.monotonic()
        assert "was silent for 1 s" in _failure(_opened(server.base_url, timeout=1, retries=3), asking)
        assert 0.9 < time.monotonic() - started < 20
    assert len(server.requests) == 1


def test_a_slow_answer_is_no_silence(asking: Asking) -> None:
    with FaultyServer([Reply(["It ", "is ", "surely ", "Paris."], pause=0.6)]) as server:
        assert asking(_opened(server.base_url, timeout=2)) == ["It ", "is ", "surely ", "Paris."]


def test_a_server_that_is_down_is_called_so(asking: Asking) -> None:
    with FaultyServer([]) as server:
        gone = server.base_url
    assert _failure(_opened(gone), asking).endswith(
        f"cannot reach openai:smollm2 at {gone}: Connection refused; is the server running?"
    )


# Keys


def _key_file(folder: Path, text: str | bytes) -> Path:
    file = folder / "key"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_key_comes_from_a_file_or_the_environment_or_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer.saying("Paris.") as server:
        _streamed(_opened(server.base_url))
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        _streamed(_opened(server.base_url))
        _streamed(_opened(server.base_url, _key_file(tmp_path, "\ufeff sk-from-file \n")))
        sent = [{k.lower(): v for k, v in request.headers.items()}["authorization"] for request in server.requests]
    assert sent == ["Bearer none", f"Bearer {KEY}", "Bearer sk-from-file"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=status, body=_error(f"Incorrect key {KEY}; header Bearer {KEY}"))
        for status in (400, 401, 404, 429, 500)
    ]
    + [Reply(body=f"data: {_error(KEY)}\n\n"), Reply(body=f"data: {KEY}\n\n")],
)
def test_a_key_is_in_no_text_however_often_a_server_repeats_it(
    reply: Reply, asking: Asking, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultyServer([reply]) as server:
        model = _opened(server.base_url, _key_file(tmp_path, KEY))
        with pytest.raises(ChatModelFailed) as caught:
            asking(model)
    error = caught.value
    assert error.__cause__ is None and error.__context__ is None
    shown = [str(error), repr(error), *traceback.format_exception(error), repr(model), str(model), caplog.text]
    shown += [repr(record.__dict__) for record in caplog.records] + list(capfd.readouterr())
    assert server.requests and caplog.records
    assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize("text", ["", " \n", "two words", "ключ", "x" * (LONGEST_KEY + 1), b"\xff\xfe", b"\0\0"])
def test_a_file_that_is_no_key_is_refused_by_name_without_its_content(tmp_path: Path, text: str | bytes) -> None:
    file = _key_file(tmp_path, text)
    with pytest.raises(BadRequest) as caught:
        _opened("http://127.0.0.1:1", file)
    assert str(caught.value) == f"setting llm_key_file: {file} has to hold an API key and nothing else"
    assert caught.value.__context__ is None


def test_a_key_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"cannot read .*none: No such file"):
        _opened("http://127.0.0.1:1", tmp_path / "none")
    with pytest.raises(BadRequest, match="Is a directory"):
        _opened("http://127.0.0.1:1", tmp_path)


# Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(llm="qwen3"), "llm is 'qwen3'; write provider:model, with openai, anthropic"),
        (Settings(llm="qwen3:8b"), "qwen3:8b cannot be opened: Unsupported provider='qwen3'"),
        (Settings(llm="mistralai:m"), "mistralai:m needs a package: pip install langchain-mistralai"),
        (Settings(llm="openai:"), "write provider:model"),
        (Settings(llm="openai:gpt"), "openai:gpt needs an API key: set OPENAI_API_KEY, or llm_key_file"),
        (Settings(llm="anthropic:claude"), "set ANTHROPIC_API_KEY"),
        (Settings(llm="openai:m", base_url="127.0.0.1:8080/v1"), "base_url is no address"),
        (Settings(llm="openai:m", base_url="ftp://host/v1"), "base_url is no address"),
        (Settings(llm="openai:m", base_url="http://"), "base_url is no address"),
        (Settings(llm="openai:m", base_url="http://host:99999/v1"), "base_url is no address"),
        (Settings(llm="openai:m", base_url="http://host", llm_context=512), "llm_answer is 512; it has to be below"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(settings: Settings, said: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(said) if "(" in said else said):
        open_chat_model(settings)


@pytest.mark.parametrize("secret", ["http://me:hunter2@host/v1", "http://host/v1?key=hunter2", "me:hunter2@host"])
def test_an_address_that_holds_a_secret_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(BadRequest, match="base_url holds more than an address") as caught:
        open_chat_model(Settings(llm="openai:m", base_url=secret))
    assert not any("hunter2" in line for line in traceback.format_exception(caught.value)[-1:])


@pytest.mark.parametrize(
    ("llm", "package", "extra"),
    [
        ("anthropic:claude", "langchain_anthropic", "anthropic"),
        ("google_genai:gemini", "langchain_google_genai", "google"),
        ("ollama:qwen3", "langchain_ollama", "ollama"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    llm: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadRequest, match=re.escape(f"{llm} needs a package: pip install 'rag-articles[{extra}]'")):
        open_chat_model(Settings(llm=llm, base_url="http://127.0.0.1:1"))
    project = (ROOT / "pyproject.toml").read_text()
    assert f'{extra} = ["{package.replace("_", "-")}' in project


def test_langchain_is_imported_only_to_open_a_model() -> None:
    program = "import sys, rag.chat_model; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.check_output([sys.executable, "-c", program], env=SUBPROCESS, cwd=ROOT, text=True).split()
    assert "rag" in loaded
    assert not [name for name in loaded if name.startswith(("langchain", "langsmith", "langgraph", "openai", "httpx"))]


# Counting tokens

SAMPLES = {
    "ru": "Для Мурманска подписано соглашение о накопителе на 24 МВт·ч; работы обойдутся в 1,3 млрд рублей.",
    "en": "The council will replace 11,500 street lights with LED lamps at a cost of €12.4m, it said on Friday.",
    "de": "Die Straßenbahn überträgt ab dem 1. September 2025 Pakete; das kostet rund 57,5 Millionen Euro im Jahr.",
    "zh": "无锡无人驾驶公交L9线全长18.6公里，计划于2025年6月18日开通，总投资1.8亿元。",
}


@pytest.mark.parametrize("language", SAMPLES)
def test_tokens_are_estimated_from_above_and_not_wildly(language: str, smollm2: SmolServer, embedder: OnnxE5) -> None:
    model = _opened("http://127.0.0.1:1")
    text = SAMPLES[language]
    true = max(smollm2.count_tokens(text), *embedder.count_tokens([text]))
    assert true <= model.count_tokens(text) <= 2 * true


def test_articles_are_estimated_from_above(smollm2: SmolServer, embedder: OnnxE5) -> None:
    model = _opened("http://127.0.0.1:1")
    files = [f for f in sorted((ROOT / "eval" / "data" / "articles").glob("*.txt")) if "cp1251" not in f.name]
    paragraphs = [p for f in files for p in f.read_text("utf-8").split("\n\n") if len(p) > 200][::2]
    above = [model.count_tokens(p) >= max(smollm2.count_tokens(p), *embedder.count_tokens([p])) for p in paragraphs]
    assert len(paragraphs) > 20 and sum(above) / len(above) > 0.95


def test_counting_tokens_by_hand() -> None:
    model = _opened("http://127.0.0.1:1")
    counts = {text: model.count_tokens(text) for text in ("", "ten letters", "18.6", "Пермь", "公里", "a公1ю")}
    assert counts == {"": 0, "ten letters": 5, "18.6": 4, "Пермь": 5, "公里": 5, "a公1ю": 5}
