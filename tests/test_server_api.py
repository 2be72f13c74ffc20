"""The JSON API and the pages for people, against one real server: each route, each error, and its own description."""

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import lxml.html
import pytest
from conftest import SUBPROCESS, note
from test_server_app import LIGHTS, events, rag, serving

JSON = {"Content-Type": "application/json"}
PAGE = {"Accept": "text/html,application/xhtml+xml"}
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def folder(sample_index_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(sample_index_folder, tmp_path_factory.mktemp("served") / "index"))


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with serving(folder, {"RAG_FETCH_PRIVATE": "1"}) as server, server.client() as client:
        yield client


def asked(client: httpx.Client, question: str, **more: object) -> dict[str, Any]:
    response = client.post("/v1/ask", json={"question": question, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_problem(response: httpx.Response, status: int, kind: str, told: str = "") -> None:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert set(error) == {"type", "message", "request_id"}
    assert error["type"] == kind
    assert told in error["message"]
    assert "\n" not in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]


def added(client: httpx.Client, **article: str) -> str:
    """Add one article as text, with an address of its own, and give its id."""
    report = client.post("/v1/articles", json={"articles": [article]})
    assert report.status_code == 200 and report.json()["skipped"] == [], report.text
    (listed,) = client.get("/v1/articles", params={"search": article["url"]}).json()["articles"]
    return str(listed["id"])


# Asking


def test_an_answer_quotes_articles_as_the_api_gives_them(client: httpx.Client) -> None:
    answer = asked(client, LIGHTS)
    assert (answer["status"], answer["text"], answer["answerer"]) == ("answered", "11,500 [1]", "reader")
    assert answer["hits"]
    for cited in answer["citations"]:
        article = client.get(f"/v1/articles/{cited['article_id']}").json()
        assert article["text"][cited["start"] : cited["end"]] == cited["quote"]
        assert article["text"][cited["answer_start"] : cited["answer_end"]] == cited["answer"]
        assert article["link"] == cited["link"].partition("?")[0]
        assert article["current_id"] == article["id"] == cited["article_id"]


def test_an_answer_is_told_as_it_comes_about(client: httpx.Client) -> None:
    question = "Wie viele Leuchten tauscht Cork aus?"
    with client.stream("POST", "/v1/ask", json={"question": question, "stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        told = list(events(response))
    names = [name for name, _ in told]
    order = ["progress", "rewritten", "retrieved", "checked", "done"]
    assert [name for name in order if name in names] == list(dict.fromkeys(names))
    assert names[-1] == "done" and names.count("done") == 1
    assert [data["stage"] for name, data in told if name == "progress"] == ["rewriting", "searching", "reading"]
    last = told[-1][1]
    again = asked(client, question)
    assert again.pop("id") != last.pop("id")
    assert again == last  # remembered, with its timings
    assert dict(told)["rewritten"]["standalone"] == last["standalone"]
    assert [hit["article_id"] for hit in dict(told)["retrieved"]["hits"]] == [h["article_id"] for h in last["hits"]]


def test_filters_leave_articles_out(client: httpx.Client) -> None:
    assert asked(client, LIGHTS, where={"published_from": "2024"})["status"] == "abstained"
    hits = asked(client, LIGHTS, where={"languages": ["RU"], "published_to": "2024-12"})["hits"]
    assert {hit["language"] for hit in hits} == {"ru"}
    assert asked(client, LIGHTS, where={"sources": ["example.org"]})["citations"] == []


def test_a_follow_up_is_completed_from_the_history(client: httpx.Client) -> None:
    first = asked(client, LIGHTS)
    turn = {"question": first["standalone"], "answer": first["text"], "sources": [first["citations"][0]["title"]]}
    second = asked(client, "and in Linz?", history=[turn])
    assert second["question"] == "and in Linz?"
    assert second["standalone"] == "How many street lights will Linz replace?"
    assert "8.900" in second["text"]


def test_today_is_the_day_that_was_said(client: httpx.Client) -> None:
    question = "What did articles of last year say about street lights in Cork?"
    then = asked(client, question, today="2024-05-01")
    assert then["hits"][0]["published"].startswith("2023")
    assert_problem(client.post("/v1/ask", json={"question": question, "today": 0}), 422, "invalid", "today")
    assert_problem(client.post("/v1/ask", json={"question": question, "today": "2024-02-30"}), 422, "invalid", "today")


def test_what_the_articles_do_not_hold_is_not_answered(client: httpx.Client) -> None:
    answer = asked(client, "Who painted the ceiling of the Sistine Chapel?")
    assert (answer["status"], answer["citations"], answer["as_of"]) == ("abstained", [], None)
    assert answer["text"] == "The articles do not answer this question."


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"question": ""}', 422, "invalid"),
        (b'{"question": " \\n"}', 400, "bad_request"),
        ('{"question": "😀"}'.encode(), 400, "bad_request"),
        (rb'{"question": "Cork \ud800 lights?"}', 422, "invalid"),
        (rb'{"question": "Cork lights?", "\ud800": 1}', 422, "invalid"),
        (b'{"question": "Cork lights?", "colour": "red"}', 422, "invalid"),
        (b'{"question": "Cork?", "where": {"language": "en"}}', 422, "invalid"),
        (b'{"question": "Cork?", "where": {"published_from": "2024-02-31"}}', 400, "bad_request"),
        (b'{"question": "Cork?", "where": {"published_to": "yesterday"}}', 422, "invalid"),
        (json.dumps({"question": "x" * 20_001}).encode(), 422, "invalid"),
        (b'{"question": ', 422, "invalid"),
        (b"\xff\xfe", 422, "invalid"),
        (b'{"question": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "bad_request"),
        (b'["Cork?"]', 422, "invalid"),
        (b'{"question": "' + b"x" * 1_100_000 + b'"}', 413, "too_large"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    client: httpx.Client, path: str, body: bytes, status: int, kind: str
) -> None:
    assert_problem(client.post(path, content=body, headers=JSON), status, kind)


@pytest.mark.parametrize("question", ["Cork " * 4000, f"{LIGHTS} 😀\0\u2028\x85", "Cork?\0" + "x" * 19_994])
def test_what_is_odd_can_be_asked(client: httpx.Client, question: str) -> None:
    assert question.startswith(asked(client, question)["question"])
    with client.stream("POST", "/v1/ask", json={"question": question, "stream": True}) as response:
        name, answer = list(events(response))[-1]
    assert name == "done" and question.startswith(answer["question"])


# Searching


def test_passages_are_found_and_read(client: httpx.Client) -> None:
    sent: dict[str, object] = {"question": LIGHTS, "k": 3}
    plain = client.post("/v1/search", json=sent).json()["hits"]
    read = client.post("/v1/search", json={**sent, "rerank": True}).json()["hits"]
    assert len(plain) == len(read) == 3
    assert {hit["relevance"] for hit in plain} == {None}
    relevance = [hit["relevance"] for hit in read]
    assert relevance == sorted(relevance, reverse=True) and relevance[0] > 0.5
    for hit in plain:
        article = client.get(f"/v1/articles/{hit['article_id']}").json()
        assert article["text"][hit["start"] : hit["end"]] == hit["text"]
    german = client.post("/v1/search", json={**sent, "where": {"languages": ["de"]}}).json()["hits"]
    assert {hit["language"] for hit in german} == {"de"}


@pytest.mark.parametrize("k", [0, 101, "3", 2.5, True])
def test_the_number_of_passages_is_a_number(client: httpx.Client, k: object) -> None:
    assert_problem(client.post("/v1/search", json={"question": "Cork?", "k": k}), 422, "invalid", "k")


# Articles


def test_articles_are_listed_by_any_column(client: httpx.Client) -> None:
    lit = client.get("/v1/articles", params={"search": "ФОНАРЕЙ"}).json()
    assert [article["title"] for article in lit["articles"]] == [
        "Тверь заменит 14 200 уличных фонарей на управляемые светильники"
    ]
    chosen = {"language": "en", "published_from": "2023", "published_to": "2024", "order": "published"}
    oldest = client.get("/v1/articles", params={**chosen, "descending": "false"}).json()["articles"]
    days = [article["published"] for article in oldest]
    assert days == sorted(days) and days[0] >= "2023" and days[-1] < "2025"
    everything = client.get("/v1/articles", params={"order": "characters"}).json()
    pages = [
        client.get("/v1/articles", params={"order": "characters", "limit": 5, "offset": offset}).json()["articles"]
        for offset in range(0, everything["total"], 5)
    ]
    assert [article for page in pages for article in page] == everything["articles"]
    assert client.get("/v1/articles", params={"source": ["example.org", "nowhere"]}).json()["total"] == 3


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("order=colour", 422, "invalid"),
        ("limit=0", 422, "invalid"),
        ("offset=-1", 422, "invalid"),
        ("language=", 422, "invalid"),
        ("published_from=2024-02-31", 400, "bad_request"),
        (f"search={'x' * 1001}", 422, "invalid"),
    ],
)
def test_a_list_that_cannot_be_given_is_refused(client: httpx.Client, query: str, status: int, kind: str) -> None:
    assert_problem(client.get(f"/v1/articles?{query}"), status, kind)


def test_texts_are_added_found_and_removed(client: httpx.Client) -> None:
    article = added(client, text=note(501), title="A station", url="https://example.org/501", published="2024-03")
    given = client.get(f"/v1/articles/{article}").json()
    assert (given["title"], given["uri"], given["published"]) == ("A station", "https://example.org/501", "2024-03")
    assert client.post("/v1/search", json={"question": "marker0501"}).json()["hits"][0]["article_id"] == article
    assert client.delete(f"/v1/articles/{article}").json() == {"removed": 1}
    assert_problem(client.delete(f"/v1/articles/{article}"), 404, "not_found")
    assert_problem(client.get(f"/v1/articles/{article}"), 404, "not_found")


def test_files_are_added_and_bad_ones_named(client: httpx.Client) -> None:
    files = [
        ("files", ("ночь.txt", note(502).encode())),
        ("files", ("setup.exe", b"MZ")),
        ("files", ("picture.html", b"\x89PNG\0\x01" * 50)),
        ("files", ("empty.md", b"")),
    ]
    report = client.post("/v1/articles", files=files).json()
    assert report["added"] == 1 and report["passages_embedded"] >= 1
    assert [Path(skipped["uri"]).name for skipped in report["skipped"]] == ["setup.exe", "picture.html", "empty.md"]
    assert all(skipped["reason"] for skipped in report["skipped"])
    assert client.post("/v1/articles", files=files[:1]).json()["unchanged"] == 1


class Site(BaseHTTPRequestHandler):
    """A web site of one page."""

    def do_GET(self) -> None:
        paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in note(503).split("\n\n"))
        page = f"<html><head><title>Station news</title></head><body><article>{paragraphs}</article></body></html>"
        self.send_response(200 if self.path == "/news" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_addresses_are_fetched_and_progress_is_told(client: httpx.Client) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        news, gone = (f"http://127.0.0.1:{site.server_address[1]}/{path}" for path in ("news", "gone"))
        urls = [news, gone, "file:///etc/passwd", "news"]
        with client.stream("POST", "/v1/articles", json={"urls": urls}, headers=EVENTS) as response:
            told = list(events(response))
        site.shutdown()
    assert [data["url"] for name, data in told if name == "fetching"] == urls
    assert list(dict.fromkeys(name for name, _ in told)) == ["fetching", "progress", "done"]
    assert told[-1][1]["added"] == 1
    assert [skipped["uri"] for skipped in told[-1][1]["skipped"]] == [gone, "/etc/passwd", "news"]
    assert client.get("/v1/articles", params={"search": news}).json()["total"] == 1


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{}", 400, "bad_request"),
        (b"", 422, "invalid"),
        (b"[", 422, "invalid"),
        (b'{"urls": [""]}', 422, "invalid"),
        (b'{"articles": [{"text": 1}]}', 422, "invalid"),
        (b'{"articles": [{"text": "a", "colour": "red"}]}', 422, "invalid"),
        (rb'{"articles": [{"text": "\ud800"}]}', 422, "invalid"),
    ],
)
def test_what_is_no_article_at_all_is_refused(client: httpx.Client, body: bytes, status: int, kind: str) -> None:
    assert_problem(client.post("/v1/articles", content=body, headers=JSON), status, kind)


