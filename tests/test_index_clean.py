import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SAMPLES, text_source

from index.articles import Kind, Skipped, Source, read_sources
from index.clean import clean, decode, fingerprint, normalise
from index.dates import date_of_line, is_update_line, parse_iso
from index.errors import NotAnArticle
from index.types import Article

TRUTH: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "eval/data/articles_truth.jsonl").read_text("utf-8").splitlines()
]

RU = (
    "Проект трамвайной линии утвердили в Ижевске, она пройдет через четыре квартала.\n\n"
    "Длина линии составит одиннадцать километров, на ней появятся четырнадцать остановок.\n"
)
DE = (
    "Der Stadtrat hat am Donnerstag den Bau einer neuen Straßenbahnlinie in Würzburg beschlossen.\n\n"
    "Für die Strecke über die Löwenbrücke sind zwölf Haltestellen und fünf Jahre Bauzeit vorgesehen.\n"
)
EN = (
    "The city council approved a new tram line on Thursday after a long debate about its cost.\n\n"
    "Work on the eleven kilometres of track will start in spring and take two years to finish.\n"
)


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text.casefold())


def _sample(name: str) -> Article:
    file, _, line = name.partition("#L")
    sources = [s for s in read_sources(SAMPLES / file) if isinstance(s, Source)]
    return clean(sources[int(line) - 1 if line else 0])


@pytest.fixture(scope="module")
def samples() -> dict[str, Article]:
    return {record["file"]: _sample(record["file"]) for record in TRUTH}


def _each(field: str) -> list[Any]:
    return [pytest.param(record["file"], record[field], id=record["file"]) for record in TRUTH]


def test_the_truth_speaks_of_every_sample_article() -> None:
    files = {record["file"].partition("#")[0] for record in TRUTH}
    assert files == {path.name for path in SAMPLES.iterdir()}
    assert len(TRUTH) >= 28


@pytest.mark.parametrize(("file", "title"), _each("title"))
def test_the_title_of_a_sample_is_found(samples: dict[str, Article], file: str, title: str) -> None:
    assert _letters(samples[file].title) == _letters(title)


@pytest.mark.parametrize(("file", "published"), _each("published"))
def test_the_date_of_a_sample_is_its_own_or_unknown(
    samples: dict[str, Article], file: str, published: str | None
) -> None:
    assert samples[file].published == published


@pytest.mark.parametrize(("file", "language"), _each("language"))
def test_the_language_of_a_sample_is_told(samples: dict[str, Article], file: str, language: str) -> None:
    assert samples[file].language == language


@pytest.mark.parametrize(("file", "body"), _each("body"))
def test_no_line_of_a_sample_is_lost_or_moved(samples: dict[str, Article], file: str, body: str) -> None:
    kept = _letters(samples[file].text)
    at = 0
    for line in body.splitlines():
        at = kept.find(_letters(line), at)
        assert at >= 0, f"lost: {line}"
        at += len(_letters(line))


@pytest.mark.parametrize(("file", "debris"), _each("debris"))
def test_no_debris_of_a_sample_is_kept(samples: dict[str, Article], file: str, debris: list[str]) -> None:
    truth = next(record for record in TRUTH if record["file"] == file)
    lines = {_letters(line) for line in samples[file].text.splitlines()}
    unwanted = {_letters(line) for line in [*debris, *truth["head"], truth["title"]]}
    assert lines & unwanted == set()
    assert len(_letters(samples[file].text)) == len(_letters(truth["body"]))


@pytest.mark.parametrize("file", [record["file"] for record in TRUTH])
def test_cleaning_what_is_clean_changes_nothing(samples: dict[str, Article], file: str) -> None:
    once = samples[file]
    twice = clean(text_source(f"{once.title}\n\n{once.text}"))
    assert twice.text == once.text
    assert _letters(twice.title) == _letters(once.title)


def test_an_article_is_named_by_what_it_holds() -> None:
    one, same, other = (
        clean(text_source(EN)),
        clean(text_source(EN)),
        clean(text_source(EN + "\nA third sentence came later that day.\n")),
    )
    assert one.id == same.id != other.id
    assert re.fullmatch(r"[0-9a-f]{16}", one.id)
    assert one.source == "news"
    assert one.raw_sha256 == fingerprint(text_source(EN)) != fingerprint(text_source(EN, "markdown"))


