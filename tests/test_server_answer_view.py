"""An answer as HTML: what is out of articles, questions and a chat model is text in it and nothing else."""

import re
from dataclasses import replace
from typing import Literal

import lxml.html
import pytest
from conftest import make_article
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from index.types import Passage
from rag import messages
from rag.links import origin
from rag.server.answer_view import Extent, answer_html, escaped, progress_html
from rag.server.service import Happening, Queued
from rag.types import Answer, Checked, Checking, Citation, Hit, Progress, Retrieved, Rewritten, Sentence

EXTENT = Extent(1234, 56789)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</p></div></blockquote><h1>x",
    "<!-- ",
    "&lt;b&gt; &amp; &#60;",
    "[click](javascript:alert(1)) ![x](https://evil.example/p.png)",
    "**bold** _em_ `code` ~~s~~ # head\n\n- item\n\n    code\n```\nfence",
    "$$\\frac{1}{2}$$ \\(x\\) $x$",
    "one\r\ntwo\u2028three\u0085four\x0bfive",
    "nul\0nul \x1b[31mred",
    "\u202egnp.exe\u2066",
    "<https://evil.example> www.evil.example",
    "\ud800 half",
    "]]> <![CDATA[ x ]]> <?php ?>",
]
TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=30) | st.text(alphabet="<>&\"'`*_[]()!#$\\|~\n \0ая", max_size=30)
URIS = TEXTS | st.sampled_from(
    [
        "https://example.org/a?b=<x>&c='\"",
        "http://[::1",
        "javascript:alert(1)",
        "data:text/html,<script>",
        "file:///news/archive/news/%D1%8F%20%3Cb%3E.txt",
        "java\nscript:alert(1)",
        "HTTPS://WWW.Example.org/",
    ]
)
TAGS = {"div", "p", "a", "br", "span", "blockquote", "b", "ul", "li", "s"}
ATTRIBUTES = {"class", "href", "title"}


def shown(text: str) -> str:
    """Give what is to be seen of a text: one line, without what only turns or hides other text."""
    seen = re.sub("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", text)
    return " ".join(seen.split())


def parsed(html: str) -> lxml.html.HtmlElement:
    """Parse a message, which has to be one element that holds nothing but what we write."""
    assert len(html.splitlines()) == 1 and "\0" not in html
    html.encode()
    root, *others = lxml.html.fragments_fromstring(html)
    assert not others and not isinstance(root, str)
    for element in root.iter():
        assert element.tag in TAGS and set(element.attrib) <= ATTRIBUTES, lxml.html.tostring(element)
        assert re.match(r"/articles/[^/?]*\?start=\d+&end=\d+$|(?i:https?)://|#copy$", element.get("href", "#copy"))
    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(html)
    assert texts(lxml.html.fragment_fromstring(rendered.strip()), "*") == texts(root, "*")
    return root


def texts(root: lxml.html.HtmlElement, selector: str) -> list[str]:
    """Give the texts of elements, each on one line."""
    kind, _, name = selector.partition(".")
    return [
        " ".join(element.text_content().split())
        for element in root.iter()
        if kind in ("*", element.tag) and (not name or name in element.get("class", "").split())
    ]


def cited(
    marker: int = 1,
    quote: str = "It costs 8 billion.",
    answer: tuple[int, int] = (9, 18),
    title: str = "Title",
    uri: str = "https://example.org/a",
    language: str = "en",
    published: str | None = "2024-05-06",
) -> Citation:
    low, high = answer
    return Citation(marker, "abc", title, uri, published, language, 10, 10 + len(quote), quote, 10 + low, 10 + high)


def answered(*sentences: Sentence, language: str = "en", answerer: str = "reader", question: str = "Why?") -> Answer:
    citations = tuple(c for s in sentences for c in s.citations)
    text = " ".join(s.marked for s in sentences)
    status: Literal["answered", "abstained"] = "answered" if sentences else "abstained"
    return Answer(
        question, question, text, status, 0.876, citations, (), language, "2024-05-06", sentences, answerer=answerer
    )


