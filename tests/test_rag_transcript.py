"""A conversation as Markdown: what it says, and that no text in it can become Markdown, HTML, an image or a link."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from conftest import make_article
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from index.types import Passage
from rag import messages
from rag.transcript import as_markdown
from rag.types import Answer, Citation, Hit, Sentence

DAY = date(2025, 5, 31)
ARTICLE = make_article(
    "https://ex.org/pier",
    "The old pier of Norwell reopens in May.\nIt cost 2 million pounds, said the mayor.\n",
    "Pier to reopen",
    published="2024-03-05",
)
HIT = Hit(Passage(1, ARTICLE.id, 0, 0, len(ARTICLE.text), "en"), ARTICLE, 0.9, 1, 0.9, 0.5, None, 0.9)
QUOTE = Citation(
    1, ARTICLE.id, ARTICLE.title, ARTICLE.uri, ARTICLE.published, "en", 0, 39, ARTICLE.text[:39], 35, 38
)  # fmt: skip
QUESTION = "When does the pier reopen?"
ANSWER = Answer(
    question=QUESTION,
    standalone=QUESTION,
    text="May [1]",
    status="answered",
    confidence=0.9,
    citations=(QUOTE,),
    hits=(HIT,),
    language="en",
    as_of="2024-03-05",
    sentences=(Sentence("May", (QUOTE,), "supported"),),
)
NO_ANSWER = replace(ANSWER, text=messages.no_answer("en"), status="abstained", citations=(), sentences=(), as_of=None)
RENDERERS = (MarkdownIt("commonmark"), MarkdownIt("gfm-like", {"linkify": False}))
OURS = {"inline", "text", "text_special"} | {
    f"{name}_{side}"
    for name in ("heading", "paragraph", "blockquote", "bullet_list", "list_item", "strong", "link")
    for side in ("open", "close")
}
# https://github.github.com/gfm/#autolinks-extension-
AUTOLINK = re.compile(r"www\.|(?:https?|ftp)://|(?:mailto|xmpp):|[\w.+-]@[\w-]", re.IGNORECASE)
HOSTILE = [
    "![](http://evil/x.png)",
    "[click](javascript:alert(1))",
    "[a]: http://evil.com",
    "<script>alert(1)</script>",
    "<img src=http://evil/x.png>",
    "<http://evil.com>",
    "http://evil.com/x www.evil.com me@evil.com mailto:me@evil.com",
    "`code` ``` ~~~",
    "\n```\nfence\n",
    "\n# heading\n",
    "\n===\n---\n***\n",
    "\n\n    indented\n",
    "| a | b |\n|---|---|\n| c | d |",
    "[^1] [^1]: note",
    "&lt;b&gt; &#60;script&#62; &copy",
    "**bold** _em_ ~~gone~~ ==mark== $x$ \\",
    "- item\n1. one\n2) two\n+ plus\n> quote\n- [ ] task",
    "1. one",
    "+ plus",
    "[1] [9] [ ] ]( )[ (",
    "\u2028# after a line separator\u0085# and another\x00\x1b[31m\u202e",
    "\ud83d half a pair",
    "\x00 \x00 \x00 \x00 \x00 code",
]


def _document(*answers: Answer, base_url: str = "http://127.0.0.1:7860") -> str:
    return as_markdown(answers, "Conversation", "en", DAY, base_url)


def _tokens(renderer: MarkdownIt, document: str) -> Iterator[Token]:
    for token in renderer.parse(document):
        yield token
        yield from token.children or ()


def _shown(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def test_a_turn_has_question_answer_quote_source_date_and_both_addresses() -> None:
    assert _document(ANSWER).splitlines() == [
        "# Conversation",
        "",
        "Exported on 2025-05-31.",
        "",
        "## When does the pier reopen?",
        "",
        rf"May [\[1\]](<http://127.0.0.1:7860/articles/{ARTICLE.id}?start=0&end=39>)",
        "",
        "### Sources",
        "",
        r"**\[1\]** Pier to reopen · ex\.org · 2024\-03\-05",
        "",
        r"> The old pier of Norwell reopens in May\.",
        "",
        rf"[Place in the article](<http://127.0.0.1:7860/articles/{ARTICLE.id}?start=0&end=39>)"
        r" · [https\:\/\/ex\.org\/pier](<https://ex.org/pier>)",
        "",
        r"As of 2024\-03\-05\.",
    ]


def test_turns_stand_in_their_order_each_under_its_question() -> None:
    document = _document(ANSWER, replace(ANSWER, question="And why?", standalone="Why does the pier reopen?"))
    assert re.findall("^## .*", document, re.MULTILINE) == [f"## {QUESTION}", "## And why?"]
    assert document.count("Searched for: ") == 1
    assert "Searched for: Why does the pier reopen?\n" in document.partition("And why?")[2]


def test_an_abstention_names_what_came_closest_each_article_once() -> None:
    document = _document(replace(NO_ANSWER, hits=(HIT, replace(HIT, rank=2, passage=Passage(2, "x", 1, 40, 81, "en")))))
    assert "The articles do not answer this question\\.\n\nCloses" in document
    assert document.count("Pier to reopen") == 1
    assert f"/articles/{ARTICLE.id}?start=0&end={len(ARTICLE.text)}>" in document
    assert "Sources" not in document


def test_an_abstention_without_hits_says_nothing_of_what_came_closest() -> None:
    document = _document(replace(NO_ANSWER, hits=()))
    assert "do not answer" in document
    assert "Closest" not in document


def test_what_was_not_supported_stands_apart_with_its_reason() -> None:
    unsupported = (Sentence("It cost 3 million.", (), "other number", "3 million"),)
    answer = replace(ANSWER, unsupported=unsupported, answerer="openai:qwen", notes=("A newer article says *June*.",))
    english = _document(answer)
    assert "not found in the articles:\n\n- It cost 3 million\\. (other number\\: 3 million)\n" in english
    assert "Note: A newer article says \\*June\\*\\.\n" in english
    assert "Written by openai\\:qwen; every" in english
    assert "(другое число\\: 3 million)" in as_markdown([answer], "Беседа", "ru", DAY)


def test_the_wording_is_russian_where_asked_for_and_the_answer_stays_as_it_is() -> None:
    document = as_markdown([replace(ANSWER, status="partial"), NO_ANSWER], "Беседа", "ru", DAY)
    for said in ("Сохранено 2025-05-31.", "Источники", "Место в статье", "Ближе всего", "По состоянию", "Не уверен"):
        assert said in document
    assert "May [" in document
    assert not re.search("Sources|Exported|Closest|Not sure", document)


def test_a_quote_in_another_language_than_the_question_says_which() -> None:
    german = replace(ANSWER, citations=(replace(QUOTE, language="de"),))
    assert "quoted in\\: German" in _document(german)
    assert "язык цитаты\\: немецкий" in as_markdown([german], "Беседа", "ru", DAY)


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("file:///ann/news/%D0%9F%D0%B0%D1%80%D0%BA%201.txt", "Парк 1\\.txt"),
        ("file:///ann/wire.jsonl#L3", "wire\\.jsonl\\#L3"),
        ("javascript:alert(1)", "javascript\\:alert\\(1\\)"),
        ("http://[evil", "\\[evil"),
    ],
)
def test_what_is_no_page_is_named_without_its_folder_and_not_linked(uri: str, named: str) -> None:
    document = _document(replace(ANSWER, citations=(replace(QUOTE, uri=uri),)))
    assert f"Pier to reopen · {named} · " in document
    assert "ann" not in document  # the folder
    assert document.count("](<") == 2  # the marker's and the place's


def test_only_markers_of_the_answers_own_citations_become_links() -> None:
    document = _document(replace(ANSWER, text="x[1] y [2]\nz [1]"))
    (line,) = re.findall("^x.*", document, re.MULTILINE)
    assert line == r"x\[1\] y \[2\]"
    assert re.search(r"^z \[\\\[1\\\]\]\(<http", document, re.MULTILINE)


def _hostile(text: str) -> Answer:
    """Put a text wherever text of others can stand."""
    article = replace(ARTICLE, id=text, uri=f"https://ex.org/{text}", title=text, published=text)
    citation = replace(
        QUOTE, article_id=text, title=text, uri=f"https://ex.org/{text}", published=text, quote=text, language=text
    )
    return Answer(
        question=text,
        standalone=f"{text} too",
        text=f"{text} [1]",
        status="abstained",
        confidence=0.5,
        citations=(citation,),
        hits=(replace(HIT, article=article),),
        language="en",
        as_of=text,
        unsupported=(Sentence(text, (), "other name", text),),
        notes=(text,),
        answerer=text,
    )


@given(st.lists(st.sampled_from(HOSTILE) | st.text(), max_size=4).map("".join))
@example("".join(HOSTILE))
@example("\n".join(HOSTILE))
def test_no_text_becomes_markdown_html_an_image_or_a_link(text: str) -> None:
    base_url = "http://127.0.0.1:7860"
    document = as_markdown([_hostile(text)], text, "en", DAY, base_url)
    for renderer in RENDERERS:
        tokens = list(_tokens(renderer, document))
        assert {token.type for token in tokens} <= OURS
        assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2", "h3"]
        assert sum(token.type == "blockquote_open" for token in tokens) == 1
        addresses = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
        assert addresses
        assert all(a.startswith((f"{base_url}/articles/", "https://ex.org/")) for a in addresses)
        assert all(a.startswith("https://ex.org/") or re.search(r"^[^?#]*\?start=0&end=\d+$", a) for a in addresses)
    assert not AUTOLINK.search(re.sub(r"\]\(<[^>]*>\)", "", document))
    document.encode()


@given(st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["C"])), min_size=1).map("".join))
def test_a_text_is_shown_as_it_was_but_for_white_space_and_what_cannot_be_seen(text: str) -> None:
    document = as_markdown([], text, "en", DAY)
    heading = next(token for token in RENDERERS[0].parse(document) if token.type == "inline")
    seen = re.sub("[\x00\x1b\u202e]", "", text.replace("\ud83d", "?"))
    assert _shown(heading) == " ".join(seen.split())


@pytest.mark.parametrize(
    "uri",
    [
        "https://ex.org/a?b=1&copy;=2&lt;",
        "https://ex.org/пирс?«x»",
        'https://ex.org/a>b<c) d\\e`f"g',
        "HTTPS://ex.org/100%25",
    ],
)
def test_the_live_page_keeps_its_address(uri: str) -> None:
    document = _document(replace(ANSWER, citations=(replace(QUOTE, uri=uri),)))
    for renderer in RENDERERS:
        links = [t.attrs["href"] for t in _tokens(renderer, document) if t.type == "link_open"]
        assert links[-1] == RENDERERS[0].normalizeLink(uri)
