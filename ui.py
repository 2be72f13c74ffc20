"""The chat page: Gradio's components and what they do. The only file that imports gradio."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported; anything else sends telemetry

import asyncio
import logging
import re
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Literal
from uuid import uuid4

import gradio as gr
from babel import Locale
from fastapi import FastAPI
from gradio.components.chatbot import ExampleMessage, Message, MessageDict

from index.build import Progress as Adding
from index.build import Report
from index.errors import BadRequest, RagError
from index.types import Where
from rag.feedback import Feedback, FeedbackBook
from rag.links import article_link, origin, web_address
from rag.records import Record, answer_of, kept_record
from rag.server.answer_view import Extent, answer_html, escaped, progress_html
from rag.server.interface import TEXTS, Language, language_of, said
from rag.server.service import Fetching, Happening, Service
from rag.transcript import as_markdown
from rag.types import Answer, Done, Turn

_STATIC = Path(__file__).parent / "rag" / "server" / "static"
_TURNS = 30  # that a browser keeps
_ADDRESSES = 100  # added at once
_PATIENCE = 3  # seconds between two looks for example questions
_OLD = 60  # seconds after which Gradio has copied a file that it was given
_LISTED = 200  # articles in the table; the search finds the others
log = logging.getLogger("rag.server")
_I18N = gr.I18n(**{code: {name: text[code] for name, text in TEXTS.items()} for code in ("en", "ru")})
_HEAD = '<script src="/rag-static/page.js" defer></script><link rel="stylesheet" href="/rag-static/page.css">'
_COLUMNS = ("title", "published", "language", "source", "passages", "added")

_THUMBS = {"up": "Like", "down": "Dislike"}  # as Gradio calls them

Update = dict[Any, Any]
Vote = Literal["up", "down"]


def mount(app: FastAPI, service: Service) -> None:
    """Serve the page at the root of ``app``, behind the routes it has already."""
    page = build_page(service)
    page.has_launched = True  # mounting does not set it, and until it is set Gradio takes any file's path for an upload
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        show_error=False,
        max_file_size=f"{service.settings.upload_mb}mb",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        i18n=_I18N,
        theme=gr.themes.Soft(
            primary_hue="blue",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        head=_HEAD,
        favicon_path=str(_STATIC / "icon.svg"),
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """A turn of the conversation, as the browser keeps it."""

    id: str
    answer: Answer
    extent: Extent
    vote: Vote | None = None

    def record(self) -> Record:
        """Give it as JSON."""
        return {
            "id": self.id,
            "answer": kept_record(self.answer),
            "extent": [self.extent.articles, self.extent.passages],
            "vote": self.vote,
        }

    @staticmethod
    def all_of(records: object) -> list["Kept"]:
        """Read what a browser kept; nothing if it is of another version or was meddled with."""
        if not isinstance(records, list):
            return []
        try:
            return [
                Kept(
                    str(r["id"]),
                    answer_of(r["answer"]),
                    Extent(*map(int, r["extent"])),
                    r.get("vote") if r.get("vote") in _THUMBS else None,
                )
                for r in records[-_TURNS:]
            ]
        except (KeyError, TypeError, ValueError, AttributeError):
            return []


def build_page(service: Service) -> gr.Blocks:
    """Make the page over a service."""
    scratch = TemporaryDirectory(prefix="rag-")  # readable by this user alone
    os.environ["GRADIO_TEMP_DIR"] = scratch.name
    with gr.Blocks(
        title=said("title", "en"), delete_cache=(3600, 86_400), analytics_enabled=False, fill_width=True
    ) as blocks:
        gr.Markdown(_I18N("title"), elem_id="title")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=3, min_width=320), gr.Tabs():
                with gr.Tab(_I18N("ask_tab"), elem_id="ask-tab"):
                    asking = AskTab(service, scratch)
                with gr.Tab(_I18N("articles_tab"), elem_id="articles-tab") as articles_tab:
                    articles = ArticlesTab(service)
            with gr.Column(scale=2, min_width=320, elem_id="side"):
                gr.Markdown(_I18N("panel_hint"), elem_id="side-hint")
        timer = gr.Timer(_PATIENCE)  # example questions are found while the page is there already
        timer.tick(asking.suggested, None, [asking.chat, timer], show_progress="hidden")
        blocks.load(asking.restored, asking.conversation, asking.outputs, show_progress="hidden")
        articles_tab.select(articles.listed, articles.find, articles.outputs, show_progress="hidden")
    for event in blocks.fns.values():
        event.api_visibility = "private"  # other programs have doors of their own, with limits and a description
    blocks.queue(default_concurrency_limit=None)  # `Service` has the line in which questions wait
    page: gr.Blocks = blocks
    return page


class AskTab:
    """The conversation."""

    def __init__(self, service: Service, scratch: TemporaryDirectory[str]) -> None:
        """Lay out the components and tie them to the methods; exported conversations go to ``scratch``."""
        self._service = service
        self._scratch = scratch
        self.conversation = gr.BrowserState([], storage_key="rag-conversation", secret="kept by the browser alone")
        self._asked = gr.State("")  # the question being answered
        self._voted = gr.State(("", ""))  # which turn, and whether up or down
        self.chat = gr.Chatbot(
            elem_id="chat",
            label=_I18N("conversation"),
            show_label=False,
            height="calc(100dvh - 21rem)",
            min_height=320,
            layout="panel",
            buttons=[],
            latex_delimiters=[],
            group_consecutive_messages=False,
            feedback_options=("Like", "Dislike"),
        )
        with gr.Row(visible=False, elem_id="searched-row") as self._searched_row:
            self._searched = gr.Textbox(label=_I18N("searched_for"), elem_id="searched-for", scale=5)
            ask_instead = gr.Button(_I18N("ask_instead"), elem_id="ask-instead", scale=1)
            ask_as_written = gr.Button(_I18N("ask_as_written"), elem_id="ask-as-written", scale=1)
        with gr.Row(visible=False, elem_id="comment-row") as self._comment_row:
            self._comment = gr.Textbox(label=_I18N("comment"), elem_id="comment", max_length=4000, scale=5)
            save_comment = gr.Button(_I18N("save_comment"), elem_id="save-comment", scale=1)
        self._question = gr.Textbox(
            elem_id="question",
            label=_I18N("question"),
            show_label=False,
            placeholder=_I18N("question_hint"),
            autofocus=True,
            max_lines=6,
            max_length=2000,
            submit_btn=True,
        )
        with gr.Accordion(_I18N("filters"), open=False, elem_id="filters"), gr.Row():
            self._since = gr.Textbox(
                label=_I18N("from"), placeholder="2024-03-15", max_lines=1, max_length=10, elem_id="since"
            )
            self._until = gr.Textbox(
                label=_I18N("to"), placeholder="2024-03-15", max_lines=1, max_length=10, elem_id="until"
            )
            self._languages = gr.Dropdown([], multiselect=True, label=_I18N("languages"), elem_id="languages")
            self._sources = gr.Dropdown([], multiselect=True, label=_I18N("sources"), elem_id="sources")
        with gr.Row(elem_id="actions"):
            new = gr.Button(_I18N("new"), size="sm", elem_id="new")
            self._export = gr.DownloadButton(said("export", "en"), size="sm", elem_id="export", interactive=False)
        self._about = gr.Markdown(elem_id="about")

        self._filters = (self._since, self._until, self._languages, self._sources)
        self.outputs = [
            self.chat,
            self.conversation,
            self._question,
            self._asked,
            self._searched_row,
            self._searched,
            self._comment_row,
            self._export,
            self._about,
            self._languages,
            self._sources,
        ]
        given = {self._question, self._searched, self.conversation, *self._filters}
        asking = [
            gr.on(triggers, method, given, self.outputs, show_progress="hidden", trigger_mode="once")
            for triggers, method in (
                (self._question.submit, self.asked),
                (self.chat.example_select, self.asked_example),
                ([ask_instead.click, self._searched.submit], self.asked_instead),
                (ask_as_written.click, self.asked_as_written),
                (self.chat.retry, self.retried),
            )
        ]
        self._question.stop(
            self.stopped, [self._asked, self.conversation], self.outputs, cancels=asking, show_progress="hidden"
        )
        gr.on(
            [new.click, self.chat.clear],
            self.started_again,
            None,
            self.outputs,
            cancels=asking,
            show_progress="hidden",
        )
        self.chat.undo(self.undone, self.conversation, self.outputs, show_progress="hidden")
        voted = [self._voted, self._comment_row, self._comment, self.conversation]
        self.chat.like(self.voted, self.conversation, voted, show_progress="hidden")
        gr.on(
            [save_comment.click, self._comment.submit],
            self.commented,
            [self._voted, self._comment, self.conversation],
            [self._comment_row],
            show_progress="hidden",
        )

    # What the events do

    async def asked(self, given: Update, request: gr.Request) -> AsyncGenerator[Update, None]:
        """Answer a question, showing what happens meanwhile."""
        turns = Kept.all_of(given[self.conversation])
        async for update in self._turn(given[self._question], turns, _history(turns), given, request):
            yield update

    async def asked_example(
        self, given: Update, request: gr.Request, chosen: gr.SelectData
    ) -> AsyncGenerator[Update, None]:
        """Answer an example question."""
        turns = Kept.all_of(given[self.conversation])
        async for update in self._turn(str(chosen.value["text"]), turns, _history(turns), given, request):
            yield update

    async def asked_instead(self, given: Update, request: gr.Request) -> AsyncGenerator[Update, None]:
        """Answer the last question again, as the user meant it."""
        earlier = Kept.all_of(given[self.conversation])[:-1]
        async for update in self._turn(given[self._searched], earlier, [], given, request):
            yield update

    async def asked_as_written(self, given: Update, request: gr.Request) -> AsyncGenerator[Update, None]:
        """Answer the last question again, as one that is no follow-up."""
        *earlier, last = Kept.all_of(given[self.conversation])
        async for update in self._turn(last.answer.question, earlier, [], given, request):
            yield update

    async def retried(self, given: Update, request: gr.Request, retried: gr.RetryData) -> AsyncGenerator[Update, None]:
        """Answer a question again, with the filters as they are now; what came after it is dropped."""
        turns = Kept.all_of(given[self.conversation])
        place = min(_number(retried.index) // 2, len(turns) - 1)
        earlier = turns[:place]
        async for update in self._turn(turns[place].answer.question, earlier, _history(earlier), given, request):
            yield update

    async def _turn(
        self, question: str, earlier: list[Kept], history: Sequence[Turn], given: Update, request: gr.Request
    ) -> AsyncGenerator[Update, None]:
        language = _language(request)
        if not question.strip():
            yield {self._question: ""}
            return
        happened: list[Happening] = []
        shown = [*_messages(earlier, language), _message("user", escaped(question))]
        yield {
            self.chat: [*shown, _message("assistant", progress_html(happened, language))],
            self._question: gr.Textbox("", submit_btn=False, stop_btn=True),
            self._asked: question,
            self._searched_row: gr.Row(visible=False),
            self._comment_row: gr.Row(visible=False),
        }
        try:
            where = _where(*(given[component] for component in self._filters))
            async with aclosing(self._service.events(question, where, history)) as happenings:
                async for happening in happenings:
                    happened.append(happening)
                    if not isinstance(happening, Done):
                        yield {self.chat: [*shown, _message("assistant", progress_html(happened, language))]}
                        continue
                    turn = Kept(uuid4().hex, happening.answer, await asyncio.to_thread(self._extent, where))
                    yield self._state([*earlier, turn][-_TURNS:], request)
        except Exception as error:
            if not isinstance(error, RagError):
                log.error("unexpected error on the page", exc_info=error)
            gr.Warning(escaped(str(error) if isinstance(error, RagError) else said("internal", language)))
            yield {
                **self._state(earlier, request),
                self._question: gr.Textbox(question, submit_btn=True, stop_btn=False),
            }

    def _extent(self, where: Where) -> Extent:
        index = self._service.index
        return Extent(index.listing(where, limit=0)[0], index.count_passages(where))

    def _state(self, turns: list[Kept], request: gr.Request) -> Update:
        """Show a conversation at rest."""
        language = _language(request)
        last = turns[-1].answer if turns else None
        was_completed = last is not None and last.standalone != last.question
        return {
            self.chat: gr.Chatbot(_messages(turns, language), feedback_value=_votes(turns)),
            self.conversation: [turn.record() for turn in turns],
            self._question: gr.Textbox(submit_btn=True, stop_btn=False),  # the next one may be in it already
            self._searched_row: gr.Row(visible=was_completed),
            self._searched: last.standalone if last and was_completed else "",
            self._export: gr.DownloadButton(
                said("export", language),
                value=self._transcript(turns, request) if turns else None,
                interactive=bool(turns),
            ),
            self._comment_row: gr.Row(visible=False),
        }

    def _transcript(self, turns: Sequence[Kept], request: gr.Request) -> str:
        """Write the conversation into a file to be downloaded, and give its path."""
        scratch = Path(self._scratch.name) / "transcripts"
        scratch.mkdir(exist_ok=True)
        for old in scratch.iterdir():
            if old.stat().st_mtime < time.time() - _OLD:
                shutil.rmtree(old, ignore_errors=True)
        today, language = date.today(), _language(request)
        address = request.headers.get("origin") or f"http://{request.headers.get('host', '')}"
        text = as_markdown([turn.answer for turn in turns], said("conversation", language), language, today, address)
        path = Path(mkdtemp(dir=scratch)) / f"rag-{today}.md"
        path.write_text(text, "utf-8", "replace")
        return str(path)

    def stopped(self, asked: str, kept: object, request: gr.Request) -> Update:
        """Go back to what was there before the question, which may be changed and asked again."""
        state = self._state(Kept.all_of(kept), request)
        return {**state, self._question: gr.Textbox(asked, submit_btn=True, stop_btn=False)}

    def started_again(self, request: gr.Request) -> Update:
        """Forget the conversation."""
        return self._state([], request)

    def undone(self, kept: object, request: gr.Request, undone: gr.UndoData) -> Update:
        """Take a question back, with what came after it, to be changed."""
        turns = Kept.all_of(kept)
        place = min(_number(undone.index) // 2, max(0, len(turns) - 1))
        question = turns[place].answer.question if turns else ""
        state = self._state(turns[:place], request)
        return {**state, self._question: gr.Textbox(question, submit_btn=True, stop_btn=False)}

    def restored(self, kept: object, request: gr.Request) -> Update:
        """Show what the browser kept, and what there is to ask."""
        language = _language(request)
        turns = Kept.all_of(kept)
        status = self._service.index.status()
        answerer = self._service.assistant.answerer
        about = said("about", language).format(
            answerer=said("reader", language) if answerer == "reader" else said("llm", language).format(answerer),
            passages=self._service.settings.passages,
            articles=f"{status.articles:,}",
            found=f"{status.passages:,}",
        )
        names = Locale(language).languages
        languages = [(f"{names.get(code, code)} ({n})", code) for code, n in status.languages]
        placeholder = said("placeholder" if status.articles else "empty", language)
        return {
            **self._state(turns, request),
            self.chat: gr.Chatbot(
                _messages(turns, language),
                feedback_value=_votes(turns),
                placeholder=f'<p class="welcome">{escaped(placeholder)}</p>',
                examples=_examples(self._service.examples),
            ),
            self._about: escaped(about),
            self._languages: gr.Dropdown(languages),
            self._sources: gr.Dropdown([(f"{name} ({n})", name) for name, n in status.sources]),
        }

    def suggested(self) -> tuple[gr.Chatbot | Update, gr.Timer]:
        """Suggest questions to begin with, once there are some."""
        found = self._service.examples
        if found is None:
            return gr.skip(), gr.Timer(active=True)
        return gr.Chatbot(examples=_examples(found)), gr.Timer(active=False)

    def voted(self, kept: object, vote: gr.LikeData) -> Update:
        """Note that an answer is good or bad, and ask why."""
        turns = Kept.all_of(kept)
        place = _number(vote.index) // 2
        if vote.liked not in (True, False) or place >= len(turns):
            return {self._comment_row: gr.Row(visible=False)}
        verdict: Vote = "up" if vote.liked else "down"
        turns[place] = replace(turns[place], vote=verdict)
        self._keep(turns[place], verdict, "")
        return {
            self._voted: (turns[place].id, verdict),
            self._comment_row: gr.Row(visible=True),
            self._comment: "",
            self.conversation: [turn.record() for turn in turns],
        }

    def commented(self, voted: tuple[str, Vote], comment: str, kept: object, request: gr.Request) -> Update:
        """Keep a comment with the vote."""
        answer_id, verdict = voted
        for turn in Kept.all_of(kept):
            if turn.id == answer_id:
                self._keep(turn, verdict, comment)
                gr.Info(escaped(said("thanks", _language(request))))
        return {self._comment_row: gr.Row(visible=False)}

    def _keep(self, turn: Kept, verdict: Vote, comment: str) -> None:
        FeedbackBook(self._service.index.folder).add(Feedback.on(turn.answer, turn.id, verdict, comment))


class ArticlesTab:
    """What is indexed: to look through, to add to, to remove from."""

    def __init__(self, service: Service) -> None:
        """Lay out the components and tie them to the methods."""
        self._service = service
        self._rows = gr.State([])  # ids of the articles in the table
        self._chosen = gr.State("")  # the id of one
        with gr.Accordion(_I18N("add"), open=True, elem_id="add-articles"):
            with gr.Row():
                self._files = gr.File(
                    label=_I18N("files"),
                    file_count="multiple",
                    file_types=[".txt", ".md", ".markdown", ".html", ".htm", ".jsonl"],
                    height=150,
                    elem_id="files",
                )
                self._addresses = gr.Textbox(label=_I18N("addresses"), lines=4, max_lines=10, elem_id="addresses")
            add = gr.Button(_I18N("add"), variant="primary", elem_id="add")
            self._report = gr.Markdown(elem_id="report", visible=False)
        self.find = gr.Textbox(label=_I18N("find"), elem_id="find", max_length=200)
        self._shown = gr.Markdown(elem_id="shown")
        with gr.Row(visible=False, elem_id="chosen") as self._chosen_row:
            self._about = gr.Markdown(elem_id="chosen-about")
            read_again = gr.Button(_I18N("read_again"), size="sm", elem_id="read-again")
            remove = gr.Button(_I18N("remove"), size="sm", variant="stop", elem_id="remove")
        with gr.Row(visible=False) as self._sure_row:
            sure = gr.Button(_I18N("remove_sure"), size="sm", variant="stop", elem_id="remove-sure")
            keep = gr.Button(_I18N("keep"), size="sm", elem_id="keep")
        self._table = gr.Dataframe(
            headers=[said(f"column_{name}", "en") for name in _COLUMNS],  # headers take no translations
            datatype=["str", "str", "str", "str", "number", "str"],
            type="array",
            interactive=False,
            wrap=True,
            buttons=[],
            column_widths=["290px", "105px", "105px", "115px", "65px", "105px"],
            label=_I18N("list"),
            show_label=False,
            elem_id="articles",
            max_height=420,
        )

        self.outputs = [self._table, self._rows, self._shown, self._chosen_row, self._sure_row, self._chosen]
        changed = [*self.outputs, self._report, self._files, self._addresses]
        self.find.change(self.listed, self.find, self.outputs, show_progress="hidden", trigger_mode="always_last")
        add.click(self.added, [self._files, self._addresses, self.find], changed, show_progress_on=self._report)
        self._table.select(
            self.chosen,
            self._rows,
            [self._chosen, self._chosen_row, self._about, self._sure_row],
            show_progress="hidden",
        )
        read_again.click(self.read_again, [self._chosen, self.find], changed)
        remove.click(lambda: gr.Row(visible=True), None, self._sure_row, show_progress="hidden")
        keep.click(lambda: gr.Row(visible=False), None, self._sure_row, show_progress="hidden")
        sure.click(self.removed, [self._chosen, self.find], changed)

    def listed(self, text: str, request: gr.Request) -> Update:
        """List the articles whose title, address or source has a text."""
        language = _language(request)
        total, found = self._service.index.listing(text=text, limit=_LISTED)
        names = Locale(language).languages
        rows = [
            [a.title, a.published or "", names.get(a.language, a.language), a.source, a.passages, a.fetched[:10]]
            for a in found
        ]
        return {
            self._table: gr.Dataframe(rows, headers=[said(f"column_{name}", language) for name in _COLUMNS]),
            self._rows: [a.id for a in found],
            self._shown: escaped(said("shown_of", language).format(f"{len(found):,}", f"{total:,}")),
            self._chosen_row: gr.Row(visible=False),
            self._sure_row: gr.Row(visible=False),
            self._chosen: "",
        }

    def chosen(self, ids: list[str], request: gr.Request, cell: gr.SelectData) -> Update:
        """Offer what can be done with an article."""
        language = _language(request)
        row = _number(cell.index)
        article = self._service.index.article(ids[row]) if row < len(ids) else None
        if article is None:
            return {self._chosen_row: gr.Row(visible=False)}
        link = article_link(article.id)
        about = (
            f'<a class="cite named open-now" href="{escaped(link)}">{escaped(said("open", language))}</a> · '
            f'<a class="cite named" href="{escaped(link)}/cleaned">{escaped(said("left_out", language))}</a>'
        )
        return {
            self._chosen: article.id,
            self._chosen_row: gr.Row(visible=True),
            self._about: f"<div><b>{escaped(article.title)}</b> · {about}</div>",
            self._sure_row: gr.Row(visible=False),
        }

    async def added(
        self,
        files: list[str] | None,
        addresses: str,
        text: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio knows it by its default
    ) -> AsyncGenerator[Update, None]:
        """Index files and web pages, showing how far it is."""
        language = _language(request)
        urls = [_address(line.strip()) for line in addresses.splitlines() if line.strip()][:_ADDRESSES]
        if not files and not urls:
            gr.Warning(escaped(said("nothing_given", language)))
            yield {self._report: gr.Markdown(visible=False)}
            return
        yield {self._report: gr.Markdown("…", visible=True)}
        contents = await asyncio.to_thread(lambda: [(Path(f).name, Path(f).read_bytes()) for f in files or []])
        try:
            async with aclosing(self._service.adding(contents, urls)) as happenings:
                async for happening in happenings:
                    if isinstance(happening, Report):
                        yield {
                            **await asyncio.to_thread(self.listed, text, request),
                            self._report: gr.Markdown(_report(happening, language), visible=True),
                            self._files: None,
                            self._addresses: "\n".join(s.uri for s in happening.skipped if s.uri in urls),
                        }
                    else:
                        _show_progress(progress, happening, language)
        except RagError as error:
            gr.Warning(escaped(str(error)))
            yield {self._report: gr.Markdown(visible=False)}

    async def read_again(self, article_id: str, text: str, request: gr.Request) -> Update:
        """Read an article from its source once more."""
        try:
            report = await self._service.refresh(article_id)
        except RagError as error:
            gr.Warning(escaped(str(error)))
            return await asyncio.to_thread(self.listed, text, request)
        shown = gr.Markdown(_report(report, _language(request)), visible=True)
        return {**await asyncio.to_thread(self.listed, text, request), self._report: shown}

    async def removed(self, article_id: str, text: str, request: gr.Request) -> Update:
        """Remove an article."""
        article = self._service.index.article(article_id)
        try:
            await self._service.remove([article_id])
        except RagError as error:
            gr.Warning(escaped(str(error)))
            return await asyncio.to_thread(self.listed, text, request)
        removed = said("removed", _language(request)).format(article.title if article else article_id)
        listed = await asyncio.to_thread(self.listed, text, request)
        return {**listed, self._report: gr.Markdown(escaped(removed), visible=True)}


def _language(request: gr.Request) -> Language:
    return language_of(request.headers.get("accept-language", ""))


def _where(since: str | None, until: str | None, languages: list[str], sources: list[str]) -> Where:
    """Give the filter.

    Raises:
        BadRequest: a date is none.
    """
    try:
        return Where(_date(since), _date(until), tuple(languages), tuple(sources))
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _date(written: str | None) -> str | None:
    """Give a date as the index has it; 31.12.2024 is written in many countries."""
    written = (written or "").strip()
    return re.sub(r"(\d\d?)\.(\d\d?)\.(\d{4})", lambda d: f"{d[3]}-{d[2]:>02}-{d[1]:>02}", written) or None


def _votes(turns: Sequence[Kept]) -> list[str | None]:
    return [_THUMBS.get(turn.vote or "") for turn in turns]


def _history(turns: Sequence[Kept]) -> list[Turn]:
    return [turn.answer.turn for turn in turns]


def _examples(questions: Sequence[str] | None) -> list[ExampleMessage]:
    return [{"text": question} for question in questions or ()]


def _address(written: str) -> str:
    return written if re.match(r"[a-z][a-z0-9+.-]*:", written, re.IGNORECASE) else f"https://{written}"


def _number(index: int | tuple[int, ...] | list[int]) -> int:
    """Give the row of an event's place."""
    return int(index[0]) if isinstance(index, list | tuple) else int(index)


