"""The page for people: rendered here, and sent anew while it is looked at.

Each view is a coroutine that makes values for its template.  Whoever asks for a view as an event
stream, as the page itself does once it is open, is sent the template's block ``live`` whenever it
has changed.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape

from gearpy.engine.job import DEAD, FINISHED, UNFINISHED
from gearpy.engine.statistics import QueueStatistics
from gearpy.errors import InvalidArgument, PeerError
from gearpy.priority import Priority
from gearpy.web import views
from gearpy.web.desk import Desk, Table
from gearpy.web.events import MEDIA_TYPE, Seen, Streams
from gearpy.web.problems import status_of

Values = dict[str, Any]
View = Callable[[Request], Awaitable[Values]]

_VIEWS: Final = (
    ("/", "functions"),
    ("/jobs", "jobs"),
    ("/dead", "dead letters"),
    ("/workers", "workers"),
    ("/schedules", "schedules"),
    ("/policies", "policies"),
    ("/audit", "what was done"),
)
_ROWS: Final = 50
_STATES: Final = (*UNFINISHED, DEAD, *FINISHED)
_NEVER_CACHE: Final = {"Cache-Control": "no-store", "Vary": "Accept"}
_STRICT: Final = {
    **_NEVER_CACHE,
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
}

# What the page can do: the operator's verb, and how it asks first.
_ACTIONS: Final[dict[str, tuple[str, str]]] = {
    "cancel": ("cancel", "This ends {what}; whoever waits hears that it failed."),
    "retry": ("retry", "This runs {what} again, with all attempts anew."),
    "purge": ("purge", "This forgets {what} for good."),
    "pause": ("pause", "No job of {what} is given out until you resume it."),
    "drain": ("drain", "No new job of {what} is taken until you resume it."),
    "resume": ("resume", "Jobs of {what} are taken and given out again."),
    "clear": ("cancel", "This cancels all jobs of {what} that wait."),
    "drop-worker": (
        "drop-worker",
        "This closes the connection of the worker at {what}; what it holds is given to others.",
    ),
    "run-schedule": ("run-schedule", "This submits the job of {what} now."),
    "pause-schedule": ("pause-schedule", "The schedule {what} fires no more until you resume it."),
    "resume-schedule": ("resume-schedule", "The schedule {what} fires from its next tick on."),
    "set-schedule": ("set-schedule", "From now on the schedule {what} is: {schedule}"),
    "set-policy": ("set-policy", "From now on this policy counts for {what}: {policy}"),
}
_SETTING: Final = {"set-policy": "policy", "set-schedule": "schedule"}
_ON_JOBS: Final = frozenset({"cancel", "retry", "purge"})
_INSIDE: Final = re.compile(r"/(?![/\\])[!-~]*")  # a path of this server
_WAITING: Final = ["queued", "delayed", "retrying"]


def page(desk: Desk) -> APIRouter:
    """All views, and what can be done from them."""
    router = APIRouter(include_in_schema=False)
    shower = _Shower(desk)
    looks = _Looks(desk)
    for path, template, view in (
        ("/", "functions", looks.functions),
        ("/functions/{function:path}", "function", looks.function),
        ("/jobs", "jobs", looks.jobs),
        ("/jobs/{handle:path}", "job", looks.job),
        ("/dead", "jobs", looks.dead),
        ("/workers", "workers", looks.workers),
        ("/schedules", "schedules", looks.schedules),
        ("/policies", "policies", looks.policies),
        ("/audit", "audit", looks.audit),
    ):
        router.add_route(path, shower.handler(f"{template}.html", view), methods=["GET"])
    router.add_route("/do/{verb}", shower.act, methods=["POST"])
    return router


@final
class _Looks:
    """What each view shows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def functions(self, request: Request) -> Values:
        desk = self._desk
        pattern = request.query_params.get("function", "")
        asked = _pattern(pattern)
        offset = _offset(request)
        names = await desk.operate("functions", function=asked, limit=_ROWS, offset=offset)
        rows = [self._row(str(row["function"])) for row in _rows(names, "functions")]
        statistics = desk.statistics()
        return {
            "pattern": pattern,
            "rows": [row for row in rows if row is not None],
            "server": statistics.engine,
            "connections": statistics.sessions,
            **_pages(request, names),
        }

    def _row(self, name: str) -> Values | None:
        function = self._desk.function(name)
        if function is None:
            return None
        priorities = zip(Priority, function.queued, strict=True)
        return {
            "name": name,
            "function": function,
            "priorities": ", ".join(f"{each.name.lower()} {number}" for each, number in priorities),
            "oldest_s": self._oldest_s(function),
            "minutes": self._desk.minutes(name),
            "success": _success(function),
        }

    def _oldest_s(self, function: QueueStatistics) -> float | None:
        since_s = function.oldest_queued_s
        return None if since_s is None else max(0.0, self._desk.now_s() - since_s)

    async def function(self, request: Request) -> Values:
        name = str(request.path_params["function"])
        function = self._desk.function(name)
        if function is None:
            raise NotHere(f"there is no function {name}")
        policy = await self._desk.operate("policy", function=name)
        return {
            "name": name,
            "function": function,
            "priorities": [priority.name.lower() for priority in Priority],
            "oldest_s": self._oldest_s(function),
            "minutes": self._desk.minutes(name),
            "success": _success(function),
            "policy": json.dumps(policy["policy"], indent=2) if policy["policy"] else "",
        }

    async def jobs(self, request: Request) -> Values:
        state = request.query_params.get("state", "")
        return await self._jobs(request, "Jobs", [state] if state else list(UNFINISHED))

    async def dead(self, request: Request) -> Values:
        return await self._jobs(request, "Dead letters", [DEAD], dead=True)

    async def _jobs(
        self, request: Request, heading: str, states: list[str], dead: bool = False
    ) -> Values:
        names = ("handle", "function", "unique", "state", "older_than_s")
        asked = {name: request.query_params.get(name, "").strip() for name in names}
        if asked["handle"]:
            raise Elsewhere(views.path_of("jobs", asked["handle"]))
        wanted: Table = {name: asked[name] for name in ("function", "unique") if asked[name]}
        if asked["older_than_s"]:
            wanted["older_than_s"] = _seconds(asked["older_than_s"])
        found = await self._desk.operate(
            "jobs", states=states, limit=_ROWS, offset=_offset(request), **wanted
        )
        return {
            "heading": heading,
            "dead": dead,
            "asked": asked,
            "states": _STATES,
            "jobs": found["jobs"],
            "now_s": found["now_s"],
            **_pages(request, found),
        }

    async def job(self, request: Request) -> Values:
        found = await self._desk.operate("job", handle=str(request.path_params["handle"]))
        job = found["job"]
        assert isinstance(job, dict), "so is its answer"
        payload, result = views.shown(job, "payload"), views.shown(job, "result")
        return {"job": job, "now_s": found["now_s"], "payload": payload, "result": result}

    async def workers(self, request: Request) -> Values:
        found = await self._desk.operate("workers", limit=_ROWS, offset=_offset(request))
        return {"workers": found["workers"], "now_s": found["now_s"], **_pages(request, found)}

    async def schedules(self, request: Request) -> Values:
        found = await self._desk.operate("schedules", limit=_ROWS, offset=_offset(request))
        return {"schedules": found["schedules"], **_pages(request, found)}

    async def policies(self, request: Request) -> Values:
        return dict(await self._desk.operate("policies"))

    async def audit(self, request: Request) -> Values:
        return {"entries": self._desk.audit.entries()[:_ROWS]}


