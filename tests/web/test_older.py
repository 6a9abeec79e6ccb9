"""What clients of older PHP queue servers send, and what they are told."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gearpy.client import Client
from gearpy.errands.orders import (
    Command,
    Output,
    Params,
    Request,
    Response,
    read_command,
    read_request,
)
from gearpy.protocol.content import read_content
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.errands.receiver import Answer, Receiver, receiving
from tests.errands.test_worker import EXEC, HTTP, worker
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S
from tests.web.test_api import problem_of
from tests.workers import Held, running

URL = "https://example.org/import"
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(web: ServerProcess) -> Iterator[Client]:
    with Client(web.address) as made:
        yield made


@pytest.fixture(scope="module")
def shared_client(shared: ServerProcess) -> Iterator[Client]:
    with Client(shared.address) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def data_of(answer: httpx.Response) -> dict[str, Any]:
    """What a good answer says."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (set(told), told["status"]) == ({"status", "data"}, 200)
    data: dict[str, Any] = told["data"]
    return data


def add(http: httpx.Client, command: dict[str, Any], **more: Any) -> int:
    """Adds a job; its number."""
    body = json.dumps({"command": command, **more})
    data = data_of(http.post("/jobs/add", content=body, headers=JSON))
    number = data.pop("id")
    assert (data, type(number)) == ({}, int)
    return int(number)


def status(http: httpx.Client, number: int) -> dict[str, Any]:
    return data_of(http.get(f"/jobs/status/{number}"))


def look(client: Client, http: httpx.Client, number: int) -> dict[str, Any]:
    """The same job as gearpy's own clients see it."""
    job: dict[str, Any] = client.operate("job", handle=status(http, number)["handle"])["job"]
    return job


def request_of(job: dict[str, Any]) -> Request:
    return read_request(read_content("payload", job) or b"")


def command_of(job: dict[str, Any]) -> Command:
    return read_command(read_content("payload", job) or b"")


# ---- adding


def test_a_request_becomes_a_job(shared_http: httpx.Client, shared_client: Client) -> None:
    params: Params = {"id": 7, "name": "größe", "many": ["a", 2]}
    command = {"type": "http", "url": URL, "method": "post", "params": params, "timeout": 7.5}
    number = add(shared_http, command)
    job = look(shared_client, shared_http, number)
    assert (job["function"], job["state"], job["background"]) == ("gearpy.http", "queued", True)
    assert job["handle"].endswith(f":{number}")
    assert request_of(job) == Request(url=URL, method="POST", params=params, timeout_s=7.5)


def test_null_is_what_is_not_said(shared_http: httpx.Client, shared_client: Client) -> None:
    nothing = {"method": None, "timeout": None, "params": None}
    number = add(
        shared_http,
        {"type": "http", "url": URL, **nothing},
        priority=None,
        context=None,
        callback_done=None,
    )
    job = look(shared_client, shared_http, number)
    assert job["priority"] == "normal"
    assert "labels" not in job
    assert request_of(job) == Request(url=URL)
    number = add(shared_http, {"type": "exec", "cmd": "resize", "timeout": None})
    job = look(shared_client, shared_http, number)
    assert command_of(job) == Command(name="resize")


def test_a_command_becomes_a_job(shared_http: httpx.Client, shared_client: Client) -> None:
    number = add(
        shared_http, {"type": "exec", "cmd": "resize 'my photo.jpg' $HOME; rm", "timeout": 5}
    )
    job = look(shared_client, shared_http, number)
    assert job["function"] == "gearpy.exec"
    expected = Command(name="resize", arguments=("my photo.jpg", "$HOME;", "rm"), timeout_s=5.0)
    assert command_of(job) == expected


def test_what_is_not_said_has_a_value(shared_http: httpx.Client, shared_client: Client) -> None:
    job = look(shared_client, shared_http, add(shared_http, {"type": "http", "url": URL}))
    assert request_of(job) == Request(url=URL)
    assert job["priority"] == "normal"
    assert "labels" not in job
    assert "callback" not in job
    assert (
        command_of(
            look(shared_client, shared_http, add(shared_http, {"type": "exec", "cmd": "x"}))
        ).timeout_s
        == 60
    )