# Encodings


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", RU),
        ("utf-8-sig", RU),
        ("cp1251", RU),
        ("koi8-r", RU),
        ("cp866", RU),
        ("utf-16", RU),
        ("utf-16", EN),
        ("utf-16-le", EN),
        ("utf-16-be", EN),
        ("utf-16-le", RU),
        ("utf-16-be", RU),
        ("utf-32", RU),
        ("latin-1", DE),
        ("cp1252", DE),
    ],
)
def test_text_is_read_in_the_encoding_it_is_in(encoding: str, text: str) -> None:
    article = clean(text_source(text.encode(encoding)))
    assert article.text.split() == text.split()


def test_a_big_endian_mark_is_obeyed() -> None:
    assert decode(b"\xfe\xff" + RU.encode("utf-16-be")).lstrip("\ufeff") == RU


def test_utf_8_cut_in_the_middle_of_a_letter_is_still_utf_8() -> None:
    assert decode(RU.encode()[:-2]).startswith(RU[:-3])


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"", "text", "empty"),
        (b"  \n\t \r\n ", "text", "empty"),
        ("\u00a0\u3000 \u200b".encode(), "text", None),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\0" + bytes(range(256)) * 8, "text", "binary data, not text"),
        (b"\x7fELF\2\1\1" + b"\0" * 900 + bytes(range(256)), "text", "binary data, not text"),
        (bytes(range(256)) * 40, "markdown", "binary data, not text"),
        (b"PK\3\4\x14\0\6\0\x08\0" + bytes((i * 37 + 11) % 256 for i in range(5000)), "text", "binary data, not text"),
        (b"12 34 56\n78 90\n", "text", None),
        (b"<html><body></body></html>", "html", "no article text found on the page"),
        (b"<", "html", "no article text found on the page"),
        (b'{"text": "   "}', "record", None),
        (b'{"text": "\\u0000\\u0001"}', "record", None),
    ],
)
def test_what_is_no_article_is_refused_with_the_reason(data: bytes, kind: Kind, reason: str | None) -> None:
    with pytest.raises(NotAnArticle) as refusal:
        clean(text_source(data, kind))
    assert str(refusal.value)
    assert reason is None or str(refusal.value) == reason


def test_lone_surrogates_and_control_characters_are_gone_from_a_record() -> None:
    record = {
        "title": "A \ud800title\u0000",
        "text": EN.replace("tram", "tr\u00adam\u200b") + "\udfff\u0007",
        "url": "https://example.org/a",
    }
    article = clean(text_source(json.dumps(record), "record", "https://example.org/a"))
    article.text.encode()
    article.title.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\u00ad\u200b]", article.text + article.title)
    assert "approved a new tram line" in article.text
    assert article.source == "example.org"


def test_a_record_keeps_its_title_and_date() -> None:
    record = {"title": "Trams at last", "text": EN, "published": "2024-05-06T07:08:09Z"}
    article = clean(text_source(json.dumps(record), "record"))
    assert (article.title, article.published, article.text) == ("Trams at last", "2024-05-06", EN.strip())


@pytest.mark.parametrize(
    "field",
    [{"title": 5}, {"title": None}, {"published": 5}, {"published": ["2024"]}, {"published": "soon"}, {"title": ""}],
)
def test_a_record_with_odd_fields_is_read_without_them(field: dict[str, object]) -> None:
    article = clean(text_source(json.dumps({"text": EN, **field}), "record"))
    assert article.text.split() == EN.split()
    assert article.published is None


PAGE = (
    '<html><head><meta charset="windows-1251"><title>Трамвай в Ижевске</title>'
    '<meta property="article:published_time" content="2024-05-06"><link rel="canonical" href="https://bank.example/a">'
    '<meta property="og:url" content="https://bank.example/a"><meta property="og:site_name" content="The Bank"></head>'
    f"<body><article><p>{RU.splitlines()[0]}</p><p>{RU.splitlines()[2]}</p></article></body></html>"
)


def test_a_page_in_a_record_is_read_like_the_page_in_a_file() -> None:
    in_file = clean(text_source(PAGE.encode(), "html"))
    in_record = clean(text_source(json.dumps({"html": PAGE}), "record"))
    assert in_file.title == in_record.title == "Трамвай в Ижевске"
    assert in_file.text == in_record.text == "\n".join(line for line in RU.splitlines() if line)
    assert in_file.published == in_record.published == "2024-05-06"
    assert in_file.source == in_record.source == "bank.example"