class NotHere(Exception):
    """There is nothing to show; the words say what is missing."""


class Elsewhere(Exception):
    """What is asked for has a page of its own."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@final
class _Shower:
    """Renders views, keeps them up to date, and carries out what is asked for in them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._streams = Streams(desk)
        self._templates = _environment()

    def handler(self, template: str, view: View) -> Callable[[Request], Awaitable[Response]]:
        """What answers requests for a view."""

        async def handle(request: Request) -> Response:
            if MEDIA_TYPE in request.headers.get("accept", ""):
                return self._stream(request, template, view)
            try:
                return self._page(request, template, await view(request))
            except Elsewhere as elsewhere:
                return RedirectResponse(elsewhere.path, HTTPStatus.SEE_OTHER)
            except (PeerError, NotHere) as error:
                return self._problem(request, error)

        return handle

    def _page(
        self, request: Request, template: str, values: Values, status: int = HTTPStatus.OK
    ) -> Response:
        values = self._common(request) | values
        text = self._templates.get_template(template).render(values)
        return HTMLResponse(_encoded(text), status, headers=_STRICT)

    def _common(self, request: Request) -> Values:
        path = request.url.path
        query = f"?{request.url.query}" if request.url.query else ""
        return {
            "views": _VIEWS,
            "here": path,
            "back": path + query,
            "done": self._desk.audit.just_done(self._desk.now_s()),
        }

    def _problem(self, request: Request, error: Exception, back: str = "/") -> Response:
        status = status_of(error) if isinstance(error, PeerError) else HTTPStatus.NOT_FOUND
        values = {"title": status.phrase, "detail": str(error), "back": back}
        return self._page(request, "problem.html", self._common(request) | values, status)

    # ---- live

    def _stream(self, request: Request, template: str, view: View) -> Response:
        async def look() -> Seen | None:
            try:
                values = self._common(request) | await view(request)
            except (PeerError, NotHere, Elsewhere):
                return None
            found = self._templates.get_template(template)
            text = "".join(found.blocks["live"](found.new_context(values))).strip()
            return Seen(_encoded(text).decode())

        return self._streams.stream("live", look)

    # ---- actions

    async def act(self, request: Request) -> Response:
        """Asks first; once it is confirmed, does it, and goes back to where it was asked for."""
        sent = (await request.body()).decode("ascii", "replace")
        fields = parse_qsl(sent, keep_blank_values=True, errors="surrogateescape")
        form = dict(fields)
        back = form.get("back", "/")
        if not _INSIDE.fullmatch(back):
            back = "/"
        verb = str(request.path_params["verb"])
        handles = [value for name, value in fields if name == "handle"]
        try:
            if verb not in _ACTIONS:
                raise NotHere(f"nobody can do {verb} here")
            if verb in _ON_JOBS and not handles and "states" not in form:
                raise InvalidArgument("no job is marked")
            if form.get("confirmed") != "yes":
                return self._ask(request, verb, fields, handles, back)
            if handles:
                await self._each(_ACTIONS[verb][0], handles)
            else:
                await self._all(verb, form)
        except (PeerError, NotHere) as error:
            return self._problem(request, error, back)
        return RedirectResponse(back, HTTPStatus.SEE_OTHER)

    def _ask(
        self,
        request: Request,
        verb: str,
        fields: list[tuple[str, str]],
        handles: list[str],
        back: str,
    ) -> Response:
        form = dict(fields)
        if verb in _SETTING:
            _setting(verb, form)  # whether it is one: a bad one is not worth a question
        if len(handles) > 1:
            what = f"{len(handles)} jobs"
        elif handles:
            what = f"the job {handles[0]}"
        elif verb in _ON_JOBS:
            what = f"all {form['states']} jobs of {form.get('function', '')}"
            if form.get("unique"):
                what += f" with the unique {form['unique']}"
            if form.get("older_than_s"):
                what += f" that are older than {form['older_than_s']} s"
        else:
            what = form.get("peer", "") or form.get("name", "") or form.get("function", "")
        nothing = "none, but for what the settings say"
        question = _ACTIONS[verb][1].format(
            what=what,
            policy=form.get("policy", "") or nothing,
            schedule=form.get("schedule", "") or nothing,
        )
        values = {"verb": verb, "label": verb, "question": question, "fields": fields, "back": back}
        return self._page(request, "confirm.html", values)

    async def _each(self, do: str, handles: list[str]) -> None:
        """Does it to all of these jobs.  Those with which it can't be done are told at the end."""
        refused = None
        number = 0
        for handle in handles:
            try:
                await self._desk.operate(do, handle=handle)
            except PeerError as error:
                refused, number = error, number + 1
        if refused is not None and len(handles) > 1:
            raise InvalidArgument(f"not done with {number} of {len(handles)} jobs: {refused}")
        if refused is not None:
            raise refused

    async def _all(self, verb: str, form: Mapping[str, str]) -> None:
        """Does it to everything that is meant, a slice at a time."""
        do = _ACTIONS[verb][0]
        if do == "drop-worker":
            await self._desk.operate(do, peer=form.get("peer", ""))
            return
        if verb.endswith("-schedule"):
            asked: Table = {"name": form.get("name", "")}
            if verb in _SETTING:
                asked["schedule"] = _setting(verb, form)
            await self._desk.operate(do, **asked)
            return
        if not form.get("function"):
            raise InvalidArgument("no function is named; * stands for all of them")
        said: Table = {"function": form["function"]}
        if do in _ON_JOBS:
            if form.get("unique"):
                said["unique"] = form["unique"]
            if form.get("older_than_s"):
                said["older_than_s"] = _seconds(form["older_than_s"])
            said["states"] = _WAITING if verb == "clear" else form["states"].split(",")
        if do == "set-policy":
            await self._desk.operate(do, **said, policy=_setting(verb, form))
            return
        offset: object = 0
        while offset is not None and not self._desk.closing.is_set():
            answer = await self._desk.operate(do, **said, offset=offset)
            offset = answer["next"]
            await asyncio.sleep(0)  # others have their turn between two slices


