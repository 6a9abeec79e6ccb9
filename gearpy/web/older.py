"""What clients of older PHP queue servers ask for: ``/jobs/add`` and ``/jobs/status``.

A job is a request or a command there, and what follows when it is done is another one.  Here both
are errands, for the workers of ``gearpy worker --http`` and ``gearpy worker --exec``.
"""

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from gearpy.engine.job import COMPLETED, DELAYED, QUEUED, RETRYING, RUNNING
from gearpy.errands import orders
from gearpy.errands.orders import (
    EXEC_FUNCTION,
    HTTP_FUNCTION,
    read_command,
    read_request,
    split_command,
)
from gearpy.errors import BadErrand, InvalidArgument
from gearpy.protocol.codec import decoded
from gearpy.protocol.content import content, read_content
from gearpy.web.api import PROBLEMS, answer
from gearpy.web.desk import Desk, Order, Table

_ID: Final = "__JOBID__"  # stands for the job's number, in its command and in what follows it
_FUNCTIONS: Final = (HTTP_FUNCTION, EXEC_FUNCTION)
_OUTPUT_BYTES_MAX: Final = 1 << 20


_Timeout = Annotated[
    Annotated[float, Field(gt=0, le=orders.TIMEOUT_S_MAX)] | None, Field(description="Seconds.")
]


class _Given(BaseModel):
    """Null is what is not said: these clients send all fields, and others, too."""

    model_config = ConfigDict(extra="ignore")


class Http(_Given):
    """A request."""

    type: Literal["http"]
    url: str
    method: str | None = Field(default=None, description="GET, if it is not said.")
    timeout: _Timeout = None
    params: dict[str, Any] | list[Any] | None = Field(
        default=None, description="In the query of a GET, else as a form."
    )

    def errand(self, number: int) -> tuple[str, bytes]:
        """The function and the payload of its job, or of the one that follows job ``number``."""
        # Through JSON, so that names, values and what they hold are all met.
        table = {
            "url": self.url,
            "method": self.method or "GET",
            "params": self.params or None,
            "timeout_s": self.timeout or orders.TIMEOUT_S,
        }
        try:
            text = json.dumps(table).replace(_ID, str(number))
        except RecursionError:
            raise BadErrand("params is no object of texts, numbers and lists of them") from None
        return HTTP_FUNCTION, read_request(text.encode()).payload()


class Exec(_Given):
    """A command, by a name that the worker knows, with arguments behind it."""

    type: Literal["exec"]
    cmd: str
    timeout: _Timeout = None

    def errand(self, number: int) -> tuple[str, bytes]:
        """The function and the payload of its job, or of the one that follows job ``number``."""
        name, arguments = split_command(self.cmd.replace(_ID, str(number)))
        timeout_s = self.timeout or orders.TIMEOUT_S
        command = orders.Command(name=name, arguments=arguments, timeout_s=timeout_s)
        return EXEC_FUNCTION, read_command(command.payload()).payload()


class Added(_Given):
    """A job to be done."""

    command: Http | Exec = Field(discriminator="type")
    priority: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="More is more urgent; 500, if it is not said."
    )
    context: str | None = Field(default=None, description="Whose job it is: a label of it.")
    callback_done: Http | Exec | None = Field(
        default=None, discriminator="type", description="What follows its end, good or bad."
    )

    def order(self, number: int) -> Order:
        """The job with this number.  Raises InvalidArgument."""
        options: dict[str, Any] = {
            "priority": _level(500 if self.priority is None else self.priority)
        }
        if self.context:
            options["labels"] = {"context": self.context}
        try:
            function, payload = self.command.errand(number)
            if self.callback_done is not None:
                follows, its_payload = self.callback_done.errand(number)
                options["callback"] = {"function": follows, "data": decoded(its_payload)}
        except BadErrand as error:
            raise InvalidArgument(str(error)) from None
        return Order(function=function, payload=payload, options=options)


def _level(priority: int) -> str:
    """One of gearpy's levels.

    >>> [_level(priority) for priority in (0, 249, 250, 500, 749, 750, 999, 1000)]
    ['low', 'low', 'normal', 'normal', 'normal', 'high', 'high', 'critical']
    """
    if priority == 1000:
        return "critical"
    return "high" if priority >= 750 else "normal" if priority >= 250 else "low"


class Id(BaseModel):
    """The job's number, which is the one at the end of its handle."""

    id: int


class Answer(BaseModel):
    """A job was added."""

    status: Literal[200]
    data: Id


class Threads(BaseModel):
    """How many jobs there are, and how many can run at a time."""

    waiting: int
    working: int
    max_threads: int
    free_threads: int


class Busy(BaseModel):
    """How busy the workers for errands are."""

    status: Literal[200]
    data: Threads