def _message(role: Literal["user", "assistant"], content: str) -> MessageDict | Message:
    return {"role": role, "content": content}


def _messages(turns: Sequence[Kept], language: Language) -> list[MessageDict | Message]:
    return [
        message
        for turn in turns
        for message in (
            _message("user", escaped(turn.answer.question)),
            _message("assistant", answer_html(turn.answer, language, turn.extent)),
        )
    ]


def _show_progress(progress: gr.Progress, happening: Fetching | Adding, language: Language) -> None:
    if isinstance(happening, Fetching):
        progress(0, desc=said("fetching", language).format(happening.url))
        return
    done = happening.report.added + happening.report.updated
    share = happening.bytes_done / happening.bytes_total if happening.bytes_total else 0
    progress(min(share, 1), desc=said("indexing", language).format(done))


def _report(report: Report, language: Language) -> str:
    """Say what became of what was given."""
    counts = [
        f"{said(name, language)}: {number}"
        for name, number in (
            ("added", report.added),
            ("updated", report.updated),
            ("unchanged", report.unchanged),
            ("skipped", len(report.skipped)),
        )
        if number
    ]
    items = "".join(
        f"<li>{escaped(web_address(s.uri) or origin(s.uri))}: {escaped(s.reason)}</li>" for s in report.skipped[:20]
    )
    return f"<div><p>{escaped(', '.join(counts))}</p><ul>{items}</ul></div>"
