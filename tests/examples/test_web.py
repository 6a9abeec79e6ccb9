"""The web example: the application and its worker, as processes would run them."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from examples import web
from gearpy.testing.process import ServerProcess
from tests.waiting import eventually
from tests.workers import running


@pytest.fixture
def pages(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("GEARPY_SERVERS", server.address)
    web.worker.adapt(servers=server.address)
    with TestClient(web.app) as client:
        yield client


def test_a_slow_request_is_a_job_that_is_looked_at(pages: TestClient) -> None:
    ordered = pages.post("/reports", json={"customer": "ann", "months": 3})
    assert ordered.status_code == 202
    place = ordered.headers["Location"]
    again = pages.post("/reports", json={"customer": "ann", "months": 3})
    assert again.headers["Location"] == place
    assert pages.get(place).json() == {"state": "queued", "done": 0, "of": 0, "error": None}
    with running(web.worker):
        eventually(lambda: "sales" in pages.get(place).json(), True)
    report = pages.get(place)
    assert report.headers["Content-Type"] == "application/json"
    assert report.json()["customer"] == "ann"
    assert [each["month"] for each in report.json()["sales"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "order", [{}, {"customer": "ann"}, {"customer": "ann", "months": 1000}, []]
)
def test_an_order_that_makes_no_sense(pages: TestClient, order: object) -> None:
    assert pages.post("/reports", json=order).status_code == 400


def test_a_report_that_is_not_there(pages: TestClient, server: ServerProcess) -> None:
    assert pages.get("/reports/H:nowhere:1").status_code == 404
    server.kill()
    answer = pages.post("/reports", json={"customer": "ann", "months": 3})
    assert answer.status_code == 503
    assert "no reports now" in answer.json()["error"]