class AddedJob(BaseModel):
    """A job that was added.  ``output`` is what its command wrote, or the body of the answer to its
    request."""

    id: int
    handle: str
    state: Literal["waiting", "working", "done", "failed"]
    context: str
    priority: str
    attempts: int
    created: float = Field(description="Seconds since the epoch.")
    changed: float
    error: str
    output: str | None
    output_base64: str | None = None
    output_cut: bool = Field(default=False, description="There is more than is shown here.")
    stderr: str | None = None
    stderr_base64: str | None = None
    exit_code: int | None = None
    http_status: int | None = None


class OneAddedJob(BaseModel):
    """What became of a job."""

    status: Literal[200]
    data: AddedJob


_STATES: Final[dict[str, str]] = {
    QUEUED: "waiting",
    DELAYED: "waiting",
    RETRYING: "waiting",
    RUNNING: "working",
    COMPLETED: "done",
}  # all others: failed


class _AnyType(APIRoute):
    """A route whose body is JSON whatever its client says: curl, and so PHP, calls it a form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def as_json(request: Request) -> Response:
            headers = [each for each in request.scope["headers"] if each[0] != b"content-type"]
            scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
            return await handle(Request(scope, request.receive))

        return as_json


def older(desk: Desk) -> APIRouter:
    """These routes.  The page's own under ``/jobs`` must come behind them."""
    router = APIRouter(
        prefix="/jobs", tags=["for older clients"], route_class=_AnyType, responses=PROBLEMS
    )

    @router.post("/add", responses={200: {"model": Answer}})
    async def add(added: Added) -> Response:
        """Has a request or a command done, whatever media type its client says that it sends."""
        return _answer({"id": await desk.submit_numbered(added.order)})

    @router.get("/add", include_in_schema=False)
    async def not_added() -> Response:
        """Or else it would be asked for the page of a job that is called so."""
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)

    @router.get("/status", responses={200: {"model": Busy}})
    async def status() -> Response:
        """How busy the workers for errands are."""
        waiting = working = 0
        for name in _FUNCTIONS:
            function = desk.function(name)
            if function is not None:
                working += function.running
                waiting += function.total - function.running
        threads = await _threads(desk)
        return _answer(
            {
                "waiting": waiting,
                "working": working,
                "max_threads": threads,
                "free_threads": max(0, threads - working),
            }
        )

    @router.get("/status/{number}", responses={200: {"model": OneAddedJob}})
    async def job(number: int) -> Response:
        """What became of a job."""
        found = await desk.operate("job", handle=desk.handle(number))
        row = found["job"]
        assert isinstance(row, dict), "so is its answer"
        return _answer(_job(number, row))

    return router


def _answer(data: Table) -> Response:
    return answer({"status": 200, "data": data})


async def _threads(desk: Desk) -> int:
    """How many errands can be done at a time.  What is no worker of ours does one."""
    threads = 0
    offset: object = 0
    while offset is not None:
        found = await desk.operate("workers", offset=offset)
        rows = found["workers"]
        assert isinstance(rows, list), "so is its answer"
        for row in rows:
            if any(name in row["functions"] for name in _FUNCTIONS):
                places = (row["state"] or {}).get("concurrency")
                threads += max(places, 1) if isinstance(places, int) else 1
        offset = found["next"]
    return threads


def _job(number: int, row: Table) -> Table:
    labels = row.get("labels")
    table: Table = {
        "id": number,
        "handle": row["handle"],
        "state": _STATES.get(str(row["state"]), "failed"),
        "context": labels.get("context", "") if isinstance(labels, dict) else "",
        "priority": row["priority"],
        "attempts": row["attempts"],
        "created": row["created_s"],
        "changed": row["since_s"],
        "error": row.get("error", ""),
        "output": None,
    }
    if row.get("result_cut") and row["function"] in _FUNCTIONS:
        return table | {"output_cut": True}  # nobody could read the rest of it
    return table | _output(row["function"], read_content("result", row))


def _output(function: object, result: bytes | None) -> Table:
    """What a job gave, from its result."""
    if not result:
        return {}
    report = _report(result) if function in _FUNCTIONS else None
    if report is None:
        return content("output", result, _OUTPUT_BYTES_MAX)  # somebody else's worker did it
    table: Table = {}
    for name, field in (
        ("exit_code", "exit_code"),
        ("status", "http_status"),
        ("stdout", "output"),
        ("stdout_base64", "output_base64"),
        ("body", "output"),
        ("body_base64", "output_base64"),
        ("stderr", "stderr"),
        ("stderr_base64", "stderr_base64"),
    ):
        if name in report:
            table[field] = report[name]
    return table


def _report(result: bytes) -> Table | None:
    """The result of an errand, if it is one."""
    try:
        report = json.loads(result)
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(report, dict) and ("exit_code" in report or "status" in report)
    return report if is_one else None