def test_a_broken_form_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    assert_problem(client.post("/v1/articles", content=b"--x\r\nfoo", headers=headers), 400, "bad_request")
    assert_problem(
        client.post("/v1/articles", files={"other": ("a.txt", b"x")}), 400, "bad_request", "nothing to index"
    )


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/articles/a%2Fb", "/v1/articles/nope", "/v1/articles/%00", "/v1/"])
def test_what_is_not_there_is_said_as_every_error(client: httpx.Client, path: str) -> None:
    assert_problem(client.get(path), 404, "not_found")


def test_a_method_that_is_not_there_is_told_which_are(client: httpx.Client) -> None:
    response = client.put("/v1/articles")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, POST"


# The reading room


def test_a_browser_is_led_from_an_article_to_its_page(client: httpx.Client) -> None:
    article = asked(client, LIGHTS)["citations"][0]["article_id"]
    led = client.get(f"/v1/articles/{article}", headers=PAGE)
    assert led.status_code == 307
    assert led.headers["location"] == f"/articles/{article}"  # no fragment: a browser keeps the one it has
    strange = client.get("/v1/articles/a%23b%3Fc", headers=PAGE)
    assert strange.headers["location"] == "/articles/a%23b%3Fc"
    assert client.get(strange.headers["location"]).status_code == 404