def test_a_record_knows_better_than_its_page() -> None:
    known = {"html": PAGE, "title": "Tram", "published": "2023-01-02"}
    article, other = (
        clean(text_source(json.dumps(record), "record")) for record in (known, {**known, "published": "2023"})
    )
    assert (article.title, article.published, other.published) == ("Tram", "2023-01-02", "2023")
    assert article.raw_sha256 != other.raw_sha256
    odd = clean(text_source(json.dumps({"html": PAGE + "\ud800", "title": 5, "published": "soon"}), "record"))
    assert (odd.title, odd.published) == ("Трамвай в Ижевске", "2024-05-06")
    assert clean(text_source(json.dumps({"html": PAGE, "text": EN}), "record")).text == EN.strip()


@pytest.mark.parametrize("kind", ["record", "html"])
def test_a_page_cannot_claim_the_name_of_another_site(kind: Kind) -> None:
    uri = "https://www.forger.example/a"
    data = json.dumps({"url": uri, "html": PAGE}) if kind == "record" else PAGE
    assert clean(text_source(data, kind, uri)).source == "forger.example"


def test_a_record_without_text_and_page_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    records = [{"html": PAGE, "url": "https://example.org/a"}, {"html": 5}, {"html": None, "text": EN}, {"title": "a"}]
    file.write_text("\n".join(map(json.dumps, records)))
    one, two, three, four = read_sources(file)
    assert isinstance(one, Source) and one.uri == "https://example.org/a"
    assert isinstance(three, Source) and clean(three).text == EN.strip()
    for refused in (two, four):
        assert isinstance(refused, Skipped)
        assert refused.reason.startswith('needs to be a JSON object with at least "text" or "html"')


def test_paragraphs_of_an_article_without_a_title_stay_apart() -> None:
    assert clean(text_source(EN)).text == EN.strip()
    assert clean(text_source(json.dumps({"text": EN}), "record")).text == EN.strip()


def test_a_few_nul_bytes_in_a_long_text_do_not_get_into_the_article() -> None:
    data = (EN * 60).encode() + b"\0\0\0" + EN.encode()
    assert "\0" not in clean(text_source(data)).text


def test_white_space_and_invisible_characters_are_evened_out() -> None:
    assert normalise("a\u00a0 b\r\nc\rd\u2028e\x00\u200bf\n\n\n\n\ng  ") == "a b\nc\nd\nef\n\ng"
    assert normalise("cafe\u0301") == "café"
    assert normalise(normalise("x \u3000y\n\n\n\nz")) == "x y\n\nz"


# Hostile pages


def test_deeply_nested_html_ends_quickly_with_an_article_or_a_refusal() -> None:
    page = "<html><body>" + "<div>" * 60_000 + f"<p>{EN}</p>" + "</div>" * 60_000
    started = time.perf_counter()
    with contextlib.suppress(NotAnArticle):
        assert "council" in clean(text_source(page, "html")).text
    assert time.perf_counter() - started < 15


def test_scripts_and_hidden_markup_of_a_page_never_become_text() -> None:
    page = f"""<html><head><title>Trams</title><style>p {{color: red}}</style></head><body>
    <script>alert("stolen cookies of the reader and more")</script><article><h1>Trams</h1>
    <p>{EN.split(chr(10))[0]} &lt;script&gt;x&lt;/script&gt;</p><p>{EN.splitlines()[2]}</p>
    <!-- a secret comment that nobody should read --></article>
    <iframe src="javascript:evil()"></iframe></body></html>"""
    article = clean(text_source(page, "html"))
    assert article.title == "Trams"
    assert "council approved" in article.text
    for unwanted in ("stolen cookies", "secret comment", "color: red", "javascript:"):
        assert unwanted not in article.text


@pytest.mark.parametrize(
    "page",
    [
        "<p>" * 5000,
        "<!DOCTYPE x [<!ENTITY a '"
        + "lol" * 50
        + "'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;'>]><html><body><p>&b;</p></body></html>",
        "<table>" * 800 + "x" + "</table>" * 800,
        "<a href='" + "x" * 200_000,
        "&#x0;&#xD800;&#1114112;" * 50,
        '<html><head><meta charset="no-such-charset"></head><body><p>' + EN + "</p></body></html>",
        "<![CDATA[" * 500 + EN,
    ],
)
def test_a_broken_page_is_an_article_or_refused_and_nothing_else(page: str) -> None:
    try:
        article = clean(text_source(page, "html"))
        article.text.encode()
        assert article.text.strip()
    except NotAnArticle as reason:
        assert str(reason)


