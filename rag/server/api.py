"""The JSON API: ask, search, articles, feedback."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from index.articles import readable
from index.build import Progress as Adding
from index.build import Report
from index.errors import BadRequest, RagError
from rag.feedback import Feedback, FeedbackBook, Quoted, as_gold
from rag.links import article_link, live_link, permalink
from rag.records import Record, answer_record, article_record, event_record, hit_record
from rag.server.models import (
    Added,
    Answered,
    Asked,
    Filter,
    Found,
    Given,
    GoldQuestions,
    Holdings,
    IsoDate,
    Listing,
    Name,
    Noted,
    Opinion,
    Opinions,
    ProblemBody,
    Removed,
    Searched,
    WholeArticle,
)
from rag.server.problems import problem
from rag.server.service import Fetching, Happening, Queued, Service
from rag.types import Answer, Done

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemBody, "description": "The request cannot be served as it is."},
    401: {"model": ProblemBody, "description": "A login or an API key is missing."},
    403: {"model": ProblemBody, "description": "Sent by a page of another site."},
    413: {"model": ProblemBody, "description": "Too large."},
    422: {"model": ProblemBody, "description": "The request is not of the form described here."},
    429: {"model": ProblemBody, "description": "Too many at once; Retry-After says when to come back."},
    500: {"model": ProblemBody, "description": "An error of the server's; the log has more."},
    502: {"model": ProblemBody, "description": "The LLM cannot be had."},
    503: {"model": ProblemBody, "description": "The index cannot be used at the moment."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ProblemBody, "description": "No such article."}}
_ASKING = ("queued", "progress", "rewritten", "retrieved", "checking", "checked", "done", "error")  # events
_ADDING = ("fetching", "progress", "done", "error")
_SHOWN: dict[int | str, dict[str, Any]] = {307: {"description": "To the page that shows it, for a browser."}}
_GIVEN = Given.model_json_schema()
_GIVEN["properties"]["articles"]["items"] = _GIVEN.pop("$defs")["GivenArticle"]  # FastAPI knows no name for it
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _GIVEN},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                    "required": ["files"],
                }
            },
        },
    }
}


def api(service: Service) -> APIRouter:
    """Give the routes under ``/v1``."""
    router = APIRouter(prefix="/v1", tags=["articles"], responses=_PROBLEMS)

    @router.post("/ask", summary="Answer a question with citations, or abstain", responses=_gives(Answered, *_ASKING))
    async def ask(asked: Asked) -> Response:
        history = [turn.as_turn() for turn in asked.history]
        happenings = service.events(asked.question, asked.where.as_where(), history, asked.today)
        if asked.stream:
            return await _streamed(_told(happenings))
        return JSONResponse(linked(await _last(happenings)))

    @router.post("/search", summary="Find passages", responses=_gives(Found))
    async def search(searched: Searched) -> Response:
        hits = await service.search(searched.question, searched.k, searched.where.as_where(), rerank=searched.rerank)
        return JSONResponse({"question": searched.question, "hits": [hit_record(hit) for hit in hits]})

    @router.get("/articles", summary="List articles", responses=_gives(Listing))
    async def articles(
        search: Annotated[str, Query(max_length=1000, description="in title, address or source")] = "",
        published_from: IsoDate | None = None,
        published_to: IsoDate | None = None,
        language: Annotated[list[Name], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
        source: Annotated[list[Name], Query(max_length=100)] = [],  # noqa: B006
        order: Literal["title", "published", "fetched", "language", "source", "passages", "characters"] = "fetched",
        descending: bool = True,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> Response:
        chosen = Filter(
            published_from=published_from, published_to=published_to, languages=language, sources=source
        ).as_where()
        total, found = await asyncio.to_thread(
            lambda: service.index.listing(chosen, search, order, descending, limit, offset)
        )
        return JSONResponse({"total": total, "articles": [asdict(listed) for listed in found]})

    @router.post(
        "/articles", summary="Index files, addresses or texts", openapi_extra=_UPLOAD, responses=_gives(Added, *_ADDING)
    )
    async def add(request: Request) -> Response:
        files, urls = await _given(request)
        happenings = service.adding(files, urls)
        if "text/event-stream" in request.headers.get("accept", ""):
            return await _streamed(_told_adding(happenings))
        return JSONResponse(_report_record([what async for what in happenings][-1]))

    @router.get(
        "/articles/{article_id}",
        summary="An article with its text",
        responses=_gives(WholeArticle) | _SHOWN | _NOT_FOUND,
    )
    async def article(article_id: str, request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(article_link(article_id), status_code=307)
        found = await asyncio.to_thread(lambda: service.index.revision(article_id))
        if found is None:
            return problem(request, 404, "not_found", f"no article {article_id} in the index")
        shown, newest = found
        return JSONResponse({**article_record(shown), "link": article_link(article_id), "current_id": newest})

    @router.delete("/articles/{article_id}", summary="Remove an article", responses=_gives(Removed) | _NOT_FOUND)
    async def remove(article_id: str, request: Request) -> Response:
        if service.index.article(article_id) is None:
            return problem(request, 404, "not_found", f"no article {article_id} in the index")
        return JSONResponse({"removed": await service.remove([article_id])})

    @router.get("/status", summary="What the index holds, and who answers", responses=_gives(Holdings))
    async def status() -> Response:
        held = await asyncio.to_thread(service.index.status)
        shown = asdict(held)
        del shown["folder"]  # nobody's business
        return JSONResponse({**shown, "answerer": service.assistant.answerer, "waiting": service.line.waiting})

    @router.post(
        "/feedback", summary="Say whether an answer was right", status_code=201, responses={201: {"model": Noted}}
    )
    async def feedback(opinion: Opinion) -> Response:
        said = await asyncio.to_thread(_feedback, service, opinion)
        return JSONResponse({"id": said.id}, status_code=201)

    @router.get(
        "/feedback",
        summary="What was said about answers, or gold questions made of it",
        responses=_gives(Opinions | GoldQuestions),
    )
    async def said(form: Literal["records", "gold"] = "records") -> Response:
        records = list(await asyncio.to_thread(FeedbackBook(service.index.folder).read().records.__iter__))
        if form == "records":
            return JSONResponse({"feedback": [asdict(record) for record in records]})
        return JSONResponse(asdict(as_gold(records, service.index.article)))

    return router


def _gives(model: object, *events: str) -> dict[int | str, dict[str, Any]]:
    """Describe what a route gives that went well: JSON of ``model``, or ``events`` that end with it."""
    event = {
        "type": "object",
        "properties": {"event": {"enum": events}, "data": {"type": "string", "contentMediaType": "application/json"}},
        "required": ["event", "data"],
    }
    return {200: {"model": model, "content": {"text/event-stream": {"itemSchema": event}} if events else {}}}


def linked(answer: Answer) -> Record:
    """Give an answer with an id to name it by, and its citations with links: to our viewer, and to the live page."""
    record = answer_record(answer)
    for citation in record["citations"]:
        citation["link"] = permalink(citation["article_id"], citation["start"], citation["end"])
        citation["live"] = live_link(citation["uri"], citation["quote"])
    return {"id": uuid4().hex, **record}


async def _last(happenings: AsyncGenerator[Happening, None]) -> Answer:
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, Done):
                return happening.answer
    raise AssertionError("the last event is Done")


async def _told(happenings: AsyncGenerator[Happening, None]) -> AsyncGenerator[tuple[str, Record], None]:
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, Queued):
                yield "queued", asdict(happening)
            elif isinstance(happening, Done):
                yield "done", linked(happening.answer)
            else:
                yield event_record(happening)


async def _told_adding(
    happenings: AsyncGenerator[Fetching | Adding | Report, None],
) -> AsyncGenerator[tuple[str, Record], None]:
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, Fetching):
                yield "fetching", asdict(happening)
            elif isinstance(happening, Adding):
                yield "progress", {"bytes_done": happening.bytes_done, "bytes_total": happening.bytes_total}
            else:
                yield "done", _report_record(happening)


async def _streamed(told: AsyncGenerator[tuple[str, Record], None]) -> StreamingResponse:
    """Send events as they come; what fails before the first one is an error of HTTP's, later one an ``error`` event."""
    first = await anext(told)

    async def lines() -> AsyncIterator[str]:
        async with aclosing(told):
            yield _line(*first)
            try:
                async for name, record in told:
                    yield _line(name, record)
            except RagError as error:
                yield _line("error", {"message": str(error)})

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


