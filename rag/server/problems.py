"""Errors as every door sends them: one JSON form, with a status that tells clients what to do."""

import logging
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from index.errors import BadRequest, ChatModelFailed, IndexLocked, IndexProblem, ModelUnavailable, RagError, TooBusy

_STATUS: dict[type[RagError], tuple[int, str]] = {  # the first that fits
    BadRequest: (400, "bad_request"),
    TooBusy: (429, "too_busy"),
    ChatModelFailed: (502, "chat_model_failed"),
    IndexLocked: (503, "index_locked"),
    IndexProblem: (503, "index_problem"),
    ModelUnavailable: (503, "model_unavailable"),
    RagError: (400, "bad_request"),
}
_SOON = 5  # seconds after which another process may have finished writing

log = logging.getLogger("rag.server")


def problem(request: Request, status: int, kind: str, message: str, retry_after: int | None = None) -> JSONResponse:
    """Give an error as a response."""
    body = {"error": {"type": kind, "message": message, "request_id": getattr(request.state, "request_id", "")}}
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse(body, status, headers)


def handle_problems(app: FastAPI) -> None:
    """Have every error of ``app`` sent in this form."""

    async def ours(request: Request, error: Exception) -> Response:
        status, kind = next(known for cause, known in _STATUS.items() if isinstance(error, cause))
        retry_after = error.retry_after if isinstance(error, TooBusy) else _SOON if kind == "index_locked" else None
        return problem(request, status, kind, str(error), retry_after)

    async def of_form(request: Request, error: Exception) -> Response:
        first = cast(RequestValidationError, error).errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(request, 422, "invalid", f"{where}: {first['msg']}")

    async def of_http(request: Request, error: Exception) -> Response:
        known = cast(HTTPException, error)
        response = problem(request, known.status_code, HTTPStatus(known.status_code).name.lower(), str(known.detail))
        response.headers.update(known.headers or {})
        return response

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return problem(request, 500, "internal", "an error of the server's; its log has more under this request_id")

    app.add_exception_handler(RagError, ours)
    app.add_exception_handler(RequestValidationError, of_form)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, unexpected)
