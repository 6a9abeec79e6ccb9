"""What each view of the page shows: coroutines that make values for its template."""

from typing import Any, Final, NamedTuple, cast, final
from urllib.parse import urlencode

from fastapi import Request

from gearpy.engine.job import DEAD, FINISHED, UNFINISHED
from gearpy.engine.selection import ORDERS
from gearpy.engine.statistics import QueueStatistics
from gearpy.priority import Priority
from gearpy.web import policy_form, schedule_form, views
from gearpy.web.actions import AGES, possible, seconds
from gearpy.web.desk import Desk, Table
from gearpy.web.outcomes import KEY
from gearpy.web.ranking import COLUMNS, NAME, Order, Ranking, read_order

Values = dict[str, Any]

_ROWS: Final = 50
_STATES: Final = (*UNFINISHED, DEAD, *FINISHED)


class NotHere(Exception):
    """There is nothing to show; the words say what is missing."""


class Elsewhere(Exception):
    """What is asked for has a page of its own."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@final
class Looks:
    """The views.  They raise NotHere, Elsewhere, and what the operations raise."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ranking = Ranking(desk)

    async def functions(self, request: Request) -> Values:
        asked = request.query_params.get("function", "")
        order = read_order(request.query_params.get("sort", ""))
        offset = _offset(request)
        part = await self._ranking.part(asked, order, offset, _ROWS)
        statistics = self._desk.statistics()
        return {
            "pattern": asked,
            "sort": request.query_params.get("sort", "") if order else "",
            "heads": {column: _head(request, column, order) for column in COLUMNS},
            "rows": [row for row in map(self._row, part.names) if row is not None],
            "server": statistics.engine,
            "connections": statistics.sessions,
            **_pages(request, part.next),
        }

    def _row(self, name: str) -> Values | None:
        function = self._desk.function(name)
        if function is None:
            return None
        return {
            "name": name,
            "function": function,
            "oldest_s": self._oldest_s(function),
            "minutes": self._desk.minutes(name),
            "recent": self._desk.recent(function),
        }

    def _oldest_s(self, function: QueueStatistics) -> float | None:
        since_s = function.oldest_queued_s
        return None if since_s is None else max(0.0, self._desk.now_s() - since_s)

    async def function(self, request: Request) -> Values:
        name = str(request.path_params["function"])
        function = self._desk.function(name)
        if function is None:
            raise NotHere(f"there is no function {name}")
        origin, said = self._desk.policy_for(name) or ("", None)
        return {
            "name": name,
            "function": function,
            "priorities": [priority.name.lower() for priority in Priority],
            "oldest_s": self._oldest_s(function),
            "minutes": self._desk.minutes(name),
            "recent": self._desk.recent(function),
            "kept": self._desk.kept(name),
            "origin": origin,
            "form": policy_form.filled(said, function.policy),
            "fields": policy_form.FIELDS,
        }

    async def jobs(self, request: Request) -> Values:
        state = request.query_params.get("state", "")
        return await self._jobs(request, "Jobs", [state] if state else list(UNFINISHED))

    async def dead(self, request: Request) -> Values:
        return await self._jobs(request, "Dead letters", [DEAD], dead=True)

    async def _jobs(
        self, request: Request, heading: str, states: list[str], dead: bool = False
    ) -> Values:
        names = ("handle", "function", "unique", "state", "order", *AGES)
        asked = {name: request.query_params.get(name, "").strip() for name in names}
        if asked["handle"]:
            raise Elsewhere(views.path_of("jobs", asked["handle"]))
        wanted: Table = {name: asked[name] for name in ("function", "unique") if asked[name]}
        wanted |= {name: seconds(asked[name]) for name in AGES if asked[name]}
        if asked["order"]:
            wanted["order"] = asked["order"]
        offset = _offset(request)
        found = await self._desk.operate(
            "jobs", states=states, limit=_ROWS, offset=offset, **wanted
        )
        jobs = _rows(found, "jobs")
        return {
            "heading": heading,
            "dead": dead,
            "asked": asked,
            "states": _STATES,
            "orders": ORDERS,
            "jobs": jobs,
            "now_s": found["now_s"],
            "looked_at": _looked_at(offset, found, len(jobs)),
            **_pages(request, found["next"]),
        }

    async def job(self, request: Request) -> Values:
        found = await self._desk.operate("job", handle=str(request.path_params["handle"]))
        job = found["job"]
        assert isinstance(job, dict), "so is its answer"
        return {
            "job": job,
            "possible": possible(job["state"]),
            "now_s": found["now_s"],
            "payload": views.shown(job, "payload"),
            "result": views.shown(job, "result"),
        }

    async def workers(self, request: Request) -> Values:
        found = await self._desk.operate("workers", limit=_ROWS, offset=_offset(request))
        return {
            "workers": found["workers"],
            "now_s": found["now_s"],
            **_pages(request, found["next"]),
        }

    async def schedules(self, request: Request) -> Values:
        found = await self._desk.operate("schedules", limit=_ROWS, offset=_offset(request))
        name, said = request.query_params.get("name", ""), None
        if name:
            row = cast(Table, (await self._desk.operate("schedule", name=name))["schedule"])
            said = cast(Table, row["schedule"])
        return {
            "schedules": found["schedules"],
            "name": name,
            "form": schedule_form.filled(said),
            "fields": schedule_form.FIELDS,
            **_pages(request, found["next"]),
        }

    async def policies(self, request: Request) -> Values:
        found = await self._desk.operate("policies")
        pattern = request.query_params.get("function", "")
        _, said = (self._desk.policy_for(pattern) if pattern else None) or ("", None)
        return {
            "policies": found["policies"],
            "pattern": pattern,
            "form": policy_form.filled(said),
            "fields": policy_form.FIELDS,
        }

    async def audit(self, request: Request) -> Values:
        offset = _offset(request)
        entries = self._desk.audit.entries()
        follows = offset + _ROWS if len(entries) > offset + _ROWS else None
        return {"entries": entries[offset : offset + _ROWS], **_pages(request, follows)}


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    return int(text) if text.isdecimal() and len(text) < 13 else 0