@pytest.mark.parametrize("empty", ["[]", "{}"])
def test_php_writes_an_empty_object_as_a_list(
    empty: str, shared_http: httpx.Client, shared_client: Client
) -> None:
    body = f'{{"command": {{"type": "http", "url": "{URL}", "params": {empty}}}}}'
    number = data_of(shared_http.post("/jobs/add", content=body, headers=JSON))["id"]
    assert request_of(look(shared_client, shared_http, number)).params == {}


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "application/x-www-form-urlencoded", "text/plain", "x", "", None),
        *("multipart/form-data; boundary=x", "application/json; charset=latin-1"),
    ],
)
def test_it_is_json_whatever_it_is_called(
    media_type: str | None, shared_http: httpx.Client
) -> None:
    body = json.dumps({"command": {"type": "http", "url": URL}}).encode()
    headers = {} if media_type is None else {"content-type": media_type}
    first, second = (
        data_of(shared_http.post("/jobs/add", content=body, headers=headers))["id"]
        for _ in range(2)
    )
    assert second == first + 1


@pytest.mark.parametrize(
    ("priority", "level"),
    [
        *((0, "low"), (249, "low"), (250, "normal"), (500, "normal"), (749, "normal")),
        *((750, "high"), (999, "high"), (1000, "critical")),
    ],
)
def test_priorities_are_levels(
    priority: int, level: str, shared_http: httpx.Client, shared_client: Client
) -> None:
    number = add(shared_http, {"type": "exec", "cmd": "x"}, priority=priority)
    assert (
        look(shared_client, shared_http, number)["priority"]
        == status(shared_http, number)["priority"]
        == level
    )


def test_a_more_urgent_job_comes_first(
    web: ServerProcess, http: httpx.Client, client: Client
) -> None:
    names = {f"p{priority}": priority for priority in (0, 500, 1000, 750)}
    for name, priority in names.items():
        add(http, {"type": "exec", "cmd": name}, priority=priority)
    seen: list[str] = []

    def take(job: Job) -> bytes:
        seen.append(read_command(job.data).name)
        return b""

    made = Worker(web.address)
    made.register("gearpy.exec", take)
    made.run(burst=True)
    assert seen == ["p1000", "p750", "p500", "p0"]


def test_a_context_is_a_label(shared_http: httpx.Client, shared_client: Client) -> None:
    number = add(shared_http, {"type": "exec", "cmd": "x"}, context="größe 7")
    assert look(shared_client, shared_http, number)["labels"] == {"context": "größe 7"}
    assert status(shared_http, number)["context"] == "größe 7"
    assert (
        status(shared_http, add(shared_http, {"type": "exec", "cmd": "x"}, context=""))["context"]
        == ""
    )


def test_what_these_clients_add_else_does_not_matter(shared_http: httpx.Client) -> None:
    command = {"type": "http", "url": URL, "colour": "red", "headers": {"x": "y"}}
    assert add(shared_http, command, colour=["red"], id=7, callback_done=None)


# ---- the job's own number


def test_a_job_may_hold_its_own_number(shared_http: httpx.Client, shared_client: Client) -> None:
    mark = "__JOBID__"
    number = add(
        shared_http,
        {
            "type": "http",
            "url": f"{URL}/{mark}?job={mark}",
            "params": {"id": mark, f"key{mark}": [f"a{mark}b", mark]},
        },
        callback_done={"type": "exec", "cmd": f"done {mark} --job={mark}"},
        context=mark,
    )
    job = look(shared_client, shared_http, number)
    assert request_of(job).url == f"{URL}/{number}?job={number}"
    assert request_of(job).params == {
        "id": str(number),
        f"key{number}": [f"a{number}b", str(number)],
    }
    follows = read_command(job["callback"]["data"].encode())
    assert follows == Command(name="done", arguments=(str(number), f"--job={number}"))
    assert job["labels"] == {"context": mark}  # which is not a part of what is done


