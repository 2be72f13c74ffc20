"""The article viewer: hostile articles, exact offsets, and a real browser."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import lxml.html
import pytest
from conftest import ROOT, make_article
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, sync_playwright

from index.kept import Block
from index.types import Article
from rag.links import live_link, permalink, web_address
from rag.server.viewer import CONTENT_SECURITY_POLICY, Language, article_page, cleaned_page, not_found_page

STATIC = ROOT / "rag" / "server" / "static"

ELEMENTS = {
    "html", "head", "meta", "title", "link", "script", "body", "main", "article", "header", "h1", "p", "a", "div",
    "mark", "bdi", "time", "span", "del", "button", "input", "label",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "dir", "charset", "name", "content", "href", "rel", "src", "defer", "class", "id", "role", "tabindex",
    "type", "hidden", "readonly", "target", "datetime", "aria-label", "data-start", "data-theme", "data-copied",
    "data-copy",
}  # fmt: skip
HOSTILE = """</p></div><script>document.title = "ran"</script><img src=x onerror="document.title = 'ran'">
<a href="javascript:document.title='ran'">click</a><iframe srcdoc="<script>top.document.title='ran'</script>"></iframe>

&lt;b&gt; &amp; \u202eright to left\u202c {braces} {0} %s <svg/onload=alert(1)> <base href=//evil.example> <!-- \x00 -->

</textarea></title><style>* { display: none }</style><meta http-equiv=refresh content="0;url=//evil.example">"""
TEXT = """Трамвай 🚋 вышел на линию в понедельник. Мэр 👩‍🔧 проехал в нём первым.

Стоимость проекта — 66 млрд рублей: так сказал директор 🚧 стройки.
Вторая строка того же абзаца.

Движение откроют в июне."""


def _article(text: str = TEXT, title: str = "Трамвай в Ижевске", **changes: str | None) -> Article:
    article = make_article("https://example.org/tram", text, title, "ru", "2024-06-26", "example.org")
    return replace(article, **changes)  # type: ignore[arg-type]


def _tree(page: str) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(page.encode())


def _shown(text: str) -> str:
    """Put the replacement character for all that HTML cannot hold, as the viewer says it does."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", "\ufffd", text)


def _text_of(tree: lxml.html.HtmlElement, length: int) -> str:
    """Put the paragraphs where they say they begin; between them are line breaks."""
    characters = ["\n"] * length
    for paragraph in tree.xpath("//*[@id='text']/p"):
        text, start = paragraph.text_content(), int(paragraph.get("data-start"))
        characters[start : start + len(text)] = text
    return "".join(characters)


def _marked(page: str) -> list[str]:
    return [mark.text_content() for mark in _tree(page).xpath("//*[@id='text']//mark")]


def _assert_tame(page: str) -> None:
    """Check that nothing in a page runs, loads or links but what the viewer itself puts there."""
    tree = _tree(page)
    elements = list(tree.iter())
    assert all(isinstance(element.tag, str) for element in elements)  # no comments
    assert {element.tag for element in elements} <= ELEMENTS
    assert [element.get("src") for element in elements if "src" in element.attrib] == ["/rag-static/viewer.js"]
    assert [script.text for script in tree.iter("script")] == [None]
    assert {name for element in elements for name in element.attrib} <= ATTRIBUTES
    for element in tree.xpath("//*[@href]"):
        assert re.match(r"/rag-static/viewer\.css$|/articles/|https?://", element.get("href"))


anything = st.text(st.characters() | st.sampled_from("\n\n<>&\"'/\0\r\u202e😀א"), max_size=60)
hostile = st.lists(anything | st.sampled_from(HOSTILE.split()), max_size=8).map("".join)
spans = st.none() | st.tuples(st.integers(-5, 400), st.integers(-5, 400))


@given(hostile, hostile, hostile, hostile, spans)
def test_any_article_is_shown_exactly_and_harmlessly(
    text: str, title: str, uri: str, source: str, span: tuple[int, int] | None
) -> None:
    article = _article(text, title, uri=uri, source=source)
    page = article_page(article, span, "en", newer="/articles/x", in_panel=True, cleaning="/articles/x/cleaned")
    _assert_tame(page)
    tree = _tree(page)
    assert _text_of(tree, len(text)) == _shown(text)
    assert tree.xpath("//h1")[0].text_content() == _shown(title)
    start, end = span or (0, 0)
    assert "".join(_marked(page)) == "".join(
        part for part in _marked_by_lines(_shown(text), max(0, start), min(end, len(text)))
    )
    _assert_tame(cleaned_page(article, [Block(title, True), Block(text, False)], "ru"))


