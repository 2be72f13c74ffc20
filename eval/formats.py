"""Public question sets as gold questions, with the articles that they are about.

A set is named ``FORMAT:PATH``; a path alone is a file of our own format (`eval.gold`), about articles of one's own.

``squad``: SQuAD 1.1 and 2.0 (https://rajpurkar.github.io/SQuAD-explorer/), one JSON file. Each paragraph is an article
under its page's title. The evidence is the sentence that an answer stands in; ``is_impossible`` is unanswerable.

``clapnq``: ClapNQ (Rosenthal et al. 2024, https://arxiv.org/abs/2404.02103), JSON Lines ``id, input, passages[{title,
text, sentences}], output[{answer, selected_sentences}]``; PATH is a file, or a folder with the answerable and the
unanswerable ones. The evidence is each run of adjacent selected sentences. The kind is ``definition``: the answers are
free text of several sentences, so they stand nowhere word for word, and they draw on one passage, so that finding any
run of it is finding the article; ``multi-article`` would ask for all the runs, ``fact`` for a quote with the answer.

``rgb``: RGB (Chen et al. 2023, https://arxiv.org/abs/2309.01431; https://github.com/chen700564/RGB), JSON Lines ``id,
query, answer, positive, negative``. The passages of both sorts are the articles, ``positive_wrong`` are not: the false
answers put into those would be as good as the true ones. ``answer`` is read as by RGB's own ``evalue.py``: a text, or a
list of parts that are all needed, each a text or a list of alternatives. The evidence is every sentence of a positive
passage that holds an answer. Of several parts (``multi-article``) each has one sentence, since our format has no
alternatives among what is needed: finding another report of the same counts for nothing, so recall is a lower bound.

``ru_rag_test``: https://github.com/slivka83/ru_rag_test_dataset, JSON Lines ``id, question, answers, gold_paragraph,
gold_doc``, beside them ``docs.tar.zst`` with the pages; PATH is the file or the folder. Each page is an article; the
evidence is the gold paragraph as the page has it; more than half are not there, the page being of another day.

Texts are normalised as the index does it. All but whole pages are put on one line: the index cleans by lines, and so
leaves them, and the quotes, as they are.
"""

import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from eval.gold import Evidence, GoldQuestion, Kind, read_gold
from index.clean import normalise
from index.errors import BadRequest
from index.language import UNKNOWN, detect, sentence_spans, terms


@dataclass(frozen=True, slots=True)
class Document:
    """An article that comes with a question set, by a URI of our making; ``title`` is empty where it has none."""

    url: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class GoldSet:
    """Questions, and the articles that they are about; ``None``: those of an index that the user names.

    Evidence names a document by its URL, and its quote stands verbatim in the document's text. ``left_out`` has a line
    for each question of the set that is not among them: its id and the reason.
    """

    questions: tuple[GoldQuestion, ...]
    documents: tuple[Document, ...] | None
    left_out: tuple[str, ...] = ()


def read_gold_set(name: str) -> GoldSet:
    """Read a question set: ``FORMAT:PATH``, or the path of a file of our own format.

    Raises:
        BadRequest: the file cannot be read, is of another format, or holds no question; says which line and why.
    """
    form, _, path = name.partition(":")
    if path and form in _READERS:
        found = _READERS[form](Path(path).expanduser())
    elif Path(name).exists():
        found = GoldSet(tuple(read_gold(Path(name))), None)
    else:
        known = ", ".join(f"{form}:PATH" for form in FORMATS)
        raise BadRequest(f"{name}: no such file; sets of other formats than our own are named {known}")
    if not found.questions:
        why = f"; left out {len(found.left_out)}, the first being {found.left_out[0]}" if found.left_out else ""
        raise BadRequest(f"{name}: no question in it{why}")
    return found