def test_markdown_gives_its_text_without_marks() -> None:
    one, _, two = EN.strip().split("\n")
    front = "---\ntitle: Trams\ndate: 2024-05-06\n---\n"
    text = f"{front}\n# Trams\n\n{one} See [the *plan*](https://example.org).\n\n- point\n\n{two}\n"
    article = clean(text_source(text, "markdown"))
    assert (article.title, article.published) == ("Trams", "2024-05-06")
    assert article.text.startswith(f"{one} See the plan.")
    assert article.text.endswith(two)


# Other headlines

RU_BODY = [
    "Новый каток открыли в субботу в городском саду, лед на нем держится до плюс двенадцати градусов.",
    "Площадь катка — полторы тысячи квадратных метров, одновременно на него выходят двести человек.",
    "Прокат коньков стоит триста рублей в час, для школьников вход по будням бесплатный.",
]
RU_OTHERS = [
    "Последние новости",
    "В Туле отремонтируют вокзал",
    "12 мая 2024",
    "Цены на гречку снизились на треть",
    "Полиция нашла пропавшую козу",
    "Школьники из Омска победили на олимпиаде по физике",
    "Синоптики пообещали снег в июне",
    "11 мая 2024",
]
EN_BODY = [
    "A new skating rink opened on Saturday in the town park, and its ice holds up to twelve degrees.",
    "The rink covers fifteen hundred square metres and takes two hundred skaters at a time.",
    "Renting skates costs three pounds an hour, and schoolchildren skate free on weekdays.",
]
EN_OTHERS = [
    "More news",
    "Station roof to be repaired next year",
    "May 12, 2024",
    "Police find missing goat",
    "Price of oats falls by a third",
    "Pupils from Leeds win physics prize",
    "Forecasters promise snow in June",
]


@pytest.mark.parametrize(
    ("title", "body", "others"),
    [("Каток в городском саду", RU_BODY, RU_OTHERS), ("A rink in the town park", EN_BODY, EN_OTHERS)],
)
@pytest.mark.parametrize("headed", [True, False])
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_headlines_of_other_articles_below_are_never_kept(
    title: str, body: list[str], others: list[str], headed: bool, gap: str
) -> None:
    below = others if headed else others[1:]
    article = clean(text_source(title + "\n\n" + "\n\n".join(body) + "\n\n" + gap.join(below) + "\n"))
    assert article.text == "\n\n".join(body)
    assert article.title == title
    assert article.published is None


@pytest.mark.parametrize(
    ("title", "body", "teaser"),
    [
        (
            "Каток в городском саду",
            RU_BODY,
            "В Туле отремонтируют вокзал: работы начнутся в июне и продлятся до конца года.",
        ),
        ("A rink in the town park", EN_BODY, "The station roof in Hull will be repaired next year, the mayor said."),
    ],
)
@pytest.mark.parametrize("head", ["Читайте также:", "Read also:", "See also"])
def test_an_inset_that_points_elsewhere_is_cut_out_and_the_rest_stays(
    title: str, body: list[str], teaser: str, head: str
) -> None:
    inset = f"{head}\n{teaser.split(' ')[0]} {teaser.split(' ')[1]}"  # a headline without a full stop
    article = clean(text_source("\n\n".join([title, body[0], inset, *body[1:]])))
    assert article.text == "\n\n".join(body)


def test_a_date_right_above_the_body_wins_over_one_at_the_top_of_the_page() -> None:
    page = "Sunday, 1 June 2025\n\nA rink in the town park\n\n12 May 2024\n\n" + "\n\n".join(EN_BODY)
    assert clean(text_source(page)).published == "2024-05-12"


