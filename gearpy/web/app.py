"""The application: the page, the API and its description, and how the server is."""

from collections.abc import Iterable
from typing import Final

from fastapi import FastAPI
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.staticfiles import StaticFiles

from gearpy.version import VERSION
from gearpy.web import models
from gearpy.web.api import RAW, answer, api
from gearpy.web.desk import Desk
from gearpy.web.guard import Guard
from gearpy.web.meter import Meter
from gearpy.web.metrics import CONTENT_TYPE
from gearpy.web.older import older
from gearpy.web.page import page
from gearpy.web.problems import tell_problems

JSON_BYTES_MAX: Final = 8 << 20  # decoding it takes some 20 ms, in which nobody else is served
_BASE64: Final = 3 / 2  # of a payload in JSON, escapes and the rest of it included
_REST_BYTES: Final = 64 << 10


def application(
    desk: Desk, meter: Meter, *, token: str = "", hosts: Iterable[str] = (), payload_bytes_max: int
) -> FastAPI:
    """What is served over HTTP.  ``token`` and ``hosts``: see ``Guard``."""
    app = FastAPIOffline(
        docs_url="/api",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        static_url="/api/swagger",
        title="gearpy",
        version=VERSION,
        description="A Gearman job server: submit jobs, look after them, and steer the server.",
    )
    tell_problems(app)
    app.include_router(api(desk))
    app.include_router(older(desk))
    app.include_router(page(desk))
    app.mount("/static", StaticFiles(packages=[("gearpy.web", "static")]))
    _health(app, desk)
    _metrics(app, meter)
    app.add_middleware(
        Guard,
        token=token,
        hosts=hosts,
        body_bytes_max=min(int(payload_bytes_max * _BASE64) + _REST_BYTES, JSON_BYTES_MAX),
        raw=RAW,
        raw_bytes_max=payload_bytes_max,
    )
    return app


def _health(app: FastAPI, desk: Desk) -> None:
    @app.get("/healthz", tags=["health"], responses={200: {"model": models.Health}})
    async def healthz() -> Response:
        """The server lives."""
        return answer({"status": "ok"})

    @app.get(
        "/readyz",
        tags=["health"],
        responses={200: {"model": models.Health}, 503: {"model": models.Health}},
    )
    async def readyz() -> Response:
        """The server takes jobs; if not, 503 and why."""
        why_not = desk.why_not_ready()
        return answer({"status": why_not or "ok"}, 503 if why_not else 200)


def _metrics(app: FastAPI, meter: Meter) -> None:
    @app.get(
        "/metrics",
        tags=["health"],
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """What the server counts, for Prometheus."""
        return Response(await meter.text(), media_type=CONTENT_TYPE)