def found(name: str, rank: int, title: str = "", uri: str = "", relevance: float | None = 0.25) -> Hit:
    article = make_article(f"file:///{name}.txt", "Some text. More text.")
    article = replace(article, id=name, uri=uri or article.uri, title=title or name)
    return Hit(Passage(rank, name, 0, 0, 10, "en"), article, 1 / rank, rank, 0.5, 0.5, None, relevance)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_escaped_text_is_the_same_text_in_html_and_in_markdown(text: str) -> None:
    html = f"<p>{escaped(text)}</p>"
    for way in (html, MarkdownIt("commonmark", {"html": True}).render(html)):
        element = lxml.html.fragment_fromstring(way.strip())
        assert len(element) == 0 and " ".join(element.text_content().split()) == shown(text)
    value = lxml.html.fragment_fromstring(f'<p title="{escaped(text)}"></p>').get("title")
    assert " ".join(value.split()) == shown(text)


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, TEXTS, URIS, TEXTS, st.sampled_from(["en", "ru"]), st.data())
def test_a_hostile_answer_has_only_our_elements_and_its_own_text(
    question: str, title: str, quote: str, uri: str, claim: str, language: Literal["en", "ru"], data: st.DataObject
) -> None:
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, len(quote))] * 2)))
    citation = cited(1, quote, (low, high), title, uri)
    answer = replace(
        answered(Sentence(claim, (citation,), "supported"), answerer="openai:m", question=question),
        standalone=f"{question} {title}",
        unsupported=(Sentence(claim, (), "other name", f"it is {title}"),),
        notes=(title, quote),
        hits=(found("abc", 1, title, uri),),
    )
    root = parsed(answer_html(answer, language, EXTENT))
    assert texts(root, "p.searched") == [shown(f"→ {question} {title}")]
    assert texts(root, "p.text") == [shown(f"{claim} 1")]
    assert texts(root, "span.title") == [shown(title)]
    assert texts(root, "blockquote") == [shown(quote)]
    assert texts(root, "b") == ([shown(quote[low:high])] if quote[low:high].strip() else [])
    assert texts(root, "s") == [shown(claim)]
    assert texts(root, "li") == [shown(f"{claim} (other name: it is {title})")]
    assert texts(root, "p.note") == [shown(title), shown(quote)]
    assert {shown(e.get("title")) for e in root.iter("a") if e.get("title")} <= {shown(quote)}


@settings(max_examples=200, deadline=None)
@given(TEXTS, URIS, st.sampled_from(["en", "ru"]))
@example("<b>x</b>", "https://example.org/<b>", "en")
def test_what_came_closest_is_text_too(title: str, uri: str, language: Literal["en", "ru"]) -> None:
    answer = replace(answered(), hits=(found("abc", 1, title or "x", uri or "x"),))
    root = parsed(answer_html(answer, language, EXTENT))
    assert texts(root, "a.named") == [shown(title or "x")]
    assert texts(root, "li") == [shown(f"{title or 'x'} date unknown · {origin(uri or 'x')}")]


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, st.sampled_from(["en", "ru"]))
def test_progress_is_text_too(text: str, standalone: str, language: Literal["en", "ru"]) -> None:
    sentence = Sentence(text, (cited(quote=text or "x", answer=(0, 1)),), "supported")
    happened: list[Happening] = [Rewritten(standalone), Progress("searching", 5), Checked(sentence), Checking(text)]
    root = parsed(progress_html(happened, language))
    assert texts(root, "p.text") == [shown(f"{text} 1")]
    assert texts(root, "p.doing") == [shown(f"{'Checking' if language == 'en' else 'Проверяется'}: {text} …")]


def test_progress_says_what_is_done_now() -> None:
    steps: list[Happening] = [Queued(2), Progress("searching", 12345), Retrieved(()), Progress("reading", 16)]
    said = [texts(parsed(progress_html(steps[: n + 1], "en")), "p.doing") for n in range(4)]
    assert said == [
        ["Waiting in line, place 2 …"],
        ["Searching 12,345 passages …"],
        ["Searching 12,345 passages …"],
        ["Reading up to 16 of them …"],
    ]
    assert texts(parsed(progress_html([Queued(2)], "ru")), "p.doing") == ["Очередь, место 2 …"]
    unsupported = Sentence("No.", (), "no source")
    assert texts(parsed(progress_html([Checked(unsupported)], "en")), "p.text") == []