def test_an_update_is_told_apart_from_publication() -> None:
    page = "A rink in the town park\n\nPublished 12 May 2024\nUpdated 14 May 2024\n\n" + "\n\n".join(EN_BODY)
    article = clean(text_source(page))
    assert (article.published, article.updated) == ("2024-05-12", "2024-05-14")
    only_updated = clean(text_source("A rink in the town park\n\nОбновлено: 14 мая 2024\n\n" + "\n\n".join(EN_BODY)))
    assert (only_updated.published, only_updated.updated) == (None, "2024-05-14")


# Dates


@pytest.mark.parametrize(
    ("line", "language", "date"),
    [
        ("2024-05-06", "en", "2024-05-06"),
        ("06.05.2024", "ru", "2024-05-06"),
        ("6.5.2024, 10:22", "de", "2024-05-06"),
        ("16.04.2025 10:22", "ru", "2025-04-16"),
        ("May 6, 2024", "en", "2024-05-06"),
        ("6 May 2024", "en", "2024-05-06"),
        ("6th of May 2024", "en", "2024-05-06"),
        ("Mon, 6 May 2024 10:22 GMT", "en", "2024-05-06"),
        ("By A. Fox, May 3, 2024", "en", "2024-05-03"),
        ("Published on 6 May 2024", "en", "2024-05-06"),
        ("26 Июнь2017", "ru", "2017-06-26"),
        ("26 июня 2017 г.", "ru", "2017-06-26"),
        ("Опубликовано: 6 мая 2024, 10:22", "ru", "2024-05-06"),
        ("3. Juni 2024", "de", "2024-06-03"),
        ("6. März 2024", "de", "2024-03-06"),
        ("19 de abril de 2024", "es", "2024-04-19"),
        ("Publié le 4 novembre 2025 à 07h10", "fr", "2025-11-04"),
        ("1er août 2023", "fr", "2023-08-01"),
        ("2024年4月9日 08:30", "zh", "2024-04-09"),
        ("2024年 12月 31日", "ja", "2024-12-31"),
        ("2024년 4월 9일", "ko", "2024-04-09"),
        ("25/12/2023", "en", "2023-12-25"),
        ("12/25/2023", "en", "2023-12-25"),
        ("03/03/2025", "en", "2025-03-03"),
        ("03/04/2025", "en", "2025"),
        ("31.02.2024", "ru", None),
        ("2024-13-01", "en", None),
        ("6 May 2099", "en", None),
        ("2099-01-01", "en", None),
        ("14 марта, четверг", "ru", None),
        ("10:22", "en", None),
        ("5 Bananas 2024", "en", None),
        ("The bridge was opened on 6 May 2024 by the mayor of the town.", "en", None),
        ("Линию откроют 6 мая 2024 года, сообщили вчера в мэрии города.", "ru", None),
        ("On 6 May 2024 the council met again and decided to buy a hundred new lamps for the park", "en", None),
        ("", "en", None),
    ],
)
def test_a_line_is_dated_by_what_is_written_in_it(line: str, language: str, date: str | None) -> None:
    assert date_of_line(line, language) == date


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("2024-05-06T10:00:00+03:00", "2024-05-06"),
        ("2024-05", "2024-05"),
        ("2024", "2024"),
        (2024, "2024"),
        (" 2024-05-06 ", "2024-05-06"),
        ("20240506", None),
        ("2024-00-10", None),
        ("2099-05-06", None),
        ("06.05.2024", None),
        (None, None),
        ("", None),
        ({"year": 2024}, None),
    ],
)
def test_a_metadata_date_is_iso_or_nothing(value: object, date: str | None) -> None:
    assert parse_iso(value) == date


@pytest.mark.parametrize(
    ("line", "is_update"),
    [
        ("Updated 6 May 2024", True),
        ("Last modified: 6 May 2024", True),
        ("Обновлено 6 мая 2024", True),
        ("Aktualisiert am 6. Mai 2024", True),
        ("更新：2024年5月6日", True),
        ("Published 6 May 2024", False),
        ("Опубликовано 6 мая 2024, обновлено 7 мая 2024", False),
        ("6 May 2024", False),
    ],
)
def test_a_line_of_an_update_is_known(line: str, is_update: bool) -> None:
    assert is_update_line(line) is is_update


def test_every_sample_file_is_read_as_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "новости парка.txt"
    file.write_text(RU, "utf-8")
    (source,) = read_sources(file)
    assert isinstance(source, Source)
    assert source.uri.startswith("file:///") and " " not in source.uri
    assert source.data == RU.encode()
    assert source.folder == tmp_path.name
