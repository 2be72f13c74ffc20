"""The article viewer's routes: articles with a passage marked, and what was left out of them."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from index.kept import beside, source_of
from rag.links import article_link
from rag.server.interface import language_of
from rag.server.service import Service
from rag.server.viewer import CONTENT_SECURITY_POLICY, Theme, article_page, cleaned_page, not_found_page

Offset = Annotated[int | None, Query(ge=0, le=1_000_000_000)]


def reading_room(service: Service) -> APIRouter:
    """Give the routes under ``/articles``, which answer with pages for people."""
    router = APIRouter(prefix="/articles", include_in_schema=False)

    @router.get("/{article_id}")
    async def article(
        request: Request,
        article_id: str,
        start: Offset = None,
        end: Offset = None,
        panel: bool = False,
        theme: Theme | None = None,
    ) -> HTMLResponse:
        language = language_of(request.headers.get("accept-language", ""))
        found = await asyncio.to_thread(lambda: service.index.revision(article_id))
        if found is None:
            return _page(not_found_page(language, theme), 404)
        shown, current = found
        span = None if start is None or end is None else (start, end)
        newer = article_link(current) if current and current != shown.id else None
        cleaning = None if newer else f"{article_link(shown.id)}/cleaned"
        return _page(article_page(shown, span, language, newer, panel, theme, cleaning))

    @router.get("/{article_id}/cleaned")
    async def cleaned(request: Request, article_id: str, theme: Theme | None = None) -> HTMLResponse:
        language = language_of(request.headers.get("accept-language", ""))
        return await asyncio.to_thread(_cleaned, service, article_id, language, theme)

    return router


def _cleaned(service: Service, article_id: str, language: Literal["en", "ru"], theme: Theme | None) -> HTMLResponse:
    article = service.index.article(article_id)
    if article is None:
        return _page(not_found_page(language, theme), 404)
    source = source_of(*service.index.uri_and_origin(article_id))
    blocks = None if source is None else beside(source, article)
    return _page(cleaned_page(article, blocks, language, theme))


def _page(html: str, status: int = 200) -> HTMLResponse:
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
    return HTMLResponse(html, status, headers)
