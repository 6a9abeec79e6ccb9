"""What went wrong, as ``application/problem+json`` (RFC 9457): a sentence, and a code to act on."""

from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from gearpy.errors import (
    ArgumentTooLarge,
    FunctionDraining,
    JobNotFound,
    JournalFull,
    PayloadTooLarge,
    PeerError,
    QueueFull,
    ScheduleNotFound,
    ShuttingDown,
    TooManyFunctions,
    WorkerNotFound,
)
from gearpy.protocol.codec import packed
from gearpy.web.desk import ClientGone, NotInTime, ResultTooLarge
from gearpy.web.sentences import sentence

MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final[dict[type[PeerError], HTTPStatus]] = {
    ArgumentTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    JobNotFound: HTTPStatus.NOT_FOUND,
    ScheduleNotFound: HTTPStatus.NOT_FOUND,
    WorkerNotFound: HTTPStatus.NOT_FOUND,
    FunctionDraining: HTTPStatus.CONFLICT,
    QueueFull: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyFunctions: HTTPStatus.SERVICE_UNAVAILABLE,
    ShuttingDown: HTTPStatus.SERVICE_UNAVAILABLE,
    JournalFull: HTTPStatus.INSUFFICIENT_STORAGE,
}

_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_CLIENT_GONE: Final = 499  # as nginx has it in its log


class Problem(BaseModel):
    """Why a request could not be granted."""

    status: int = Field(description="The HTTP status.")
    title: str = Field(description="What the HTTP status says.")
    detail: str = Field(description="A sentence for the person who reads it.")
    code: str = Field(description="A word for the program that reads it, as in Gearman's ERROR.")
    handle: str | None = Field(
        default=None, description="The job that it is about, where there is one."
    )


def status_of(error: PeerError) -> HTTPStatus:
    """The HTTP status of what the engine or the operations refuse."""
    return _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)


def problem(status: int, detail: str, code: str = "", **more: str) -> Response:
    """The response that says so."""
    known = HTTPStatus(status)
    code = code or known.name
    table = {"status": status, "title": known.phrase, "detail": detail, "code": code, **more}
    return Response(packed(table), status, media_type=MEDIA_TYPE)


def tell_problems(app: FastAPI) -> None:
    """Has everything that goes wrong in an application told as a problem."""

    @app.exception_handler(PeerError)
    async def refused(request: Request, error: PeerError) -> Response:
        return problem(status_of(error), str(error), error.code.decode())

    @app.exception_handler(NotInTime)
    async def not_in_time(request: Request, error: NotInTime) -> Response:
        became = "its worker goes on with it" if error.runs else "nobody had begun it"
        detail = (
            f"the job did not end in the time that you wanted to wait; {became}, and nobody waits"
            " for it now"
        )
        return problem(HTTPStatus.GATEWAY_TIMEOUT, detail, "NOT_IN_TIME", handle=error.handle)

    @app.exception_handler(ResultTooLarge)
    async def result_too_large(request: Request, error: ResultTooLarge) -> Response:
        return problem(HTTPStatus.BAD_GATEWAY, str(error), "RESULT_TOO_LARGE", handle=error.handle)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(HTTPStatus.BAD_REQUEST, sentence(error.errors()), "INVALID_ARGUMENT")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = _about(error.status_code, request) or error.detail
        code = "INVALID_ARGUMENT" if error.status_code == HTTPStatus.BAD_REQUEST else ""
        answer = problem(error.status_code, detail, code)
        answer.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(_allowed(app, request))
        return answer

    @app.exception_handler(ClientGone)
    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=_CLIENT_GONE)  # which nobody reads

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        # It goes on to uvicorn, which logs it: whoever made the request could do nothing with it.
        detail = "this request met a bug of the server; its log says more"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """The other methods that a path takes.  Starlette knows those of the first route alone."""
    return [
        method
        for method in _METHODS
        if method != request.method
        and any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    ]


def _about(status: int, request: Request) -> str:
    if status == HTTPStatus.BAD_REQUEST:
        return "the body can't be read as JSON"
    if status == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.url.path}; /api says what there is"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.url.path} does not take {request.method}; /api says what it takes"
    return ""