class _Reading:
    """What has been read of a set so far; its ids and URLs begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._documents: dict[str, Document] = {}  # by text: what several questions share is one article
        self._questions: dict[str, GoldQuestion] = {}
        self._languages = Counter[str]()
        self._left_out: list[str] = []

    def document(self, text: str, title: str = "", name: str = "") -> Document:
        """Take a text in, under a number unless it has a name, and give its document."""
        url = f"{self._prefix}{name or len(self._documents)}"
        return self._documents.setdefault(text, Document(url, title, text))

    def leave_out(self, number: int | str, reason: str) -> None:
        self._left_out.append(f"{self._prefix}{number}: {reason}")

    def add(
        self,
        number: int | str,
        asked: str,
        answers: Iterable[str],
        evidence: Iterable[Evidence],
        *,
        kind: Kind,
        about: str,
        place: str,
    ) -> None:
        """Take in a question about a text in the language ``about``.

        A question alone may be too short to tell its language. It is believed where that is its text's, too.
        """
        own = detect(asked)
        question = GoldQuestion(
            id=f"{self._prefix}{number}",
            question=_one_line(asked),
            language=own if own == about else UNKNOWN,
            answers=tuple(dict.fromkeys(answers)),
            evidence=tuple(dict.fromkeys(evidence)),
            kind=kind,
            place=place,
        )
        if question.id in self._questions:
            self.leave_out(number, "another question has this id")
        elif not any(map(str.isalnum, question.question)):
            self.leave_out(number, "it has no words")
        else:
            self._questions[question.id] = question
            self._languages[own] += 1

    def gold_set(self) -> GoldSet:
        """Give all that was read; a question whose language is in doubt has the one that most questions have."""
        usual = next((language for language, _ in self._languages.most_common() if language != UNKNOWN), "en")
        questions = (
            replace(question, language=usual) if question.language == UNKNOWN else question
            for question in self._questions.values()
        )
        documents = (document for document in self._documents.values() if document.text)
        return GoldSet(tuple(questions), tuple(documents), tuple(self._left_out))


# SQuAD


@dataclass(frozen=True, slots=True)
class SquadAnswer:
    """A right answer, and where in the paragraph it stands, in characters."""

    text: str
    answer_start: int


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """A question about a paragraph; without answers if it is impossible."""

    id: int | str
    question: str
    answers: list[SquadAnswer]
    is_impossible: bool = False


@dataclass(frozen=True, slots=True)
class SquadParagraph:
    """A paragraph and what is asked about it."""

    context: str
    qas: list[SquadQuestion]


@dataclass(frozen=True, slots=True)
class SquadArticle:
    """A page of Wikipedia, by the title in its address."""

    paragraphs: list[SquadParagraph]
    title: str = ""


@dataclass(frozen=True, slots=True)
class _SquadFile:
    data: list[SquadArticle]


_SQUAD = TypeAdapter(_SquadFile)


def read_squad_articles(path: Path) -> list[SquadArticle]:
    """Read a SQuAD file as it is.

    Raises:
        BadRequest: it cannot be read, or is no such file.
    """
    try:
        return _SQUAD.validate_json(_contents(path)).data
    except ValidationError as error:
        raise BadRequest(f"{path}: not a question set in the SQuAD format ({_reason(error)})") from error


def _read_squad(path: Path) -> GoldSet:
    reading = _Reading(f"squad:{path.stem}/")
    for i, article in enumerate(read_squad_articles(path)):
        title = _one_line(article.title.replace("_", " "))
        for j, paragraph in enumerate(article.paragraphs):
            document = reading.document(_one_line(paragraph.context), title, f"{i}/{j}")
            _read_paragraph(paragraph, document, f"{path.name}, paragraph {i}/{j}", reading)
    return reading.gold_set()


def _read_paragraph(paragraph: SquadParagraph, document: Document, place: str, reading: _Reading) -> None:
    language = detect(document.text)
    for asked in paragraph.qas:
        answers = [answer for answer in asked.answers if _one_line(answer.text)]
        spans = [_span(answer, paragraph.context, document.text) for answer in answers]
        if asked.is_impossible:
            reading.add(asked.id, asked.question, (), (), kind="unanswerable", about=language, place=place)
        elif found := [span for span in spans if span]:
            evidence = [Evidence(document.url, quote) for quote in _quotes(document.text, language, found)]
            forms = [_one_line(answer.text) for answer in answers]
            reading.add(asked.id, asked.question, forms, evidence, kind="fact", about=language, place=place)
        elif answers:
            reading.leave_out(asked.id, "its answers do not stand where they are said to")
        else:
            reading.leave_out(asked.id, "no answer is given")


def _span(answer: SquadAnswer, context: str, text: str) -> tuple[int, int] | None:
    """Find an answer in ``text``, the context on one line; ``None`` unless it stands in the context where it says."""
    if answer.answer_start < 0 or not context.startswith(answer.text, answer.answer_start):
        return None
    words = _one_line(answer.text)
    start = text.find(words, len(_one_line(context[: answer.answer_start])))
    return (start, start + len(words)) if start >= 0 else None


# ClapNQ


@dataclass(frozen=True, slots=True)
class _ClapnqPassage:
    title: str
    text: str
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class _ClapnqOutput:
    answer: str
    selected_sentences: list[str]


@dataclass(frozen=True, slots=True)
class _ClapnqRow:
    id: int | str
    input: str
    passages: list[_ClapnqPassage]
    output: list[_ClapnqOutput]


_CLAPNQ = TypeAdapter(_ClapnqRow)


def _read_clapnq(path: Path) -> GoldSet:
    files = sorted(path.glob("*answerable.jsonl")) if path.is_dir() else [path]
    if not files:
        raise BadRequest(f"{path}: no file in it is named *answerable.jsonl")
    reading = _Reading("clapnq:")
    for place, row in (found for file in files for found in _rows(file, _CLAPNQ, "ClapNQ")):
        documents = [reading.document(_one_line(p.text), _one_line(p.title)) for p in row.passages]
        language = detect(" ".join(document.text for document in documents))
        answered = [output for output in row.output if _one_line(output.answer)]
        evidence = [
            Evidence(document.url, run)
            for output in answered
            for passage, document in zip(row.passages, documents, strict=True)
            for run in _runs(passage.sentences, output.selected_sentences)
            if run in document.text
        ]
        if evidence:
            answers = [_one_line(output.answer) for output in answered]
            reading.add(row.id, row.input, answers, evidence, kind="definition", about=language, place=place)
        elif answered:
            reading.leave_out(row.id, "none of the selected sentences stands in a passage")
        elif row.output:
            reading.add(row.id, row.input, (), (), kind="unanswerable", about=language, place=place)
        else:
            reading.leave_out(row.id, "no answer is given")
    return reading.gold_set()


def _runs(sentences: Iterable[str], selected: Iterable[str]) -> Iterator[str]:
    """Join the selected ones among a passage's sentences where they follow one another."""
    chosen = {words for sentence in selected if (words := _one_line(sentence))}
    for is_chosen, run in groupby(map(_one_line, sentences), key=chosen.__contains__):
        if is_chosen:
            yield " ".join(run)