def test_a_permalink_marks_what_was_quoted(client: httpx.Client) -> None:
    for cited in asked(client, LIGHTS)["citations"]:
        page = client.get(cited["link"])
        marked = lxml.html.fromstring(page.text).xpath("//mark")
        assert "".join(mark.text_content() for mark in marked).split() == cited["quote"].split()
        assert marked[0].get("id") == "quote"


def test_an_article_that_changed_still_opens_as_it_was(client: httpx.Client) -> None:
    url = "https://example.org/changing"
    before = added(client, text=note(504), title="Changing", url=url)
    after = added(client, text=note(505), title="Changing", url=url)
    assert before != after
    page = lxml.html.fromstring(client.get(f"/articles/{before}").text)
    assert "marker0504" in page.get_element_by_id("text").text_content()
    assert [link.get("href") for link in page.xpath("//*[@role='note']//a")] == [f"/articles/{after}"]
    russian = client.get(f"/articles/{before}", headers={"Accept-Language": "ru-RU,ru;q=0.9"}).text
    assert "Статья с тех пор изменилась" in russian
    assert not lxml.html.fromstring(client.get(f"/articles/{after}").text).xpath("//*[@role='note']")
    former = client.get(f"/v1/articles/{before}").json()
    assert former["id"] == before and former["current_id"] == after