def _rows(table: Table, name: str) -> list[Table]:
    rows = table[name]
    assert isinstance(rows, list), "so is its answer"
    return rows


def _pages(request: Request, follows: object) -> Values:
    """The links to the next rows, which begin at an offset, and to the first ones."""
    return {
        "next": None if follows is None else _here(request, ("offset", str(follows))),
        "first": _here(request) if _offset(request) else None,
    }


def _here(request: Request, *more: tuple[str, str]) -> str:
    """The same view at other rows, or in another order."""
    said = {"offset", KEY, *(name for name, _ in more)}
    asked = [pair for pair in request.query_params.multi_items() if pair[0] not in said]
    return f"{request.url.path}?{urlencode([*asked, *more])}"


class Head(NamedTuple):
    """The head of a column: the way to the functions sorted by it, and how it is sorted now."""

    path: str
    sorted: str  # as aria-sort has it; empty if it is not


def _head(request: Request, column: str, order: Order | None) -> Head:
    if order is None or order.column != column:
        return Head(_here(request, ("sort", column)), "")
    path = _here(request, ("sort", column if order.turned else f"-{column}"))
    rises = (column == NAME) != order.turned
    return Head(path, "ascending" if rises else "descending")


def _looked_at(offset: int, table: Table, rows: int) -> tuple[int, int] | None:
    """The first and the last number of what was looked at, where the search stopped with room for
    more rows: one answer looks at so many only.  None: it stopped for no such reason."""
    follows = table["next"]
    if not isinstance(follows, int) or rows == _ROWS:
        return None
    return offset + 1, follows
