"""The description of the API is true: what is tried by it is answered as it says."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.core.parameters import ParameterLocation

from gearpy.testing.process import ServerProcess
from tests.web.conftest import LIMIT_S

CHECKS: list[Any] = [
    allow_header_conformance,
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


TAGS = (
    *("jobs", "functions", "policies", "schedules", "server", "health"),
    "for older clients",
)


@pytest.fixture(scope="module")
def described() -> Iterator[Any]:
    with ServerProcess("--http", "127.0.0.1:0", "--verbose", "FATAL") as process:
        yield schemathesis.openapi.from_url(f"{process.http_url}/api/openapi.json")
        answer = httpx.get(f"{process.http_url}/api/statistics", timeout=LIMIT_S)
        assert answer.status_code == 200  # it has survived all of them


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("tag", TAGS)
def test_answers_are_as_described(
    tag: str, mode: schemathesis.GenerationMode, described: Any
) -> None:
    operations = [result.ok() for result in described.include(tag=tag).get_all_operations()]
    assert operations
    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # its answer does not end while its job lasts

        @settings(max_examples=20, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers(case: Any) -> None:
            for part in (case.body, case.query):
                if isinstance(part, dict) and is_waiting(part.get("wait_s")):
                    del part["wait_s"]  # nobody is there who would do it
            case.call_and_validate(checks=[check for check in CHECKS if is_judge(check, case)])

        with suppress(Unsatisfiable):  # where nothing can be wrong
            answers()


def is_judge(check: object, case: Any) -> bool:
    """Whether a check can tell right from wrong here.

    In a query all is text: 0.0 becomes a number again, a list of nothing is not sent at all.  That
    a wrong value is right as it travels is seen where it is the only one, not among several.
    """
    if check is not negative_data_rejection or case.meta.is_negative_at(ParameterLocation.BODY):
        return True
    return len(case.meta.phase.data.mutations) <= 1


def is_waiting(wait_s: object) -> bool:
    """Whether it is a time that the API would wait."""
    return isinstance(wait_s, int | float) and not isinstance(wait_s, bool) and 0 < wait_s <= 3600


def test_the_page_of_the_api_loads_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/api")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "https://" not in page.text
    for path in ("/api/swagger/swagger-ui-bundle.js", "/api/swagger/swagger-ui.css"):
        assert path in page.text
        assert http.get(path).status_code == 200