def test_an_article_that_is_not_there_has_a_page_too(client: httpx.Client) -> None:
    page = client.get("/articles/nope", headers=PAGE)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "The article is not here any more" in page.text


def test_a_hostile_article_comes_out_as_text(client: httpx.Client) -> None:
    text = (
        "The harbour of Osterwick got a new crane <script>alert(1)</script> on Monday morning.\n\n"
        '"><img src=x onerror=alert(2)> <a href="javascript:alert(3)">It lifts ninety tonnes</a> said the master.\n\n'
        "</article></body><iframe src=//evil.example></iframe> It replaces two older and weaker machines.\n"
    )
    article = added(client, text=text, title='"><script>alert(4)</script>', url="javascript:alert(5)//crane")
    length = len(client.get(f"/v1/articles/{article}").json()["text"])
    for path in (f"/articles/{article}?start=0&end={length}", f"/articles/{article}/cleaned"):
        response = client.get(path)
        page = lxml.html.fromstring(response.text)
        assert [script.get("src") for script in page.xpath("//script")] == ["/rag-static/viewer.js"]
        assert not page.xpath("//img | //iframe | //@onerror")
        assert [link for link in page.xpath("//@href") if not link.startswith("/")] == []
        assert "<script>alert(1)</script>" in page.text_content()
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy


