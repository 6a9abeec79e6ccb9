"""The routes of the API: each reads a request, asks the desk once, and answers."""

import re
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from gearpy.engine.job import UNFINISHED, WAITING, JobState
from gearpy.engine.options import LABELS_MAX
from gearpy.engine.selection import JobOrder
from gearpy.errors import InvalidArgument, JobNotFound
from gearpy.protocol.codec import packed
from gearpy.protocol.content import content
from gearpy.web import models
from gearpy.web.desk import Desk, Order, Table
from gearpy.web.events import MEDIA_TYPE as EVENT_STREAM
from gearpy.web.events import Seen, Streams
from gearpy.web.problems import MEDIA_TYPE, Problem

_Function = Annotated[str | None, Query(description="A name, or a pattern like image.*")]
_States = Annotated[list[JobState] | None, Query(alias="state", description="One or more.")]
_Age = Annotated[
    float | None, Query(allow_inf_nan=False, description="Seconds since its submit, or its end.")
]
_Labels = Annotated[
    list[str] | None, Query(alias="label", description="NAME=VALUE; there may be several.")
]
_Seconds = Annotated[float | None, Query(allow_inf_nan=False)]
_Limit = Annotated[int | None, Query(description="How many, at most.")]
_Offset = Annotated[int | None, Query(description="What an answer before had as next.")]

_TRACE: Final = "traceparent"
_TRACE_FORM: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[!-~]{0,100}")

RAW: Final = re.compile(r"/api/functions/.+/jobs")  # where a body is a payload as it is

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "Why that can't be done.",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}


def answer(table: Table, status: int = HTTPStatus.OK) -> Response:
    """A table as JSON: names may hold any bytes (see ``codec.packed``)."""
    return Response(packed(table), status, media_type="application/json")


def _said(**fields: object) -> Table:
    """The fields that somebody gave a value."""
    return {name: value for name, value in fields.items() if value is not None}


def api(desk: Desk) -> APIRouter:
    """All routes."""
    router = APIRouter(prefix="/api", responses=PROBLEMS, dependencies=[Depends(_only_known)])
    _jobs(router, desk)
    _functions(router, desk)
    _schedules(router, desk)
    _server(router, desk)
    return router


