"""A web page that takes its time, without keeping anybody waiting: the request becomes a job.

    gearpy-server                                   # in one terminal
    gearpy worker examples.web:worker               # in another
    uvicorn examples.web:app                        # in a third
    curl -i -X POST localhost:8000/reports -d '{"customer": "ann", "months": 12}'
    curl localhost:8000/reports/H:...               # what Location says, until it is there

POST /reports answers at once, with 202 and where to look.  GET there tells how far it is, and in
the end the report.  Needs: pip install starlette uvicorn.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gearpy import AsyncClient, GearpyError, Job, ServerError, Worker

KEPT_S: Final = 3600  # how long a report can be fetched
MONTHS_MAX: Final = 120

# ---- the worker: plain Python, in processes of its own

worker = Worker(concurrency=4)


@worker.function("report", codec="json", timeout=300)
def report(order: dict[str, Any], job: Job) -> dict[str, Any]:
    """The sales of a customer, month by month; each takes a moment to look up."""
    sales = []
    for month in range(order["months"]):
        time.sleep(0.02)  # stands for a query
        sales.append({"month": month + 1, "sold": (month * 7919) % 100})
        job.progress(month + 1, order["months"])
    return {"customer": order["customer"], "sales": sales}


# ---- the web application


class State(TypedDict):
    """What lives as long as the application."""

    jobs: AsyncClient


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[State]:
    async with AsyncClient() as jobs:
        # The server forgets what has finished, unless a policy says how long it is kept.
        await jobs.operate("set-policy", function="report", policy={"keep_s": KEPT_S})
        yield {"jobs": jobs}


async def order_report(request: Request) -> Response:
    """POST /reports {"customer": "ann", "months": 12}"""
    try:
        order = await request.json()
        customer, months = str(order["customer"]), int(order["months"])
    except (ValueError, KeyError, TypeError):
        return JSONResponse({"error": "send a customer, and a number of months"}, 400)
    if not 1 <= months <= MONTHS_MAX:
        return JSONResponse({"error": f"there are reports of 1 to {MONTHS_MAX} months"}, 400)
    handle = await request.state.jobs.submit_background(
        "report",
        json.dumps({"customer": customer, "months": months}),
        unique="-",  # who asks twice, while it is made, gets the same report
    )
    place = request.url_for("show_report", handle=handle).path
    return JSONResponse({"report": place}, 202, {"Location": place})


async def show_report(request: Request) -> Response:
    """GET /reports/{handle}"""
    try:
        job = (await request.state.jobs.job(request.path_params["handle"]))["job"]
    except ServerError as error:
        if error.code != "JOB_NOT_FOUND":
            raise
        return JSONResponse({"error": "there is no such report, or not any more"}, 404)
    if job["function"] != "report":  # what others have done is nobody's business here
        return JSONResponse({"error": "there is no such report, or not any more"}, 404)
    if job["state"] == "completed":
        return Response(job["result"], media_type="application/json")
    done = {"done": job.get("numerator", 0), "of": job.get("denominator", 0)}
    return JSONResponse({"state": job["state"], **done, "error": job.get("error")})


async def no_job_server(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"no reports now: {error}"}, 503)


app = Starlette(
    routes=[
        Route("/reports", order_report, methods=["POST"]),
        Route("/reports/{handle}", show_report),
    ],
    exception_handlers={GearpyError: no_job_server},
    lifespan=lifespan,
)