def _marked_by_lines(text: str, start: int, end: int) -> Iterator[str]:
    """Give what a span holds, without the line breaks between paragraphs."""
    gaps = [match.span() for match in re.finditer(r"\n\n+" if "\n\n" in text else r"\n", text)]
    yield from (c for i, c in enumerate(text) if start <= i < end and not any(a <= i < b for a, b in gaps))


def test_a_span_after_an_emoji_is_marked_to_the_character() -> None:
    start = TEXT.index("66 млрд")
    page = article_page(_article(), (start, start + 7), "ru")
    assert _marked(page) == ["66 млрд"]
    assert _tree(page).get_element_by_id("quote").text_content() == "66 млрд"


def test_a_span_across_paragraphs_is_marked_in_each() -> None:
    start, end = TEXT.index("Мэр"), TEXT.index(" откроют")
    tree = _tree(article_page(_article(), (start, end), "ru"))
    marks = tree.xpath("//mark")
    assert len(marks) == 3 and [mark.get("id") for mark in marks] == ["quote", None, None]
    assert marks[0].text_content() == "Мэр 👩‍🔧 проехал в нём первым." and marks[2].text_content() == "Движение"


@pytest.mark.parametrize("span", [None, (5, 5), (9, 3), (10_000, 20_000), (-9, -3), (-9, 0)])
def test_a_span_without_text_marks_nothing(span: tuple[int, int] | None) -> None:
    assert "<mark" not in article_page(_article(), span, "en")


def test_a_span_that_sticks_out_is_cut_off() -> None:
    assert _marked(article_page(_article("One line."), (-3, 99), "en")) == ["One line."]


def test_lines_of_a_text_without_empty_lines_are_paragraphs() -> None:
    tree = _tree(article_page(_article("One.\nTwo.\nThree."), None, "en"))
    assert [p.get("data-start") for p in tree.xpath("//*[@id='text']/p")] == ["0", "5", "10"]


@pytest.mark.parametrize(
    ("language", "lang", "direction"),
    [("ar", "ar", "rtl"), ("he", "he", "rtl"), ("fa", "fa", "rtl"), ("ur", "ur", "rtl"), ("ru", "ru", "ltr"),
     ("und", "", "auto")],
)  # fmt: skip
def test_an_article_has_its_own_language_and_direction(language: str, lang: str, direction: str) -> None:
    tree = _tree(article_page(_article(language=language), None, "en"))
    assert tree.get("lang") == "en" and tree.get("dir") is None
    for element in (tree.get_element_by_id("text"), tree.xpath("//h1")[0]):
        assert (element.get("lang"), element.get("dir")) == (lang, direction)


@pytest.mark.parametrize(
    ("published", "language", "shown"),
    [
        ("2024-06-26", "en", "26 June 2024"),
        ("2024-06-26", "ru", "26 июня 2024\u202fг."),
        ("2024-06", "en", "June 2024"),
        ("2024", "ru", "2024"),
        (None, "en", "date unknown"),
        (None, "ru", "дата неизвестна"),
        ("2024-99", "en", "2024-99"),
    ],
)
def test_a_date_is_shown_with_the_precision_it_has(published: str | None, language: Language, shown: str) -> None:
    facts = _tree(article_page(_article(published=published), None, language)).find_class("facts")[0]
    assert shown in [fact.replace("\u00a0", "\u202f") for fact in facts.text_content().split(" · ")]


def test_the_facts_name_source_language_and_length() -> None:
    page = article_page(_article("Да. " * 500), None, "ru")
    facts = _tree(page).find_class("facts")[0].text_content().split(" · ")
    assert [facts[0], *facts[2:]] == ["example.org", "русский", "знаков: 2\u00a0000"]