def test_a_command_and_what_follows_it_may_hold_it_too(
    shared_http: httpx.Client, shared_client: Client
) -> None:
    number = add(
        shared_http,
        {"type": "exec", "cmd": "resize__JOBID__ '__JOBID__ __JOBID__' __jobid__"},
        callback_done={"type": "http", "url": f"{URL}?id=__JOBID__", "params": {"id": "__JOBID__"}},
    )
    job = look(shared_client, shared_http, number)
    assert command_of(job).name == f"resize{number}"
    assert command_of(job).arguments == (f"{number} {number}", "__jobid__")
    assert job["callback"]["function"] == "gearpy.http"
    follows = read_request(job["callback"]["data"].encode())
    assert follows == Request(url=f"{URL}?id={number}", params={"id": str(number)})


def test_numbers_are_each_jobs_own(shared_http: httpx.Client, shared_client: Client) -> None:
    """Also beside jobs that others submit."""
    for _ in range(5):
        number = add(shared_http, {"type": "exec", "cmd": "x __JOBID__"})
        assert command_of(look(shared_client, shared_http, number)).arguments == (str(number),)
        shared_client.submit_background("other")


def test_a_job_that_is_refused_uses_up_no_number_of_another(
    shared_http: httpx.Client, shared_client: Client
) -> None:
    before = add(shared_http, {"type": "exec", "cmd": "x"})
    body = json.dumps({"command": {"type": "exec", "cmd": "'"}})
    problem_of(shared_http.post("/jobs/add", content=body, headers=JSON), 400)
    after = add(shared_http, {"type": "exec", "cmd": "x __JOBID__"})
    assert after == before + 1
    assert command_of(look(shared_client, shared_http, after)).arguments == (str(after),)


# ---- done by real workers