async def _gone(request: Request) -> None:
    """Until the client has hung up.  The body of its request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _only_known(request: Request) -> None:
    """Raises InvalidArgument for a query that the route would not read: a wish that is misspelt is
    not left out without a word, as it is not in a body."""
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise InvalidArgument(f"{name[:80]!r} is no parameter of this request, which {takes}")


def _read_labels(texts: list[str] | None) -> dict[str, str] | None:
    """Labels as a query has them.  Raises InvalidArgument."""
    if texts is None:
        return None
    pairs = [text.partition("=") for text in texts]
    for name, sign, _ in pairs:
        if not sign:
            raise InvalidArgument(f"{name[:80]!r} is no label; write it like customer=4711")
    return {name: value for name, _, value in pairs}


def _in_trace(request: Request, order: Order) -> Order:
    """The job, with the trace of the request that submits it (W3C Trace Context), if it has one."""
    trace = request.headers.get(_TRACE, "")
    labels = order.options.get("labels") or {}
    if not _TRACE_FORM.fullmatch(trace) or _TRACE in labels or len(labels) >= LABELS_MAX:
        return order
    return replace(order, options={**order.options, "labels": {**labels, _TRACE: trace}})


async def _submit(
    desk: Desk, request: Request, wishes: models.JobWishes, function: str, data: bytes
) -> Response:
    order = _in_trace(request, wishes.order(function, data))
    if wishes.wait_s is None:
        handle = await desk.submit(order)
        location = f"/api/jobs/{quote(handle, safe=':')}"
        accepted = answer({"handle": handle, "location": location}, HTTPStatus.ACCEPTED)
        accepted.headers["Location"] = location
        return accepted
    ended = await desk.run(order, wishes.wait_s, _gone(request))
    result = content("result", ended.result, len(ended.result))
    return answer({"handle": ended.handle, "outcome": ended.outcome, **result})


_SUBMITTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": models.Result, "description": "A foreground job ended, well or badly."},
    202: {"model": models.Accepted, "description": "A background job was taken."},
}


def _jobs(router: APIRouter, desk: Desk) -> None:
    @router.post("/jobs", tags=["jobs"], status_code=202, responses=_SUBMITTED)
    async def submit(request: Request, submission: models.Submission) -> Response:
        """Has a job done: in the background, or in the foreground with ``wait_s``."""
        data = submission.payload
        return await _submit(desk, request, submission, submission.function, data)

    @router.get("/jobs", tags=["jobs"], responses={200: {"model": models.Jobs}})
    async def jobs(
        function: _Function = None,
        states: _States = None,
        unique: Annotated[str | None, Query(description="What its submit had.")] = None,
        older_than_s: _Age = None,
        younger_than_s: _Age = None,
        order: JobOrder | None = None,
        limit: _Limit = None,
        offset: _Offset = None,
    ) -> Response:
        """Jobs, unfinished ones first; without ``state`` those only.  Oldest first, or newest."""
        said = _said(
            function=function,
            states=states,
            unique=unique,
            older_than_s=older_than_s,
            younger_than_s=younger_than_s,
            order=order,
            limit=limit,
            offset=offset,
        )
        return answer(await desk.operate("jobs", **said))

    streams = Streams(desk)
    events: dict[int | str, dict[str, Any]] = {
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}
    }

    @router.get(
        "/jobs/{handle:path}/events", tags=["jobs"], responses=events, response_class=Response
    )
    async def job_events(handle: str) -> Response:
        """A job whenever it has changed, as server-sent events: ``job`` with the same JSON as a
        look at it, and ``gone`` once it has ended."""
        await desk.operate("job", handle=handle)  # a job that is not there is told as everywhere

        async def look() -> Seen | None:
            try:
                found = await desk.operate("job", handle=handle)
            except JobNotFound:
                return None
            del found["now_s"]
            job = found["job"]
            assert isinstance(job, dict), "so is its answer"
            return Seen(packed(found).decode(), job["state"] not in UNFINISHED)

        return streams.stream("job", look)

    for verb, says in (
        ("cancel", "Ends an unfinished job; its clients hear that it failed."),
        ("retry", "Runs a job now that ended badly or waits for its time."),
        ("purge", "Forgets a dead letter, or a finished job that is kept."),
    ):
        _on_jobs(router, desk, verb, says)

    @router.get("/jobs/{handle:path}", tags=["jobs"], responses={200: {"model": models.OneJob}})
    async def job(handle: str) -> Response:
        """A job: its state, progress, attempts, payload and result, as far as they are kept."""
        return answer(await desk.operate("job", handle=handle))


def _on_jobs(router: APIRouter, desk: Desk, verb: str, says: str) -> None:
    answers: dict[int | str, dict[str, Any]] = {200: {"model": models.Count}}

    async def on_one(handle: str) -> Response:
        return answer(await desk.operate(verb, handle=handle))

    async def on_many(selection: models.Selection) -> Response:
        return answer(await desk.operate(verb, **selection.model_dump(exclude_none=True)))

    router.post(
        f"/jobs/{verb}",
        tags=["jobs"],
        name=f"{verb}_jobs",
        description=f"{says}  The same with all that are meant, a thousand at a time.",
        responses=answers,
    )(on_many)
    router.post(
        f"/jobs/{{handle:path}}/{verb}",
        tags=["jobs"],
        name=f"{verb}_job",
        description=says,
        responses=answers,
    )(on_one)


def _functions(router: APIRouter, desk: Desk) -> None:
    @router.get("/functions", tags=["functions"], responses={200: {"model": models.Functions}})
    async def functions(
        function: _Function = None, limit: _Limit = None, offset: _Offset = None
    ) -> Response:
        """Functions with their jobs, workers, counts and policies."""
        said = _said(function=function, limit=limit, offset=offset)
        return answer(await desk.operate("functions", **said))

    @router.post(
        "/functions/{function:path}/jobs",
        tags=["jobs"],
        status_code=202,
        responses=_SUBMITTED,
        openapi_extra={
            "requestBody": {
                "description": "The payload, as it is.",
                "content": {"application/octet-stream": {}},
            }
        },
    )
    async def submit_raw(
        request: Request,
        function: str,
        unique: str = "",
        priority: models.PriorityName = "normal",
        delay_s: _Seconds = None,
        attempts: int | None = None,
        timeout_s: _Seconds = None,
        expires_s: _Seconds = None,
        callback: Annotated[str | None, Query(description="A URL that is told its end.")] = None,
        labels: _Labels = None,
        wait_s: Annotated[float | None, Query(gt=0, le=models.WAIT_S_MAX)] = None,
    ) -> Response:
        """Has a job done whose payload is the body of the request."""
        wishes = models.JobWishes(
            unique=unique,
            priority=priority,
            delay_s=delay_s,
            attempts=attempts,
            timeout_s=timeout_s,
            expires_s=expires_s,
            callback=callback,
            labels=_read_labels(labels),
            wait_s=wait_s,
        )
        return await _submit(desk, request, wishes, function, await request.body())

    for verb, says in (
        ("pause", "Gives out no jobs of the function any more."),
        ("drain", "Takes no new jobs of the function any more."),
        ("resume", "Takes jobs and gives them out again."),
    ):
        _on_functions(router, desk, verb, says)

    @router.post(
        "/functions/{function:path}/clear",
        tags=["functions"],
        responses={200: {"model": models.Count}},
    )
    async def clear(function: str) -> Response:
        """Cancels the jobs that wait, a thousand at a time: again while ``next`` is not null."""
        return answer(await desk.operate("cancel", function=function, states=[*WAITING]))

    policy_path = "/functions/{function:path}/policy"

    @router.get(policy_path, tags=["policies"], responses={200: {"model": models.OnePolicy}})
    async def policy(function: str) -> Response:
        """The policy that counts for a function, patterns included."""
        return answer(await desk.operate("policy", function=function))

    @router.put(policy_path, tags=["policies"], responses={200: {"model": models.PolicySet}})
    async def set_policy(function: str, policy: models.PolicyTable) -> Response:
        """Sets the policy of a function, or of all that match a pattern."""
        table = policy.model_dump(exclude_none=True)
        return answer(await desk.operate("set-policy", function=function, policy=table))

    @router.delete(policy_path, tags=["policies"], responses={200: {"model": models.PolicySet}})
    async def take_back_policy(function: str) -> Response:
        """Takes a policy back; what the settings say counts again."""
        return answer(await desk.operate("set-policy", function=function, policy=None))

    @router.get("/policies", tags=["policies"], responses={200: {"model": models.Policies}})
    async def policies() -> Response:
        """All policies, and where they come from."""
        return answer(await desk.operate("policies"))


def _on_functions(router: APIRouter, desk: Desk, verb: str, says: str) -> None:
    async def on_function(function: str) -> Response:
        return answer(await desk.operate(verb, function=function))

    router.post(
        f"/functions/{{function:path}}/{verb}",
        tags=["functions"],
        name=f"{verb}_function",
        description=f"{says}  A pattern means all functions that match it.",
        responses={200: {"model": models.Steered}},
    )(on_function)


def _schedules(router: APIRouter, desk: Desk) -> None:
    @router.get("/schedules", tags=["schedules"], responses={200: {"model": models.Schedules}})
    async def schedules(limit: _Limit = None, offset: _Offset = None) -> Response:
        """Schedules, how far they have come, and when they fire next."""
        return answer(await desk.operate("schedules", **_said(limit=limit, offset=offset)))

    path = "/schedules/{name}"

    @router.get(path, tags=["schedules"], responses={200: {"model": models.OneSchedule}})
    async def schedule(name: str) -> Response:
        """A schedule, with its next five ticks."""
        return answer(await desk.operate("schedule", name=name))

    changed: dict[int | str, dict[str, Any]] = {200: {"model": models.ScheduleSet}}

    @router.put(path, tags=["schedules"], responses=changed)
    async def set_schedule(name: str, schedule: models.ScheduleTable) -> Response:
        """Sets a schedule, in place of one with this name."""
        table = schedule.model_dump(exclude_none=True)
        return answer(await desk.operate("set-schedule", name=name, schedule=table))

    @router.delete(path, tags=["schedules"], responses=changed)
    async def take_back_schedule(name: str) -> Response:
        """Takes a schedule back; what the settings say under its name counts again."""
        return answer(await desk.operate("set-schedule", name=name, schedule=None))

    for verb, says, model in (
        ("run", "Submits its job now, beside its ticks.", models.Handle),
        ("pause", "Has it fire no more.", models.SchedulePaused),
        ("resume", "Has it fire again, from its next tick on.", models.SchedulePaused),
    ):
        _on_schedule(router, desk, verb, says, model)


def _on_schedule(
    router: APIRouter, desk: Desk, verb: str, says: str, model: type[BaseModel]
) -> None:
    async def on_schedule(name: str) -> Response:
        return answer(await desk.operate(f"{verb}-schedule", name=name))

    router.post(
        f"/schedules/{{name}}/{verb}",
        tags=["schedules"],
        name=f"{verb}_schedule",
        description=says,
        responses={200: {"model": model}},
    )(on_schedule)


def _server(router: APIRouter, desk: Desk) -> None:
    @router.get("/workers", tags=["server"], responses={200: {"model": models.Workers}})
    async def workers(
        group: str | None = None, limit: _Limit = None, offset: _Offset = None
    ) -> Response:
        """The connections of workers: what they can do, and what they run."""
        said = _said(group=group, limit=limit, offset=offset)
        return answer(await desk.operate("workers", **said))

    @router.post("/workers/{peer}/drop", tags=["server"], responses={200: {"model": models.Peer}})
    async def drop_worker(peer: str) -> Response:
        """Closes a worker's connection; what it holds is given to others at once."""
        return answer(await desk.operate("drop-worker", peer=peer))

    @router.get("/statistics", tags=["server"], responses={200: {"model": models.ServerTable}})
    async def statistics() -> Response:
        """The server, and what it counted since its start."""
        return answer(await desk.operate("server"))
