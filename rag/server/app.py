"""One process with all doors: the page, the JSON API, the OpenAI-compatible API, MCP, the article viewer."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

import ui
from index.article_index import ArticleIndex
from index.errors import BadRequest, IndexProblem
from rag.server.api import api
from rag.server.examples import examples
from rag.server.guard import Guard, warnings
from rag.server.mcp_door import http_app, mcp_server
from rag.server.monitoring import Monitor, configure_logging
from rag.server.openai_door import openai_router
from rag.server.problems import handle_problems, problem
from rag.server.reading_room import reading_room
from rag.server.script_policy import ScriptPolicy
from rag.server.service import Service
from rag.settings import Settings

STATIC = Path(__file__).parent / "static"
_GRACE = 20  # seconds that answers begun may take to end when the server is stopped


def create_app(service: Service, secret: bytes) -> ASGIApp:
    """Put the doors together; sessions are signed with ``secret``."""
    door_of_mcp = http_app(mcp_server(service))

    async def find_examples() -> None:
        service.examples = [question async for question in examples(service)]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with door_of_mcp.router.lifespan_context(door_of_mcp):
            finding = asyncio.create_task(find_examples())
            yield
            finding.cancel()
        await service.close()

    app = FastAPIOffline(
        title="rag: ask questions of your own articles",
        version=version("rag-articles"),
        redoc_url=None,
        lifespan=lifespan,
    )
    handle_problems(app)
    monitor = Monitor(
        Guard(ScriptPolicy(app), service.settings, secret),
        waiting=lambda: service.line.waiting,
        articles=lambda: service.index.listing(limit=0)[0],
        passages=lambda: service.index.count_passages(),
    )
    service.answered = lambda answer: monitor.answered(answer, service.settings.log_questions)
    for router in (api(service), openai_router(service), reading_room(service), _health(service, monitor)):
        app.include_router(router)
    app.router.routes.extend(door_of_mcp.routes)
    for closed in ("/v1", "/gradio_api/runs", "/gradio_api/deep_link", "/gradio_api/dev"):  # what the page does not use
        app.mount(closed, _refusal(app))
    app.mount("/rag-static", StaticFiles(directory=STATIC))
    ui.mount(app, service)  # last: it takes every path that is left
    return monitor


def _refusal(app: FastAPI) -> ASGIApp:
    """Give what answers under a prefix where no route of ``app`` does: with 404 or 405, and not with the page."""
    routes = list(app.routes)

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        here = {**scope, "root_path": scope["app_root_path"]}
        taken = [
            method
            for method in ("GET", "POST", "DELETE")
            if any(route.matches({**here, "method": method})[0] is Match.FULL for route in routes)
        ]
        raise HTTPException(405, headers={"Allow": ", ".join(taken)}) if taken else HTTPException(404)

    return refuse


def _health(service: Service, monitor: Monitor) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        try:
            await asyncio.to_thread(lambda: service.index.count_passages())
        except IndexProblem as error:
            return problem(request, 503, "index_problem", str(error))
        return JSONResponse({"status": "ready"})

    @router.get("/metrics")
    async def metrics() -> Response:
        body, content_type = await asyncio.to_thread(monitor.exposition)
        return Response(body, media_type=content_type)

    return router


def serve(settings: Settings, say: Callable[[str], None], show: Callable[[str], None]) -> None:
    """Serve until stopped by SIGINT or SIGTERM; what is being answered or indexed then is done to its end.

    Args:
        settings: where to listen, who may enter, which index; if there is none yet, an empty one is made.
        say: told what the user should know.
        show: given the page's address once it can be opened.

    Raises:
        RagError: the index cannot be opened, or the address not be listened on.
    """
    configure_logging()
    listening = _listening(settings.host, settings.port)  # first: to load the models takes seconds
    if not settings.index.exists():
        ArticleIndex.open(settings.index, settings.embedder or None, create=True).close()
    service = Service(settings)
    app = create_app(service, _secret(service.index.folder))
    for warning in warnings(settings):
        say(f"Warning: {warning}")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    show(f"http://{host}:{listening.getsockname()[1]}")
    config = uvicorn.Config(
        app, log_config=None, server_header=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again at the end: to be stopped is no failure
    uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise BadRequest(f"cannot listen on {host}:{port} ({why}): try another --port, or 0") from error


def _secret(folder: Path) -> bytes:
    """Give what sessions are signed with: made once, so that they outlast the server."""
    path, part = folder / "server-secret", folder / f".server-secret-{os.getpid()}"
    try:
        if not path.exists():
            part.touch(mode=0o600)
            part.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):  # another process was quicker
                os.link(part, path)
            part.unlink()
        return path.read_bytes()
    except OSError as error:
        raise IndexProblem(f"cannot write to {folder}: {error.strerror or error}") from error