def test_of_a_file_its_name_alone_is_shown() -> None:
    article = _article(uri="file:///secret/folder/%D1%82.txt", source="folder")
    page = article_page(article, None, "en")
    assert "т.txt" in page and "secret" not in page and "file:" not in page


def test_a_replaced_article_leads_to_the_current_one() -> None:
    newer = _tree(article_page(_article(), None, "en", newer="/articles/new?a=1&b=2"))
    assert newer.xpath("//*[@class='notice']/a/@href") == ["/articles/new?a=1&b=2"]
    assert not _tree(article_page(_article(), None, "en")).find_class("notice")


def test_the_original_opens_at_the_quote_and_tells_it_nothing() -> None:
    start = TEXT.index("66 млрд")
    link = _tree(article_page(_article(), (start, start + 7), "en")).xpath("//*[@class='links']/a")[0]
    assert link.get("href") == "https://example.org/tram#:~:text=66%20%D0%BC%D0%BB%D1%80%D0%B4"
    assert link.get("rel") == "noopener noreferrer nofollow" and link.get("target") == "_blank"


def test_in_the_panel_a_link_leads_to_the_own_page() -> None:
    article = _article()
    tree = _tree(article_page(article, (1, 5), "en", in_panel=True, theme="dark"))
    assert tree.xpath("//*[@class='links']/a/@href")[-1] == permalink(article.id, 1, 5)
    assert tree.get("data-theme") == "dark" and tree.xpath("//body/@class") == ["panel"]


def test_what_is_gone_is_said_in_both_languages() -> None:
    assert "not here any more" in not_found_page("en") and "больше нет" in not_found_page("ru")
    _assert_tame(not_found_page("en"))
    assert "cannot be read" in _tree(cleaned_page(_article(), None, "en")).find_class("notice")[0].text_content()


def test_what_was_thrown_away_is_struck_out_and_counted() -> None:
    blocks = [Block("Печать", False), Block("Трамвай вышел.", True), Block("18+", False)]
    tree = _tree(cleaned_page(_article(), blocks, "en"))
    assert [p.text_content() for p in tree.xpath("//p[@class='kept']")] == ["Трамвай вышел."]
    assert [p.text_content() for p in tree.xpath("//*[@class='text']/p/del")] == ["Печать", "18+"]
    assert "left out: 2" in tree.find_class("legend")[0].text_content()


# Links


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://a.example", "", "http://", "http://[",
     "/a", "java\nscript:alert(1)", " \x01javascript:alert(1)", "//a.example/", "http:a", "\ud800", "http:\\\\a"],
)  # fmt: skip
def test_what_is_not_of_the_web_is_not_linked(uri: str) -> None:
    assert web_address(uri) is None and live_link(uri, "quote") is None


@pytest.mark.parametrize(
    ("uri", "quote", "link"),
    [
        ("https://a.example/x", "", "https://a.example/x"),
        ("HTTPS://a.example/x", "six to-day, & on", "HTTPS://a.example/x#:~:text=six%20to%2Dday%2C%20%26%20on"),
        ("http://a.example/#s", "one", "http://a.example/#s:~:text=one"),
        ("http://a.example/#s:~:text=two", "one", "http://a.example/#s:~:text=one"),
        ("http://a.example/новость «1»", "one", "http://a.example/новость%20«1»#:~:text=one"),
        ('http://a.example/"><script>', "one", "http://a.example/%22%3E%3Cscript%3E#:~:text=one"),
        ("http://a.example/", "one two\n\nthree  four", "http://a.example/#:~:text=one%20two,three%20four"),
        ("http://a.example/", "x" * 150, f"http://a.example/#:~:text={'x' * 150}"),
        ("http://a.example/", "\ud800", "http://a.example/#:~:text=%3F"),
        (
            "http://a.example/",
            " ".join(f"word{n:02}" for n in range(20)),
            "http://a.example/#:~:text=word00%20word01%20word02%20word03%20word04%20word05"
            ",word14%20word15%20word16%20word17%20word18%20word19",
        ),
    ],
)
def test_a_quote_is_named_as_text_fragments_are_written(uri: str, quote: str, link: str) -> None:
    assert live_link(uri, quote) == link