def _line(name: str, record: Record) -> str:
    return f"event: {name}\ndata: {json.dumps(record)}\n\n"  # in ASCII: some clients take U+2028 for the end of a line


async def _given(request: Request) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Read what is to be indexed: files (name and contents) and addresses.

    Raises:
        RequestValidationError: it is not of the form described.
        BadRequest: there is nothing.
    """
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1000, max_fields=10) as form:
            files = [
                (upload.filename or "", await upload.read())
                for upload in form.getlist("files")
                if isinstance(upload, UploadFile)
            ]
        urls: list[str] = []
    else:
        try:
            given = Given.model_validate_json(await request.body())
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in details]) from error
        lines = [json.dumps(article.model_dump(exclude_defaults=True)) for article in given.articles]
        files = [(f"{uuid4().hex}.jsonl", "\n".join(lines).encode())] if lines else []
        urls = given.urls
    if not files and not urls:
        raise BadRequest('nothing to index: send files as multipart/form-data, or JSON with "urls" or "articles"')
    return files, urls


def _report_record(report: object) -> Record:
    assert isinstance(report, Report)  # the last of what happens
    return {
        "added": report.added,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "passages_embedded": report.passages_embedded,
        "skipped": [{"uri": readable(skipped.uri), "reason": skipped.reason} for skipped in report.skipped],
    }


def _feedback(service: Service, opinion: Opinion) -> Feedback:
    """Keep an opinion, with the quotes as the articles have them."""
    index = service.index
    quotes = []
    for cited in opinion.citations:
        found = index.revision(cited.article_id)
        if found is None or not cited.start < cited.end <= len(found[0].text):
            raise BadRequest(f"no characters {cited.start} to {cited.end} in an article {cited.article_id}")
        article, text = found[0], found[0].text
        answer = text[cited.answer_start : cited.answer_end]
        quote = text[cited.start : cited.end]
        quotes.append(Quoted(article.id, article.uri, article.title, cited.start, cited.end, quote, answer))
    said = Feedback(
        answer_id=opinion.answer_id,
        verdict=opinion.verdict,
        comment=opinion.comment,
        question=opinion.question,
        standalone=opinion.standalone or opinion.question,
        answer=opinion.answer,
        status=opinion.status,
        language=opinion.language,
        answerer=opinion.answerer,
        citations=tuple(quotes),
    )
    FeedbackBook(index.folder).add(said)
    return said