def test_an_answer_of_the_reader_shows_quote_facts_and_links() -> None:
    one, two = (
        cited(),
        cited(2, "Price:  7 billion\nroubles.", (8, 25), "Other", "file:///news/archive/my%20news.txt", "ru", None),
    )
    answer = answered(Sentence("8 billion", (one,), "supported"), Sentence("7 billion", (two,), "supported"))
    html = answer_html(replace(answer, hits=(found("abc", 1, relevance=0.914), found("abc", 2))), "en", EXTENT)
    root = parsed(html)
    assert root.get("class") == "answer answered"
    assert texts(root, "p.text") == ["8 billion 17 billion 2"] and len(root.findall(".//br")) == 1
    assert texts(root, "blockquote") == ["It costs 8 billion.", "Price: 7 billion roubles."]
    assert texts(root, "b") == ["8 billion", "7 billion roubles"]
    assert texts(root, "span.facts") == [
        "2024-05-06 · example.org · relevance 91% · link to the quote · open the page at the quote",
        "date unknown · my news.txt · quoted in: Russian · relevance 91% · link to the quote",
    ]
    assert [a.get("href") for a in root.iter("a")].count("/articles/abc?start=10&end=29") == 3
    assert "https://example.org/a#:~:text=It%20costs%208%20billion." in [a.get("href") for a in root.iter("a")]
    assert "/news/archive" not in html
    assert texts(root, "p.footer") == ["As of 2024-05-06 · Confidence 87% · 0.0 s · Copy"]
    assert not texts(root, "p.searched") and not texts(root, "p.unsure")


def test_a_russian_answer_is_in_russian_on_any_page() -> None:
    answer = answered(Sentence("8 billion", (cited(),), "supported"), language="ru")
    for language in ("en", "ru"):
        root = parsed(answer_html(answer, language, EXTENT))
        assert "язык цитаты: английский · ссылка на цитату · открыть страницу на цитате" in texts(root, "span.facts")[0]
        assert texts(root, "p.footer") == ["По состоянию на 2024-05-06 · Уверенность 87% · 0.0 с · Копировать"]


def test_an_answer_in_another_language_says_of_itself_what_it_can_and_the_rest_as_the_page() -> None:
    answer = replace(answered(Sentence("8", (cited(),), "supported"), language="de"), status="partial")
    root = parsed(answer_html(answer, "ru", EXTENT))
    assert root.get("class") == "answer partial"
    assert texts(root, "p.unsure") == [messages.unsure("de")]
    assert "язык цитаты: английский" in texts(root, "span.facts")[0]
    assert texts(root, "p.footer")[0].startswith("По состоянию на")


def test_what_a_chat_model_wrote_names_it_and_keeps_apart_what_failed() -> None:
    answer = replace(
        answered(
            Sentence("It is so.", (cited(),), "supported"), Sentence("And so.", (), "supported"), answerer="openai:m"
        ),
        status="partial",
        unsupported=(Sentence("Not so.", (), "negation"), Sentence("9 of 9.", (), "other number", "9")),
    )
    root = parsed(answer_html(answer, "en", EXTENT))
    assert texts(root, "p.text") == ["It is so. 1 And so."] and not root.findall(".//br")
    assert texts(root, "p.unsure") == []  # every sentence was checked
    assert texts(root, "div.unsupported") == [
        f"{messages.unsupported('en')}Not so. (negation)9 of 9. (other number: 9)"
    ]
    assert "Written by openai:m; every sentence was checked against its quote" in texts(root, "p.footer")[0]


def test_an_abstention_says_what_was_searched_and_names_the_closest_articles_once() -> None:
    hits = tuple(found(name, rank) for rank, name in enumerate("aabcda", 1))
    root = parsed(answer_html(replace(answered(), hits=hits), "en", EXTENT))
    assert root.get("class") == "answer abstained" and not texts(root, "p.text")
    assert texts(root, "p.none") == [messages.no_answer("en")]
    assert texts(root, "p.closest") == ["Searched 56,789 passages of 1,234 articles. Closest, but not an answer:"]
    assert texts(root, "a.named") == ["a", "b", "c"]
    russian = parsed(answer_html(replace(answered(language="ru"), hits=hits), "en", EXTENT))
    assert texts(russian, "p.none") == ["В статьях нет ответа на этот вопрос."]


def test_an_abstention_for_want_of_articles_says_so() -> None:
    root = parsed(answer_html(answered(), "en", EXTENT))
    assert texts(root, "p.closest") == ["No article passes the filters."] and not root.findall(".//ul")


def test_a_follow_up_shows_what_was_searched_for() -> None:
    root = parsed(answer_html(replace(answered(), standalone="Why Linz?"), "en", EXTENT))
    assert texts(root, "p.searched") == ["→ Why Linz?"]


@pytest.mark.parametrize(
    ("uri", "shown_as"),
    [
        ("https://www.example.org/a/b", "example.org"),
        ("file:///news/archive/secret/%D1%8F%20b.txt", "я b.txt"),
        ("file:///news/archive/wire.jsonl#L3", "wire.jsonl#L3"),
        ("plain", "plain"),
    ],
)
def test_where_an_article_is_from_is_told_without_its_folder(uri: str, shown_as: str) -> None:
    assert origin(uri) == shown_as