@given(hostile, hostile)
def test_odd_addresses_and_quotes_never_fail(uri: str, quote: str) -> None:
    for address in (live_link(uri, quote), live_link(f"http://a.example/{uri}", quote)):
        assert address is None or re.fullmatch(r"(?i)https?://[^\s\"<>]+", address)


def test_an_articles_id_cannot_leave_its_place_in_the_path() -> None:
    assert permalink("../?a#b", 1, 2) == "/articles/..%2F%3Fa%23b?start=1&end=2"


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = Path("/usr/bin/chromium")
    with sync_playwright() as playwright:
        path = chromium if chromium.exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def _served(article: Article, originals: dict[str, str] | None = None) -> Iterator[str]:
    """Serve an article's page and the static files as the server does, and pages of other people."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == f"/articles/{article.id}":
                span = (int(asked["start"]), int(asked["end"])) if "start" in asked else None
                self._answer("text/html", article_page(article, span, "en", in_panel="panel" in asked), is_ours=True)
            elif parts.path in ("/rag-static/viewer.js", "/rag-static/viewer.css"):
                kind = "text/javascript" if parts.path.endswith("js") else "text/css"
                self._answer(kind, (STATIC / Path(parts.path).name).read_text("utf-8"), is_ours=True)
            else:
                self._answer("text/html", (originals or {}).get(parts.path, ""), is_ours=False)

        def _answer(self, kind: str, body: str, is_ours: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            if is_ours:
                self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
                self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 900, "height": 600})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context.new_page()
    context.close()


def _select(page: Page, first: str, last: str) -> None:
    """Select from the beginning of ``first`` to the end of ``last``, as a reader does, in the article's text."""
    page.evaluate(
        """([first, last]) => {
            const find = (wanted, isEnd) => {
                const walk = document.createTreeWalker(document.getElementById("text"), NodeFilter.SHOW_TEXT);
                while (walk.nextNode()) {
                    const at = walk.currentNode.data.indexOf(wanted);
                    if (at >= 0) return [walk.currentNode, at + (isEnd ? wanted.length : 0)];
                }
            };
            document.getSelection().setBaseAndExtent(...find(first, false), ...find(last, true));
        }""",
        [first, last],
    )


def _span_in_address(page: Page) -> tuple[int, int]:
    asked = parse_qs(urlsplit(page.url).query)
    return int(asked["start"][0]), int(asked["end"][0])


def test_a_reader_makes_a_link_to_what_was_selected(page: Page) -> None:
    article = _article(TEXT + "\n\n" + HOSTILE)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    with _served(article) as site:
        page.goto(f"{site}/articles/{article.id}?theme=dark")
        title = page.title()
        _select(page, "66 млрд", "директор 🚧 стройки")
        page.get_by_role("button", name="Link to this passage").click()
        page.get_by_role("status").get_by_text("Link copied").wait_for()
        start, end = _span_in_address(page)
        quote = "66 млрд рублей: так сказал директор 🚧 стройки"
        assert article.text[start:end] == quote == page.locator("#quote").inner_text()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == f"{site}{permalink(article.id, start, end)}"
        assert "theme=dark" in page.url  # as the page was
        assert "66%20" in str(page.locator(".links a").first.get_attribute("href"))

        page.goto(copied)
        assert page.locator("#quote").inner_text() == quote
        _select(page, "Мэр", "Движение")  # across paragraphs, and over the mark
        page.get_by_role("button").click()
        page.get_by_role("status").get_by_text("Link copied").wait_for()
        start, end = _span_in_address(page)
        assert article.text[start:end] == article.text[article.text.index("Мэр") : article.text.index(" откроют")]
        assert page.locator("mark").count() == 3

        page.locator("#text > p").first.click(click_count=3)  # the whole paragraph; then without the mouse
        page.get_by_role("button").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.locator("mark").nth(1).wait_for(state="detached")
        start, end = _span_in_address(page)
        assert article.text[start:end] == article.text.split("\n")[0]
        assert page.title() == title  # nothing of the hostile text has run
        assert {urlsplit(url).netloc for url in requests} == {urlsplit(site).netloc}
        assert not [url for url in requests if "evil" in url or url.endswith("/x")]