def test_a_command_follows_a_request_and_a_request_a_command(
    web: ServerProcess, http: httpx.Client, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer = lambda asked: Answer(500 if "bad" in asked.target else 200, b"said")
    note = tmp_path / "note"
    follows = {"type": "exec", "cmd": f"sh 'echo __JOBID__ >>{note}'"}
    first = add(http, {"type": "http", "url": f"{receiver.url}/good"}, callback_done=follows)
    second = add(http, {"type": "http", "url": f"{receiver.url}/bad"}, callback_done=follows)
    third = add(
        http,
        {"type": "exec", "cmd": "sh 'echo out; echo err >&2; exit 3'"},
        callback_done={
            "type": "http",
            "url": f"{receiver.url}/done",
            "params": {"id": "__JOBID__"},
        },
    )
    with worker(web, tmp_path, *HTTP, *EXEC) as log:

        def noted() -> list[int]:
            return sorted(map(int, note.read_text().split())) if note.exists() else []

        eventually(noted, sorted([first, second]), log.read_text)
        asked = {each.target for each in receiver.wait_for(3)}
        assert asked == {"/good", "/bad", f"/done?id={third}"}
    good, bad, ran = (status(http, number) for number in (first, second, third))
    assert (good["state"], good["http_status"], good["output"]) == ("done", 200, "said")
    assert (bad["state"], bad["http_status"], bad["output"]) == ("failed", 500, "said")
    assert bad["error"] == f"GET {receiver.url}/bad was answered with 500: said"
    assert (ran["state"], ran["exit_code"], ran["output"]) == ("failed", 3, "out\n")
    assert (ran["stderr"], ran["error"]) == ("err\n", "sh ended with exit code 3: err")
    assert ran["attempts"] == 1
    assert ran["created"] <= ran["changed"]


def done_by(web: ServerProcess, function: str, result: bytes) -> None:
    """The jobs of a function, by a worker that is not ours."""
    made = Worker(web.address)
    made.register(function, lambda job: result)
    made.run(burst=True)


def test_output_that_is_no_text_is_in_base64(web: ServerProcess, http: httpx.Client) -> None:
    number = add(http, {"type": "exec", "cmd": "x"})
    done_by(web, "gearpy.exec", Output(exit_code=0, stdout=b"\xff", stderr=b"\0").result())
    job = status(http, number)
    assert (job["output"], job["output_base64"], job["stderr_base64"]) == (None, "/w==", "AA==")
    number = add(http, {"type": "http", "url": URL})
    response = Response(status=200, url=URL, headers={}, body=b"\xff")
    done_by(web, "gearpy.http", response.result())
    job = status(http, number)
    assert (job["output"], job["output_base64"], job["http_status"]) == (None, "/w==", 200)


@pytest.mark.parametrize(
    "result",
    [b"done", b'{"exit": 7}', b"[1]", b"7", b'"text"', b"[" * 900 + b"]" * 900, b"{", b"[" * 9999],
)
def test_the_result_of_somebody_elses_worker_is_its_output(
    result: bytes, web: ServerProcess, http: httpx.Client
) -> None:
    number = add(http, {"type": "exec", "cmd": "x"})
    done_by(web, "gearpy.exec", result)
    job = status(http, number)
    assert (job["state"], job["output"]) == ("done", result.decode())
    assert "exit_code" not in job


def test_so_is_that_of_another_function(
    web: ServerProcess, http: httpx.Client, client: Client
) -> None:
    client.operate("set-policy", function="resize", policy={"keep_s": 60})
    handle = client.submit_background("resize")
    done_by(web, "resize", b'{"status": "small", "body": 7}')
    job = status(http, int(handle.rpartition(":")[2]))
    assert (job["state"], job["output"]) == ("done", '{"status": "small", "body": 7}')
    assert "http_status" not in job


def test_output_that_is_very_large_is_not_shown_by_halves(
    web: ServerProcess, http: httpx.Client
) -> None:
    number = add(http, {"type": "exec", "cmd": "x"})
    output = Output(exit_code=0, stdout=b"x" * (1 << 20), stderr=b"")
    done_by(web, "gearpy.exec", output.result())
    job = status(http, number)
    assert (job["state"], job["output"], job["output_cut"]) == ("done", None, True)


# ---- how it is


def broken(job: Job) -> bytes:
    raise TypeError("a bug")


def test_states_are_four_words(web: ServerProcess, http: httpx.Client, client: Client) -> None:
    def added() -> tuple[int, str]:
        number = add(http, {"type": "exec", "cmd": "x"})
        return number, status(http, number)["handle"]

    number, handle = added()
    assert status(http, number)["state"] == "waiting"
    held = Held()
    made = Worker(web.address)
    made.register("gearpy.exec", held)
    with running(made):
        held.wait_entered()
        assert status(http, number)["state"] == "working"
        held.going.release()
        eventually(lambda: status(http, number)["state"], "done")
    number, handle = added()
    client.operate("cancel", handle=handle)
    assert status(http, number)["state"] == "failed"
    client.operate("set-policy", function="gearpy.exec", policy={"attempts": 2, "backoff": [3600]})
    number, handle = added()
    made = Worker(web.address)
    made.register("gearpy.exec", broken)
    made.run(burst=True)
    job = status(http, number)
    assert (job["state"], job["attempts"]) == ("waiting", 1)
    assert job["error"].startswith("TypeError: ")
    client.operate("retry", handle=handle)
    made.run(burst=True)
    job = status(http, number)
    assert (job["state"], job["attempts"]) == ("failed", 2)


def busy(http: httpx.Client) -> tuple[int, int, int, int]:
    data = data_of(http.get("/jobs/status"))
    names = ["waiting", "working", "max_threads", "free_threads"]
    assert list(data) == names
    return data["waiting"], data["working"], data["max_threads"], data["free_threads"]


def test_nobody_is_there_at_first(http: httpx.Client) -> None:
    assert busy(http) == (0, 0, 0, 0)
    add(http, {"type": "exec", "cmd": "x"})
    add(http, {"type": "http", "url": URL})
    http.post("/api/jobs", json={"function": "other"})
    http.post("/api/jobs", json={"function": "gearpy.exec", "data": "x", "delay_s": 3600})
    assert busy(http) == (3, 0, 0, 0)


def test_workers_are_counted_by_what_they_can_do_at_a_time(
    web: ServerProcess, http: httpx.Client, client: Client
) -> None:
    held = Held()
    with ExitStack() as stack:
        for functions, places in ((["gearpy.exec"], 3), (["gearpy.http", "gearpy.exec"], 2)):
            made = Worker(web.address, concurrency=places)
            for name in functions:
                made.register(name, held)
            stack.enter_context(running(made))
        other = Worker(web.address, concurrency=7)
        other.register("other", held)
        stack.enter_context(running(other))
        eventually(lambda: busy(http), (0, 0, 5, 5))
        for _ in range(7):
            add(http, {"type": "exec", "cmd": "x"})
        for _ in range(5):
            held.wait_entered()
        eventually(lambda: busy(http), (2, 5, 5, 0))
        for _ in range(7):
            held.going.release()
        eventually(lambda: busy(http), (0, 0, 5, 5))


def test_the_program_has_sixteen_places(
    web: ServerProcess, http: httpx.Client, tmp_path: Path
) -> None:
    with worker(web, tmp_path, *HTTP, *EXEC) as log:
        eventually(lambda: busy(http), (0, 0, 16, 16), log.read_text)
    eventually(lambda: busy(http), (0, 0, 0, 0))


# ---- what is refused


def exec_(**more: Any) -> dict[str, Any]:
    return {"command": {"type": "exec", "cmd": "x", **more}}


def http_(**more: Any) -> dict[str, Any]:
    return {"command": {"type": "http", "url": URL, **more}}


def then(**follows: Any) -> dict[str, Any]:
    return {**exec_(), "callback_done": follows}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "command"),
        ({"command": None}, "command"),
        ({"command": "x"}, "command"),
        ({"command": []}, "command"),
        ({"command": {}}, "type"),
        ({"command": {"type": "mail", "cmd": "x"}}, "type"),
        ({"command": {"type": "exec"}}, "cmd"),
        ({"command": {"type": "http"}}, "url"),
        ({"command": {"type": "exec", "url": URL}}, "cmd"),
        (exec_(cmd=7), "cmd"),
        (exec_(cmd=["x"]), "cmd"),
        (exec_(cmd=""), "the command is empty"),
        (exec_(cmd="''"), "the payload needs the field command"),
        (exec_(cmd="x 'y"), "can't be split into words"),
        (exec_(cmd="x a\0b"), "holds a NUL"),
        (exec_(cmd="x\ud800"), "half a character"),
        (exec_(cmd="x " * 1_002), "at most 1,000 arguments, not 1,001"),
        (exec_(cmd="x" * 100_001), "at most 100,000 characters, not 100,001"),
        (exec_(timeout=0), "timeout"),
        (exec_(timeout=86_401), "timeout"),
        (exec_(timeout="soon"), "timeout"),
        (exec_(timeout=float("inf")), "timeout"),
        (exec_(timeout=float("nan")), "timeout"),
        (http_(url=7), "url"),
        (http_(url=""), "the payload needs the field url"),
        (http_(url="ftp://a/"), "not like https://example.org/import"),
        (http_(url="https://a/\x1b[2J"), "not like https://example.org/import"),
        (http_(url="https://a/\ud800"), "url"),
        (http_(method="BREW"), "method is 'BREW', and not one of"),
        (http_(method=7), "method"),
        (http_(timeout=-1), "timeout"),
        (http_(timeout=10**400), "timeout"),
        (http_(timeout=float("-inf")), "timeout"),
        (http_(params="a=b"), "params"),
        (http_(params=7), "params"),
        (http_(params=["a"]), "params is no object of names and values"),
        (http_(params={"a": {"b": "c"}}), "the parameter 'a' is no text or number"),
        (http_(params={"a": None}), "the parameter 'a' is no text or number"),
        (http_(params={"a": "\ud800"}), "the parameter 'a' is no text or number"),
        (http_(params={"a": float("inf")}), "Infinity is no number"),
        ({**exec_(), "priority": -1}, "priority"),
        ({**exec_(), "priority": 1001}, "priority"),
        ({**exec_(), "priority": "urgent"}, "priority"),
        ({**exec_(), "priority": 1.5}, "priority"),
        ({**exec_(), "context": 7}, "context"),
        ({**exec_(), "context": ["x"]}, "context"),
        ({**exec_(), "context": "a\nb"}, "label"),
        ({**exec_(), "context": "x" * 257}, "label"),
        ({**exec_(), "callback_done": "x"}, "callback_done"),
        ({**exec_(), "callback_done": []}, "callback_done"),
        (then(), "type"),
        (then(type="http"), "url"),
        (then(type="exec", cmd=""), "the command is empty"),
        (then(type="exec", cmd="x\0"), "NUL"),
        (then(type="http", url="x"), "not like https://example.org/import"),
        (then(type="http", url=URL, params={"a": {}}), "the parameter 'a'"),
        (then(type="exec", cmd="x " + "y" * 50_000), "at most 8,192 bytes"),
    ],
)
def test_what_can_not_be_done_is_a_sentence(
    body: dict[str, Any], says: str, shared_http: httpx.Client
) -> None:
    before = busy(shared_http)[0]
    answer = shared_http.post("/jobs/add", content=json.dumps(body), headers=JSON)
    detail = problem_of(answer, 400)["detail"]
    assert says in detail
    assert len(detail) < 500
    assert busy(shared_http)[0] == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 5000, b'{"a":' * 5000]
)
def test_what_is_no_json_object_is_a_sentence(body: bytes, shared_http: httpx.Client) -> None:
    for headers in ({}, JSON, {"content-type": "application/x-www-form-urlencoded"}):
        answer = shared_http.post("/jobs/add", content=body, headers=headers)
        assert problem_of(answer, 400)["detail"]


