"""Sources to articles: title, body, publication date and language out of what was scraped.

Plain text is a dump of a web page more often than not: weather bars, age marks, «Print», lists of other headlines.
Nothing here knows any one site. A line is prose, debris or short by its own shape and wording; the body is the run of
lines with the most prose in it; title and date are looked for right above it.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import Any

from index import dates
from index.articles import Source, host
from index.errors import NotAnArticle
from index.language import detect, is_unspaced, sentence_spans, terms
from index.types import Article

RECIPE = "2"  # raise when the same bytes would give another article: indexed files are then cleaned anew
_NOT_OURS = -60  # the score of a line that is the page's: it ends a run of less prose than that
_TITLE_LENGTH = 120  # characters; for an article without a title, of its first sentence

_CONTROL = re.compile(  # and what is not seen, up to the tags that spell out hidden text
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_SENTENCE_END = re.compile(r"[.!?…。!?][\"'”»』」)\]]*\s*$")
_BULLET = re.compile(r"^(?:[-–—•*·▪]|\d{1,2}[.)])\s+\S")

# What a whole line says when it is the page's and not the article's, even if it is a sentence.
_DEBRIS = re.compile(
    r"""^(?:
      (?:фото|photo(?:s|graph)?|foto|image|bild|图片?|видео|video|иллюстрация|источник\s+фото|photo\s+credit|credit
       |picture)\s*[:/|©].{0,140}$
    | (?:©|\(c\)\s|all\s+rights\s+reserved|все\s+права\s+защищены|alle\s+rechte\s+vorbehalten
       |todos\s+los\s+derechos|版权所有).{0,200}$
    | .{0,40}\b(?:we|our\s+site|this\s+(?:web)?site|(?:наш\s+)?сайт|мы|wir|diese\s+(?:web)?seite)\s+(?:use
       |uses|использует|используем
       |verwende[tn]|nutz(?:t|en))\s+(?:файлы\s+)?cookies?\b.{0,200}$
    | (?:подпи(?:шитесь|сывайтесь)|следите\s+за\s+(?:нами|наш|новост|обновлени)|subscribe\s+to
       |sign\s+up\s+(?:for|to)|follow\s+us|get\s+the\s+latest
       |关注我们|订阅).{0,200}$
    | при\s+(?:полном\s+или\s+частичном\s+)?(?:использовании|перепечатке|цитировании)\s+материал\w*
       \s+(?:сайта|портала|издания|ссылк|гиперссылк|активн|наш|с\s).{0,250}$
    | (?:нашли\s+(?:ошибку|опечатку)|если\s+вы\s+(?:нашли|заметили)\s+(?:ошибку|опечатку)).{0,200}$
    | (?:leave|post|add)\s+a\s+comment.{0,40}$ | .{0,80}имеются\s+противопоказания.{0,80}$
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# What a short line says when it is a button, a label or a menu; a sentence may begin with the same words.
_LABEL = re.compile(
    r"""^(?:
      \d{1,2}\s?\+$
    | (?:на\s+правах\s+)?реклам[аы](?:\W.{0,80})?$
    | (?:advertisement|advertising\W|sponsored\W|anzeige|werbung|publicidad|publicité|广告).{0,40}$
    | (?:print|printable\s+version|print\s+this.*|версия\s+для\s+печати|распечатать|печать|drucken|imprimir|imprimer
       |打印)\W*$
    | (?:поделиться|поделитесь|рассказать\s+друзьям|share|tweet|teilen|compartir|partager|分享|facebook|twitter|telegram
       |whatsapp|vk|вконтакте|одноклассники|copy\s+link|скопировать\s+ссылку|email)
       (?:\W*$|\s+(?:this|on|via|in|с|в|auf|the|друзьям|статьёй|\W|facebook|twitter|telegram|vk).{0,50}$)
    | copyright\W.{0,200}$ | (?:файлы\s+)?cookies?\b.{0,100}$
    | (?:accept(?:\s+all)?|reject(?:\s+all)?|принять(?:\s+все)?|согласен|понятно|akzeptieren|aceptar|закрыть
       |close|ok)\W*$
    | (?:\d+\s+)?(?:комментари(?:и|ев|й|я)|comments?|kommentare?|comentarios?|评论)\b\W*\d*\W*$
    | (?:оставить|добавить)\s+комментарий.{0,40}$
    | (?:просмотр(?:ов|ы)|views?\W|время\s+(?:чтения|на\s+чтение)|reading\s+time|read\s+time|lesezeit
       |tiempo\s+de\s+lectura|阅读).{0,30}$
    | \d+\s*(?:мин(?:ут[аы]?)?|min(?:ute)?s?)\.?\s*(?:чтения|read).{0,10}$
    | \d[\d\s.,]*\s*(?:просмотр(?:ов|а)?|views?)\W*$
    | (?:теги?|метки|tags?|ключевые\s+слова|schlagwörter|etiquetas|标签|关键词)\s*[::].{0,200}$
    | (?:источник|source|quelle|fuente|来源)\s*[::].{0,100}$
    | (?:подписаться|подписка\W|subscribe|sign\s+up|newsletter|abonnieren|suscríbete|suscribirse).{0,200}$
    | (?:главная|home|menu|меню|поиск|search|войти|log\s?in|sign\s?in|регистрация|наверх|back\s+to\s+top|вверх
       |startseite|inicio)\W*$
    | (?:главная|home|startseite|inicio|首页)\s*[>/»|›→].{0,150}$
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# Heads a list of other articles; what follows it, up to the next prose, is not this article.
_RELATED = re.compile(
    r"""^(?:(?:читайте|смотрите|читать)\s+(?:также|ещ[её])|по\s+теме|материалы\s+по\s+теме|другие\s+новости
      |новости\s+по\s+теме|похожие|популярное|самое\s+читаемое|лента\s+новостей|последние\s+новости|ещ[её]\s+по\s+теме
      |see\s+also|read\s+(?:also|more|next)|related|more\s+(?:news|stories|from|on)|you\s+may\s+also|recommended
      |most\s+(?:read|popular)|latest\s+news|top\s+stories|trending|lesen\s+sie\s+auch|mehr\s+zum\s+thema
      |weitere\s+(?:artikel|meldungen)|das\s+könnte\s+sie|lea\s+también|te\s+puede\s+interesar|más\s+noticias
      |noticias\s+relacionadas|(?:à\s+)?lire\s+aussi|相关(?:阅读|新闻|文章|报道)|推荐阅读|延伸阅读)\b.{0,60}$""",
    re.VERBOSE | re.IGNORECASE,
)
_BYLINE = re.compile(
    r"^(?:by\s+\w|автор\w*\s*[::]|текст\s*[::]|von\s+\w+\s+\w+$|por\s+\w+\s+\w+$|作者|记者|пресс-служба"
    r"|(?:source|reporter|editor|редактор|корреспондент)\b)",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(
    r"\b(?:понедельник|вторник|среда|четверг|пятница|суббота|воскресенье|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|lunes|martes|miércoles|jueves|viernes|sábado"
    r"|domingo)\b|星期",
    re.IGNORECASE,
)
_GAUGE = re.compile(
    r"[°℃℉]|[$€£₽¥]\s*\d+[.,]\d|\b(?:usd|eur|rub|cny)\b\s*[\d.,/]+|\d\s*(?:м/с|m/s|mmhg|мм\s*рт)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Parts:
    title: str
    text: str
    published: str | None
    updated: str | None = None
    site: str = ""


def clean(source: Source) -> Article:
    """Turn one source into an article.

    Raises:
        NotAnArticle: empty, binary, unreadable, or without a single line of text that reads as an article.
    """
    if not source.data.strip():
        raise NotAnArticle("empty")
    readers = {"text": _from_text, "markdown": _from_markdown, "html": _from_html, "record": _from_record}
    parts = readers[source.kind](source)
    if not any(map(str.isalpha, parts.text)):
        raise NotAnArticle("no text in it")
    language = detect(parts.text)
    title = parts.title or _first_words(parts.text, language)
    key = "\0".join([source.uri, title, parts.text, parts.published or ""])
    return Article(
        id=blake2b(key.encode(), digest_size=8).hexdigest(),
        uri=source.uri,
        title=title,
        text=parts.text,
        language=language,
        published=parts.published,
        updated=parts.updated,
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        source=host(source.uri) or parts.site or source.folder,  # a page names its site only where no address does
        raw_sha256=fingerprint(source),
    )


def fingerprint(source: Source) -> str:
    """Give the hash by which an unchanged source is known without cleaning it: its bytes, and how they are cleaned."""
    return sha256(RECIPE.encode() + source.kind.encode() + source.data).hexdigest()


def decode(data: bytes) -> str:
    """Decode text of unknown encoding: byte order marks, UTF-8, UTF-16 without a mark, then by statistics.

    Raises:
        NotAnArticle: the bytes are no text.
    """
    for mark, name in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(name, errors="replace")
    head = data[:4000]
    if head.count(0) or sum(b < 9 or 13 < b < 32 for b in head) * 20 > len(head):
        # Of UTF-16 the bytes in every other place are the same few: 0 for Latin, 0 and 4 for Cyrillic.
        text = data.decode("utf-16-le" if len(set(head[1::2])) < len(set(head[::2])) else "utf-16-be", errors="replace")
        if _is_binary(text):
            raise NotAnArticle("binary data, not text")
        return text
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > len(data) - 4 or error.start > 0.9 * len(data):  # cut off in the middle, or damaged at the end
            return data.decode("utf-8", errors="replace")
    return _decode_by_statistics(data)


def _decode_by_statistics(data: bytes) -> str:
    from charset_normalizer import from_bytes

    likely = [
        "cp1251",
        "cp1252",
        "koi8_r",
        "cp866",
        "gb18030",
        "big5",
        "shift_jis",
        "euc_jp",
        "euc_kr",
        "iso8859_2",
        "cp1250",
        "cp1253",
        "cp1254",
        "cp1256",
    ]
    best = from_bytes(data[:50_000], cp_isolation=likely).best()
    if best is None:
        damaged = data.decode("utf-8", errors="replace")
        if damaged.count("\ufffd") * 10 > len(damaged):
            raise NotAnArticle("the encoding of the text cannot be told")
        return damaged
    return data.decode(best.encoding, errors="replace")


def _is_binary(text: str) -> bool:
    odd = sum(unicodedata.category(c) in {"Cc", "Cn", "Co", "Cs"} and c not in "\n\r\t\f" for c in text[:2000])
    return odd * 20 > len(text[:2000])


def normalise(text: str) -> str:
    """Compose characters, drop control and invisible ones, and even out white space; line breaks stay."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = (
        text.replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\u2028", "\n")
        .replace("\u2029", "\n")
        .replace("\f", "\n")
    )
    lines = (_SPACES.sub(" ", _CONTROL.sub("", line)).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _from_text(source: Source) -> _Parts:
    return article_of_lines(normalise(decode(source.data)))


def _from_markdown(source: Source) -> _Parts:
    from markdown_it import MarkdownIt

    text = decode(source.data)
    published = None
    front = re.match(r"---\s*\n(.*?)\n---\s*\n", text, re.DOTALL)
    fields: dict[str, str] = {}
    if front:
        text = text[front.end() :]
        for line in front[1].splitlines():
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip().strip("\"'")
        published = dates.parse_iso(fields.get("date") or fields.get("published"))
    title = fields.get("title", "")
    blocks: list[str] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline":
            shown = "".join(
                "\n" if child.type in ("softbreak", "hardbreak") else child.content
                for child in token.children or []
                if child.type in ("text", "code_inline", "softbreak", "hardbreak")
            )
            if before is not None and before.type == "heading_open" and before.tag == "h1" and not title:
                title = shown
            elif shown.strip():
                blocks.append(shown)
        elif token.type in ("fence", "code_block"):
            blocks.append(token.content)
    return article_of_lines(normalise("\n\n".join(blocks)), normalise(title), published)


def _from_html(source: Source) -> _Parts:
    return _article_of_page(decode(source.data) if b"charset" not in source.data[:4096].lower() else source.data)


def _article_of_page(page: str | bytes, title: str = "", published: str | None = None) -> _Parts:
    """Find the article on a web page; title and date are the page's own unless they are known from elsewhere."""
    import trafilatura
    from trafilatura.metadata import Document

    found: Any = trafilatura.bare_extraction(
        page,
        with_metadata=True,
        include_comments=False,
        date_extraction_params={"original_date": True, "extensive_search": False},
    )
    if not isinstance(found, Document) or not (found.text or "").strip():
        raise NotAnArticle("no article text found on the page")
    site = (found.hostname or "").removeprefix("www.")
    title = title or normalise(str(found.title or "")).replace("\n", " ")
    lines = [line for line in normalise(str(found.text)).split("\n") if line != title]
    return _Parts(title, _joined(lines), published or dates.parse_iso(found.date), site=site)


def _from_record(source: Source) -> _Parts:
    record = json.loads(source.data)
    title = record.get("title")
    title = normalise(title).replace("\n", " ") if isinstance(title, str) else ""
    published = dates.parse_iso(record.get("published"))
    if isinstance(record.get("text"), str):
        return article_of_lines(normalise(record["text"]), title, published)
    return _article_of_page(record["html"].encode("utf-8", "replace").decode(), title, published)


def article_of_lines(text: str, title: str = "", published: str | None = None) -> _Parts:
    """Find the article in a normalised dump of a page.

    Args:
        text: lines as `normalise` leaves them.
        title: the title, if it is known from elsewhere.
        published: the date, if it is known from elsewhere.
    """
    lines = text.split("\n")
    language = detect(text)
    keep = _body_lines(lines, language)
    if not keep:
        raise NotAnArticle("no sentence in it that reads as an article")
    header = lines[: keep[0]]
    body = [lines[i] for i in keep]
    dated = [(i, d) for i, line in enumerate(lines) if (d := dates.date_of_line(line, language))]
    if not title:
        title = _title(header, body, language)
    if not title and _opens_with_title(body):
        title, body = body[0], body[1:]
    body = [line for line in body if not line or line != title]
    while body and not body[0]:
        body = body[1:]
    if published is None:
        published = _published(lines, dated, keep[0])
    updates = [d for i, d in dated if dates.is_update_line(lines[i])]
    return _Parts(title, _joined(body), published, updates[-1] if updates else None)


def _published(lines: list[str], dated: list[tuple[int, str]], body: int) -> str | None:
    """Choose the date right above the body (or in its first lines); else one that calls itself that of publication."""
    own = [(i, d) for i, d in dated if not dates.is_update_line(lines[i])]
    above = [(i, d) for i, d in own if i <= body + 2]
    labelled = [d for i, d in above + own if dates.is_labelled(lines[i])]
    if labelled:
        return labelled[0]
    return above[-1][1] if above else None


def _body_lines(lines: list[str], language: str) -> list[int]:
    """Give the numbers of the article's lines: the run with the most prose, less the debris within it."""
    values = [_value(line, language) for line in lines]
    if not any(v > 0 for v in values):
        # No prose at all, as in a note or a list: all that is not debris, if it is worth the name of text.
        rest = [i for i, line in enumerate(lines) if line and not _is_debris(line)]
        letters = sum(sum(map(str.isalpha, lines[i])) for i in rest)
        return _with_gaps(lines, rest) if letters >= 20 else []
    start, end = _best_run(values)
    while end < len(lines) and _BULLET.match(lines[end]):
        end += 1
    end = _before_footer(lines, values, start, end)
    kept: list[int] = []
    skipping = False
    for i in range(start, end):
        line = lines[i]
        if line and (_is_debris(line) or _heads_a_list(line)):
            skipping = _heads_a_list(line)
        elif skipping and line and values[i] <= 0:
            continue
        elif line:
            skipping = False
            kept.append(i)
    return _with_gaps(lines, kept)


def _with_gaps(lines: list[str], kept: list[int]) -> list[int]:
    """Add the empty line before each kept line that has one, so that paragraphs stay apart."""
    with_gaps: list[int] = []
    for i in kept:
        if with_gaps and not lines[i - 1] and with_gaps[-1] != i - 1:
            with_gaps.append(i - 1)
        with_gaps.append(i)
    return with_gaps


def _value(line: str, language: str) -> int:
    """Score a line: prose by its length, an empty line nothing, anything else against the run it stands in."""
    if not line:
        return 0
    if _is_debris(line) or _heads_a_list(line):
        return _NOT_OURS
    if _is_prose(line):
        return min(len(line) * (3 if is_unspaced(line) else 1), 500)
    if dates.date_of_line(line, language):
        return _NOT_OURS
    if _SENTENCE_END.search(line) or line.startswith(("- ", "– ", "— ")):
        return 0  # a short sentence, or a turn of a dialogue
    return -5 if _BULLET.match(line) or line.endswith((":", ";", ",", ":")) else -30


def _is_prose(line: str) -> bool:
    if is_unspaced(line):
        return len(line) >= 60 or (len(line) >= 12 and bool(_SENTENCE_END.search(line)))
    words = len(line.split())
    return (words >= 5 and bool(_SENTENCE_END.search(line))) or words >= 30


def _is_debris(line: str) -> bool:
    """Tell whether a line is the page's own: a button, a label, a weather bar, a day of the week on its own."""
    if _DEBRIS.match(line):
        return True
    if _is_sentence(line):
        return False
    words = [w for w in re.findall(r"[^\W\d_]+", line) if len(w) > 1]
    if _BULLET.match(line):
        return bool(_LABEL.match(line))  # opening hours and prices in a list are the article's
    is_gauge = len(line) <= 60 and len(words) <= 4 and _GAUGE.search(line)
    is_day = len(line) <= 50 and len(words) <= 3 and _WEEKDAY.search(line)
    return bool(_LABEL.match(line) or is_gauge or is_day)


def _heads_a_list(line: str) -> bool:
    return bool(_RELATED.match(line)) and not _is_sentence(line)


def _is_sentence(line: str) -> bool:
    enough = len(line) >= 12 if is_unspaced(line) else len(line.split()) >= 4
    return enough and bool(_SENTENCE_END.search(line))


def _best_run(values: list[int]) -> tuple[int, int]:
    """Give the run [start, end) with the largest sum (Kadane's algorithm)."""
    best, best_run, total, start = 0, (0, 0), 0, 0
    for i, value in enumerate(values):
        if total <= 0:
            total, start = 0, i
        total += value
        if total > best:
            best, best_run = total, (start, i + 1)
    return best_run


def _before_footer(lines: list[str], values: list[int], start: int, end: int) -> int:
    """End the body at a page's tool or list of other articles, if little enough prose follows it.

    «Printable version» and the like stand below an article; a sentence or two under them is the site's.
    """
    total = sum(v for v in values[start:end] if v > 0)
    for i in range(start, end):
        if values[i] == _NOT_OURS and not dates.date_of_line(lines[i], "en"):
            after = [v for v in values[i:end] if v > 0]
            before = total - sum(after)
            if before >= 0.6 * total and len(after) <= 2 and sum(after) <= 0.25 * total:
                return i
    return end


def _title(header: list[str], body: list[str], language: str) -> str:
    """Choose the title among the lines above the body: the one repeated, or the one whose words the body uses most."""
    candidates: list[str] = []
    for line in reversed(header):
        if candidates and (_heads_a_list(line) or _LABEL.match(line)):
            break  # above it stand other headlines
        if not line or _is_debris(line) or dates.date_of_line(line, language) or _BYLINE.match(line):
            continue
        if len(line) > 250 or not (len(line) >= 6 if is_unspaced(line) else len(line.split()) >= 2):
            if candidates:
                break
            continue
        candidates.append(line)
    candidates = candidates[:4]
    if not candidates:
        return ""
    used = set(terms("\n".join(body)[:3000], language))

    def fit(line: str) -> tuple[bool, float]:
        own = set(terms(line, language))
        shared = len(own & used) / max(1, len(own))
        return header.count(line) > 1, shared * min(1.0, len(own) / 4)

    return max(reversed(candidates), key=fit)  # of equals the topmost: below it may stand a subtitle


def _opens_with_title(body: list[str]) -> bool:
    """Tell whether the body's first line is a headline with a mark of its own («Зачем городу трамвай?»)."""
    rest = [line for line in body[1:] if line]
    first = body[0]
    return (
        bool(rest)
        and len(first) <= 120
        and not first.endswith((".", "。", ":", "…", "”", "»", '"'))
        and _is_prose(rest[0])
    )


def _first_words(text: str, language: str) -> str:
    start, end = next(sentence_spans(text, language))
    first = text[start:end]
    if len(first) <= _TITLE_LENGTH:
        return first
    cut = first[:_TITLE_LENGTH].rsplit(" ", 1)[0].rstrip(",;:-–— ")
    return f"{cut or first[:_TITLE_LENGTH]}…"


def _joined(lines: list[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