def _setting(verb: str, form: Mapping[str, str]) -> object:
    """The policy or the schedule in a form; None: what was set is to be taken back."""
    what = _SETTING[verb]
    text = form.get(what, "").strip()
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the {what} is no JSON: {error}") from None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _encoded(text: str) -> bytes:
    """Names may hold bytes that are no text; they are shown as such."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


def _pattern(text: str) -> str:
    """What was typed in, as a pattern: a word stands for all names that hold it."""
    if not text:
        return "*"
    return text if any(sign in text for sign in "*?[") else f"*{text}*"


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    return int(text) if text.isdecimal() and len(text) < 13 else 0


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidArgument(f"{text!r} is no number of seconds") from None


def _rows(table: Table, name: str) -> list[Table]:
    rows = table[name]
    assert isinstance(rows, list), "so is its answer"
    return rows


def _pages(request: Request, table: Table) -> Values:
    """The links to the next rows and to the first ones."""
    asked = [pair for pair in request.query_params.multi_items() if pair[0] != "offset"]
    follows = table["next"]
    here = request.url.path
    return {
        "next": None if follows is None else f"{here}?{urlencode([*asked, ('offset', follows)])}",
        "first": f"{here}?{urlencode(asked)}" if _offset(request) else None,
    }


def _success(function: QueueStatistics) -> str:
    counters = function.counters
    ended = counters.completed + counters.failed + counters.dead
    return f"{100 * counters.completed / ended:.1f} %" if ended else ""


def _instant(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _environment() -> Environment:
    templates = Environment(
        loader=PackageLoader("gearpy.web"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "count": views.count,
        "duration": views.duration,
        "in_query": views.in_query,
        "instant": _instant,
        "mean": views.mean_s,
        "percentile": views.percentile_s,
        "spark": views.spark,
    }
    templates.globals["path_of"] = views.path_of
    templates.globals["m"] = templates.get_template("macros.html").make_module()
    return templates