def test_what_is_nested_deeply_is_a_sentence(shared_http: httpx.Client) -> None:
    """Also where it is just not too deep to be read."""
    for depth in (10, *range(700, 1000, 5)):
        nested = "[" * depth + "]" * depth
        body = json.dumps(http_(params={"a": 0})).replace('"a": 0', f'"a": {nested}')
        problem_of(shared_http.post("/jobs/add", content=body, headers=JSON), 400)


def test_what_is_too_large_is_a_sentence() -> None:
    flags = ("--http", "127.0.0.1:0", "--max-payload", "20000", "--max-output", "40000")
    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            for length, status in ((1_000_000, 413), (19_900, 413)):
                body = json.dumps(http_(params={"a": "x" * length}))
                answer = http.post("/jobs/add", content=body, headers=JSON)
                assert "this server takes" in problem_of(answer, status)["detail"]
            assert add(http, http_(params={"a": "x" * 15_000})["command"])


@pytest.mark.parametrize("number", ["1", "0", "-1", "9" * 18, "9" * 40, "007"])
def test_an_unknown_number_is_404(number: str, shared_http: httpx.Client) -> None:
    detail = problem_of(shared_http.get(f"/jobs/status/{number}"), 404)["detail"]
    assert "no job" in detail


@pytest.mark.parametrize("number", ["x", "1.5", "1e3", "9" * 5000, "%00", "٣x", " "])
def test_what_is_no_number_is_a_sentence(number: str, shared_http: httpx.Client) -> None:
    answer = shared_http.get(f"/jobs/status/{number}")
    assert problem_of(answer, 400)["detail"]


