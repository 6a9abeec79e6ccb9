"""The page for people: rendered here, and sent anew while it is looked at.

``looks`` has the views, ``actions`` what can be done from them.  Whoever asks for a view as an
event stream, as the page itself does once it is open, is sent the template's block ``live``
whenever it has changed.
"""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, select_autoescape

from gearpy.errors import InvalidArgument, PeerError
from gearpy.web import figures, policy_form, schedule_form, views
from gearpy.web.actions import ACTIONS, NothingToDo, Wish
from gearpy.web.desk import Desk
from gearpy.web.events import MEDIA_TYPE, Seen, Streams
from gearpy.web.looks import Elsewhere, Looks, NotHere, Values
from gearpy.web.outcomes import KEY, Outcomes, with_key, without_key
from gearpy.web.problems import status_of

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
_FIELDS_MAX: Final = 1000  # of a form: so many marked jobs, at most
_NEVER_CACHE: Final = {"Cache-Control": "no-store", "Vary": "Accept"}
_STRICT: Final = {
    **_NEVER_CACHE,
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
}
_INSIDE: Final = re.compile(r"/(?![/\\])[!-~]*")  # a path of this server


def page(desk: Desk) -> APIRouter:
    """All views, and what can be done from them."""
    router = APIRouter(include_in_schema=False)
    shower = _Shower(desk)
    looks = Looks(desk)
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
    router.add_route("/do/{verb}", shower.leave, methods=["GET"])
    return router


@final
class _Shower:
    """Renders views, keeps them up to date, and asks before what they offer is done."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._streams = Streams(desk)
        self._outcomes = Outcomes()
        self._templates = _environment()

    def handler(self, template: str, view: View) -> Callable[[Request], Awaitable[Response]]:
        """What answers requests for a view."""

        lives = "live" in self._templates.get_template(template).blocks

        async def handle(request: Request) -> Response:
            if lives and MEDIA_TYPE in request.headers.get("accept", ""):
                return self._stream(request, template, view)
            try:
                return self._page(request, template, await view(request))
            except Elsewhere as elsewhere:
                return RedirectResponse(elsewhere.path, HTTPStatus.SEE_OTHER)
            except (PeerError, NotHere) as error:
                return self._problem(request, error)

        return handle

    async def act(self, request: Request) -> Response:
        """Asks first; once it is confirmed, does it, and goes back to where it was asked for."""
        sent = (await request.body()).decode("ascii", "replace")
        verb, back = str(request.path_params["verb"]), _back(request)
        wish = None
        try:
            if verb not in ACTIONS:
                raise NotHere(f"nobody can do {verb} here")
            fields = _fields(sent)
            wish = Wish(verb, fields)
            if wish.to_be_changed:
                return self._form(request, wish)
            if not wish.confirmed:
                question = await wish.question(self._desk)
                values = {"wish": wish, "question": question, "back": back}
                return self._page(request, "confirm.html", values)
            outcome = await wish.fulfil(self._desk)
        except NothingToDo as nothing:
            outcome = str(nothing)
        except (PeerError, NotHere) as error:
            if wish is not None and wish.typed:
                return self._form(request, wish, error)
            return self._problem(request, error, back)
        key = self._outcomes.keep(outcome, self._desk.now_s())
        return RedirectResponse(with_key(back, key), HTTPStatus.SEE_OTHER)

    async def leave(self, request: Request) -> Response:
        """A question that is asked for once more, as by a reload, is not asked: what it was about
        is not known any more."""
        return RedirectResponse(_back(request), HTTPStatus.SEE_OTHER)

    def _form(self, request: Request, wish: Wish, error: Exception | None = None) -> Response:
        """The form of a setting again, with what was typed in."""
        form = policy_form if wish.verb == "set-policy" else schedule_form
        values = {
            "wish": wish,
            "name": dict(wish.fields).get("name", ""),
            "detail": "" if error is None else str(error),
            "form": form.typed(wish.fields),
            "fields": form.FIELDS,
            "back": _back(request),
        }
        return self._page(request, "again.html", values, _status(error))

    def _page(
        self, request: Request, template: str, values: Values, status: int = HTTPStatus.OK
    ) -> Response:
        told = self._outcomes.tell(request.query_params.get(KEY, ""), self._desk.now_s())
        values = self._common(request) | {"told": told} | values
        text = self._templates.get_template(template).render(values)
        return HTMLResponse(_encoded(text), status, headers=_STRICT)

    def _common(self, request: Request) -> Values:
        query = without_key(request.scope["query_string"].decode("ascii"))
        back = request.scope["raw_path"].decode("ascii")
        return {
            "views": _VIEWS,
            "here": request.url.path,
            "back": f"{back}?{query}" if query else back,
        }

    def _problem(self, request: Request, error: Exception, back: str = "/") -> Response:
        status = _status(error)
        values = {"title": status.phrase, "detail": str(error), "back": back}
        return self._page(request, "problem.html", self._common(request) | values, status)

    def _stream(self, request: Request, template: str, view: View) -> Response:
        async def look() -> Seen | None:
            try:
                values = self._common(request) | await view(request)
            except (PeerError, NotHere, Elsewhere):
                return None
            found = self._templates.get_template(template)
            text = "".join(found.blocks["live"](found.new_context(values))).strip()
            return Seen(_encoded(text).decode())

        return self._streams.stream("live", look, full="full")


def _fields(sent: str) -> list[tuple[str, str]]:
    """What a form sent.  Raises InvalidArgument for more than the page has, and for names that it
    could not show: they would mean another function or job now."""
    try:
        fields = parse_qsl(sent, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise InvalidArgument(f"a form of this page has at most {_FIELDS_MAX:,} fields") from None
    if any("\ufffd" in value for _, value in fields):
        raise InvalidArgument(
            "a name here is no UTF-8, which a form can't send; do that with the command line"
        )
    return fields


def _back(request: Request) -> str:
    """Where something was asked for: a path of this server, whatever the address says."""
    back = request.query_params.get("back", "/")
    return back if _INSIDE.fullmatch(back) else "/"


def _status(error: Exception | None) -> HTTPStatus:
    if error is None:
        return HTTPStatus.OK
    return status_of(error) if isinstance(error, PeerError) else HTTPStatus.NOT_FOUND


def _encoded(text: str) -> bytes:
    """Names may hold bytes that are no text; they are shown as such."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


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
        "exactly": views.exactly,
        "in_query": views.in_query,
        "instant": views.instant,
        "mean": figures.mean_s,
        "note": views.worker_note,
        "percent": views.percent,
        "percentile": figures.percentile_s,
        "priorities": views.priorities,
        "spark": views.spark,
        "success": figures.success_ratio,
    }
    templates.globals["path_of"] = views.path_of
    templates.globals["m"] = templates.get_template("macros.html").make_module()
    return templates