class Scripts(HTMLParser):
    """The inline scripts of a page, and every address that the page loads something from."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.inline: list[str] = []
        self.loaded: list[str] = []
        self._is_inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._is_inside = tag == "script" and "src" not in given
        if self._is_inside:
            self.inline.append("")
        assert not [name for name in given if name.startswith("on")], "handlers in attributes have no hash"
        if tag != "a":
            self.loaded += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.inline[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag != "script"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_that_are_not_ours_run_their_own_scripts_alone(client: httpx.Client, path: str) -> None:
    response = client.get(path, headers=PAGE)
    directives = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    allowed = directives["script-src"].split()
    assert directives["default-src"] == "'self'"
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"} & set(allowed)
    scripts = Scripts(response.text)
    assert scripts.inline
    for script in scripts.inline:
        assert f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in allowed


def test_the_description_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    loaded = Scripts(client.get("/docs").text).loaded
    assert len(loaded) >= 3
    for address in loaded:
        assert re.match(r"/(?!/)", address), address
        assert client.get(address).status_code == 200


# What was said about answers


def opinion(answer: dict[str, Any], verdict: str, **more: str) -> dict[str, Any]:
    cited = ("article_id", "start", "end", "answer_start", "answer_end")
    told = ("question", "standalone", "status", "language", "answerer")
    return {
        **{name: answer[name] for name in told},
        "answer_id": answer["id"],
        "answer": answer["text"],
        "verdict": verdict,
        "citations": [{name: citation[name] for name in cited} for citation in answer["citations"]],
        **more,
    }


def test_opinions_are_kept_and_become_gold(client: httpx.Client, folder: Path, tmp_path: Path) -> None:
    answer = asked(client, LIGHTS)
    other = asked(client, "Сколько фонарей заменит Тверь?")
    noted = client.post("/v1/feedback", json=opinion(answer, "up"))
    assert noted.status_code == 201
    assert client.post("/v1/feedback", json=opinion(other, "down", comment="не о том")).status_code == 201
    kept = client.get("/v1/feedback").json()["feedback"]
    assert [(said["verdict"], said["question"]) for said in kept] == [("up", LIGHTS), ("down", other["question"])]
    assert kept[0]["id"] == noted.json()["id"]
    assert kept[0]["citations"][0]["quote"] == answer["citations"][0]["quote"]
    gold = client.get("/v1/feedback", params={"form": "gold"}).json()
    assert [question["answers"] for question in gold["questions"]] == [["11,500"]]
    assert [draft["comment"] for draft in gold["drafts"]] == ["не о том"]

    summed = rag("feedback", "--index", folder)
    assert (summed.returncode, summed.stdout) == (0, "1 answer approved, 1 not; 1 comment.\n")
    made = rag("feedback", "--gold", tmp_path / "gold", "--index", folder)
    assert made.returncode == 0 and "1 gold question in" in made.stdout and "1 draft" in made.stdout
    for name, rows in (("feedback-gold.jsonl", gold["questions"]), ("feedback-drafts.jsonl", gold["drafts"])):
        lines = (tmp_path / "gold" / name).read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == rows


def test_an_opinion_on_what_is_not_there_is_refused(client: httpx.Client) -> None:
    sent = opinion(asked(client, LIGHTS), "up")
    elsewhere = {"article_id": "nope", "start": 0, "end": 5}
    assert_problem(client.post("/v1/feedback", json={**sent, "citations": [elsewhere]}), 400, "bad_request", "nope")
    beyond = {**sent["citations"][0], "end": 1_000_000}
    assert_problem(client.post("/v1/feedback", json={**sent, "citations": [beyond]}), 400, "bad_request", "1000000")
    assert_problem(client.post("/v1/feedback", json={**sent, "verdict": "maybe"}), 422, "invalid", "verdict")
    assert_problem(client.post("/v1/feedback", json={**sent, "comment": "x" * 4001}), 422, "invalid", "comment")


def test_a_command_without_opinions_says_so(sample_index_folder: Path) -> None:
    summed = rag("feedback", "--index", sample_index_folder)
    assert (summed.returncode, summed.stdout) == (0, "0 answers approved, 0 not; 0 comments.\n")


# What an operator asks


def test_the_server_tells_how_it_is(client: httpx.Client, folder: Path) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    status = client.get("/v1/status")
    assert status.json()["articles"] == client.get("/v1/articles").json()["total"]
    assert status.json()["answerer"] == "reader" and status.json()["waiting"] == 0
    assert str(folder) not in status.text


def test_answers_are_counted(client: httpx.Client) -> None:
    def count(status: str) -> float:
        found = re.search(rf'^rag_answers_total\{{[^}}]*status="{status}"\}} (\S+)', client.get("/metrics").text, re.M)
        return float(found[1]) if found else 0.0

    before = count("abstained")
    assert asked(client, "Which team won the chess final of 1911?")["status"] == "abstained"
    assert count("abstained") == before + 1


# The description holds what it says. It comes last: what it adds to the index is nonsense.


@pytest.mark.parametrize(
    "chosen",
    [  # the first sends some fifty requests a route, too many where each is an answer
        "--phases=coverage --exclude-path=/v1/ask --exclude-path=/v1/chat/completions --exclude-path=/v1/search",
        "--phases=fuzzing --max-examples=8",
    ],
)
def test_the_api_is_as_it_describes_itself(client: httpx.Client, tmp_path: Path, chosen: str) -> None:
    # A date such as 2024-02-31, or a question without a word, is of the form described and still refused.
    unheld = ["--exclude-checks", "positive_data_acceptance"]
    bounds = ["--seed", "1", "--no-shrink", "--suppress-health-check", "all"]
    address = str(client.base_url.join("/openapi.json"))
    ended = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", address, *unheld, *bounds, *chosen.split()],
        cwd=tmp_path,
        env=SUBPROCESS,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout


def test_the_page_takes_no_file_of_the_server_for_an_upload(client: httpx.Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret-of-the-server.txt"
    secret.write_text("The vault opens to the word heliotrope on every second Tuesday of the month.", "utf-8")
    given = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    events = client.get("/config").json()["dependencies"]
    assert len(events) > 10
    for event in events:
        for value in (given, [given]):
            body = {"fn_index": event["id"], "session_hash": f"s{event['id']}", "data": [value] * len(event["inputs"])}
            assert client.post("/gradio_api/queue/join", json=body).status_code == 200
            with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": body["session_hash"]}) as told:
                said = "".join(told.iter_text())
            copied = re.search(r"[^\s\"]*/[0-9a-f]{40,}/secret-of-the-server\.txt", said.replace("\\/", "/"))
            assert copied is None, f"event {event['id']} copied the file to {copied}"
    assert client.get("/v1/articles", params={"search": "vault"}).json()["total"] == 0


def test_sites_that_hang_hold_up_nobody_else(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for number in range(3):
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/articles", json={"urls": [f"{address}{number}/{n}" for n in range(20)]}, timeout=0.5)
        added = client.post(
            "/v1/articles", json={"articles": [{"text": "The hall of Oulu got a new roof."}]}, timeout=20
        )
        assert added.json()["added"] == 1
        assert asked(client, "What did the hall of Oulu get?")["hits"]