def test_other_methods_are_none(shared_http: httpx.Client) -> None:
    problem_of(shared_http.put("/jobs/add"), 405)
    problem_of(shared_http.get("/jobs/add"), 405)
    assert "POST" in shared_http.get("/jobs/add").headers["allow"]
    problem_of(shared_http.post("/jobs/status"), 405)
    problem_of(shared_http.delete("/jobs/status/1"), 405)


def test_where_there_is_a_token_it_is_needed() -> None:
    with ServerProcess("--http", "127.0.0.1:0", "--http-token", "s3cret") as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            body = json.dumps(exec_())
            for path in ("/jobs/status", "/jobs/status/1"):
                assert "token" in problem_of(http.get(path), 401)["detail"]
            answer = http.post("/jobs/add", content=body, headers=JSON)
            assert "token" in problem_of(answer, 401)["detail"]
            for authorization in ("Bearer s3cret", "Basic cGhwOnMzY3JldA=="):
                http.headers["authorization"] = authorization
                number = add(http, exec_()["command"])
                assert status(http, number)["state"] == "waiting"
            assert busy(http)[0] == 2


def test_a_page_of_another_host_adds_nothing(shared_http: httpx.Client) -> None:
    """A form could: its media type is none that browsers would ask about first."""
    before = busy(shared_http)[0]
    headers = {"origin": "https://evil.example", "content-type": "text/plain"}
    answer = shared_http.post("/jobs/add", content=json.dumps(exec_()), headers=headers)
    assert "another host" in problem_of(answer, 403)["detail"]
    assert busy(shared_http)[0] == before