def test_without_a_clipboard_the_address_is_shown_to_be_copied(page: Page) -> None:
    article = _article()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    with _served(article) as site:
        page.goto(f"{site}/articles/{article.id}")
        _select(page, "Вторая", "строка")
        page.get_by_role("button").click()
        field = page.get_by_role("textbox", name="Copy this address")
        field.wait_for()
        start, end = _span_in_address(page)
        assert article.text[start:end] == "Вторая строка"
        assert field.input_value() == f"{site}{permalink(article.id, start, end)}"
        assert page.evaluate("document.activeElement.selectionEnd") == len(field.input_value())
        assert "Copy this address" in page.get_by_role("status").inner_text()


def test_the_mark_is_brought_into_view_and_a_panel_leaves_the_chat_where_it_is(page: Page) -> None:
    text = "\n\n".join(f"Абзац номер {n} 🚋 о трамваях." for n in range(300))
    article = _article(text)
    start = text.index("номер 200")
    with _served(article) as site:
        path = permalink(article.id, start, start + 9)
        page.goto(site + path)
        assert page.locator("#quote").bounding_box()["y"] == pytest.approx(200, abs=5)  # type: ignore[index]
        page.goto(f"{site}/articles/{article.id}#{start}-{start + 9}")
        page.wait_for_url(site + path)
        assert page.locator("#quote").inner_text() == "номер 200"
    chat = f"<p style='height: 2000px'>chat</p><iframe src='{path}&panel=1' height=400></iframe>"
    with _served(article, {"/": chat}) as site:
        page.goto(site)
        frame = page.frame_locator("iframe")
        frame.locator("#quote").wait_for()
        page.wait_for_function("frames[0].scrollY > 0")
        assert page.evaluate("scrollY") == 0


def test_nothing_selected_offers_nothing(page: Page) -> None:
    with _served(_article()) as site:
        page.goto(f"{site}/articles/{_article().id}")
        assert page.get_by_role("button").count() == 0
        _select(page, "Мэр", "Мэр")
        page.get_by_role("button").wait_for()
        page.evaluate("document.getSelection().removeAllRanges()")
        page.get_by_role("button").wait_for(state="hidden")


@pytest.mark.parametrize(
    "quote",
    [
        "Стоимость проекта — 66 млрд рублей: так сказал директор",
        "市议会周二一致决定重建风暴中断成两截的旧码头,工程将于五月开始,耗资二百四十万英镑,港务局长埃德娜·科尔说,码头将于六月重新开放,"
        "届时游客可以再次走到码头尽头的灯塔,并在新的咖啡馆里休息,夏天的渡轮也将从这里出发前往各个岛屿。",
        "สภาเมืองลงมติเมื่อวันอังคารให้สร้างท่าเรือเก่าขึ้นใหม่ซึ่งพายุได้ทำให้หักเป็นสองท่อนเมื่อฤดูหนาวที่แล้วและงานจะเริ่มในเดือนพฤษภาคม"
        "โดยใช้งบประมาณสองล้านสี่แสนปอนด์",
        "Двадцать один вагон, сказано в договоре, придёт в город до конца года — и ещё девять, если хватит денег.",
        "Первый абзац кончается здесь.\n\nА второй-то, с дефисом, идёт следом & кончается тут.",
    ],
)
def test_a_browser_finds_the_quote_on_the_live_page(page: Page, quote: str) -> None:
    filler = "<p>Ни о чём.</p>" * 100
    original = filler + "".join(f"<p>{line.replace('&', '&amp;')}</p>" for line in quote.split("\n\n")) + filler
    with _served(_article(), {"/original": original}) as site:
        page.goto(str(live_link(f"{site}/original", quote)))
        page.wait_for_function("scrollY > 1000", timeout=5000)


def test_what_was_thrown_away_can_be_shown_alone(page: Page) -> None:
    cleaned = cleaned_page(_article(), [Block("Печать", False), Block("Трамвай вышел.", True)], "en")
    with _served(_article(), {"/cleaned": cleaned}) as site:
        page.goto(f"{site}/cleaned")
        assert page.get_by_text("Трамвай вышел.").is_visible()
        page.get_by_label("Show only what was left out").check()
        assert page.get_by_text("Печать").is_visible() and not page.get_by_text("Трамвай вышел.").is_visible()