# RGB


@dataclass(frozen=True, slots=True)
class _RgbRow:
    id: int | str
    query: str
    answer: str | list[str | list[str]]
    positive: list[str | list[str]]  # lists: the passages for each part of the answer
    negative: list[str | list[str]]


_RGB = TypeAdapter(_RgbRow)
# Not within an ASCII word or a decimal number; Chinese puts no spaces around either, nor between its own words.
_WORD_START = r"(?a:\b|(?!\w))(?:(?<!\d[.,])|(?!\d))"
_WORD_END = r"(?a:\b|(?<!\w))(?![.,]\d)"


def _read_rgb(path: Path) -> GoldSet:
    reading = _Reading(f"rgb:{path.stem}/")
    for place, row in _rows(path, _RGB, "RGB"):
        positive = [reading.document(_one_line(text)) for group in _groups(row.positive) for text in group]
        for text in (text for group in _groups(row.negative) for text in group):
            reading.document(_one_line(text))
        parts = [[words for text in group if (words := _one_line(text))] for group in _groups(row.answer)]
        if not parts or not all(parts):
            reading.leave_out(row.id, "no answer is given")
            continue
        language = detect(" ".join(document.text for document in positive))
        holding = [_holding(part, positive, language) for part in parts]
        if missing := [part for part, evidence in zip(parts, holding, strict=True) if not evidence]:
            reading.leave_out(row.id, f"no positive passage holds {' or '.join(missing[0])}")
        elif len(parts) == 1:
            reading.add(row.id, row.query, parts[0], holding[0], kind="fact", about=language, place=place)
        else:
            answers = map(", ".join, product(*parts))
            evidence = [_nearest(row.query, sentences, language) for sentences in holding]
            reading.add(row.id, row.query, answers, evidence, kind="multi-article", about=language, place=place)
    return reading.gold_set()


def _groups(texts: str | list[str | list[str]]) -> list[list[str]]:
    return [[text] if isinstance(text, str) else text for text in ([texts] if isinstance(texts, str) else texts)]


def _holding(answers: list[str], documents: Iterable[Document], language: str) -> list[Evidence]:
    """Give the sentences that hold an answer and say something of it: a crawler's "Nov 12, 2020 ..." says nothing.

    An answer within a longer word or number, as "8" in "1.8", does not count.
    """
    forms = "|".join(map(re.escape, sorted(answers, key=len, reverse=True)))
    mention = re.compile(f"{_WORD_START}(?:{forms}){_WORD_END}", re.IGNORECASE)
    return [
        Evidence(document.url, quote)
        for document in documents
        for quote in _quotes(document.text, language, [match.span() for match in mention.finditer(document.text)])
        if any(map(str.isalpha, mention.sub("", quote)))
    ]


def _nearest(question: str, sentences: list[Evidence], language: str) -> Evidence:
    """Give the sentence that shares the most terms with the question, of equals the first."""
    asked = set(terms(question, language))
    return max(sentences, key=lambda evidence: len(asked & set(terms(evidence.quote, language))))


# ru_rag_test


@dataclass(frozen=True, slots=True)
class _RuRagTestRow:
    id: int | str
    question: str
    answers: list[str]
    gold_paragraph: str
    gold_doc: str


_RU_RAG_TEST = TypeAdapter(_RuRagTestRow)


def _read_ru_rag_test(path: Path) -> GoldSet:
    file = path / "questions.jsonl" if path.is_dir() else path
    rows = list(_rows(file, _RU_RAG_TEST, "ru_rag_test"))
    reading = _Reading("ru_rag_test:")
    pages = {name: reading.document(normalise(text), name=name) for name, text in _pages(file.parent / "docs.tar.zst")}
    for place, row in rows:
        answers = [words for answer in row.answers if (words := _one_line(answer))]
        page = pages.get(row.gold_doc)
        paragraph = r"\s+".join(map(re.escape, _one_line(row.gold_paragraph).split()))
        if page is None:
            reading.leave_out(row.id, f"there is no page {row.gold_doc}")
        elif not answers:
            reading.leave_out(row.id, "no answer is given")
        elif not (quote := re.search(paragraph, page.text)) or not quote[0]:
            reading.leave_out(row.id, f"its paragraph does not stand in {row.gold_doc}")
        else:
            evidence = [Evidence(page.url, quote[0])]
            reading.add(row.id, row.question, answers, evidence, kind="fact", about=detect(page.text), place=place)
    return reading.gold_set()


def _pages(archive: Path) -> Iterator[tuple[str, str]]:
    """Give the pages of a compressed archive, by their files' names."""
    try:
        import zstandard
    except ImportError as error:
        raise BadRequest(f"{archive} needs a package: pip install zstandard") from error
    try:
        with zstandard.open(archive, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as members:
            for member in members:
                if contents := members.extractfile(member):  # folders have none
                    yield PurePosixPath(member.name).name, contents.read().decode("utf-8")
    except (OSError, UnicodeDecodeError, tarfile.TarError, zstandard.ZstdError) as error:
        raise BadRequest(f"cannot read the pages in {archive}: {error}") from error


# All of them

_READERS: dict[str, Callable[[Path], GoldSet]] = {
    "squad": _read_squad,
    "clapnq": _read_clapnq,
    "rgb": _read_rgb,
    "ru_rag_test": _read_ru_rag_test,
}
FORMATS = tuple(_READERS)

_Row = TypeVar("_Row")


def _rows(path: Path, adapter: TypeAdapter[_Row], form: str) -> Iterator[tuple[str, _Row]]:
    """Read JSON Lines, each with its place (``questions.jsonl, line 3``); those that are empty are passed over."""
    for number, line in enumerate(_contents(path).split(b"\n"), 1):
        if line.strip():
            try:
                yield f"{path.name}, line {number}", adapter.validate_json(line)
            except ValidationError as error:
                reason = _reason(error).replace(" at line 1 column", " at column")
                raise BadRequest(f"{path}, line {number}: not a question in the {form} format ({reason})") from error


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"cannot read the question set {path}: {error.strerror}") from error


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)


def _one_line(text: str) -> str:
    return " ".join(normalise(text).split())


def _quotes(text: str, language: str, places: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Give, for each [start, end) in ``text``, the sentence around it; more if it stands in several."""
    sentences = list(sentence_spans(text, language))
    for start, end in places:
        around = [(a, b) for a, b in sentences if a < end and start < b]
        yield text[around[0][0] : around[-1][1]]
