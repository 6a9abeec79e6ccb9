"""A broker with jobs in every state, and an operator who asks."""

import json
from typing import Any, Final

from gearpy.broker.broker import Broker, Facts
from gearpy.engine.job import DEAD, FINISHED, UNFINISHED, JobState
from gearpy.engine.options import read_options
from gearpy.engine.policy import read_policy
from gearpy.priority import Priority
from gearpy.server.ticks import CronTicks
from tests.engine.recorders import WorkerRecorder, able

NOW_S: Final = 1_000_000.0
KEPT: Final = {"attempts": 2, "retry_on": ["exception"], "backoff": [5000], "keep_s": 100_000}
ALL_STATES: Final[tuple[JobState, ...]] = (*UNFINISHED, *FINISHED, DEAD)


class Shop:
    """A broker whose jobs of functions f* are tried twice and kept, and an operator."""

    def __init__(self) -> None:
        self.broker = Broker(now_s=NOW_S, facts=Facts(version="1.2.3", pid=42), ticks=CronTicks())
        self.engine = self.broker.engine
        self.engine.functions.set_policy(b"f*", read_policy(KEPT))
        self._workers: dict[bytes, WorkerRecorder] = {}

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        answer, _ticket = self.broker.operations.answer(
            json.dumps({"do": verb, **fields}).encode(), "ann"
        )
        answer.decode("ascii")
        table = json.loads(answer)
        assert isinstance(table, dict)
        return table

    def handles(self, **fields: Any) -> list[str]:
        return [job["handle"] for job in self.ask("jobs", **fields)["jobs"]]

    def loop(self, verb: str, limit: int, **fields: Any) -> tuple[int, int]:
        """Does it slice by slice; returns how many it was done with, and how many were skipped."""
        count = skipped = calls = 0
        offset: int | None = 0
        while offset is not None:
            answer = self.ask(verb, limit=limit, offset=offset, **fields)
            count += answer["count"]
            skipped += answer.get("skipped", 0)
            offset = answer["next"]
            calls += 1
            assert calls < 1000, "it ends"
        return count, skipped

    def later(self, seconds: float) -> None:
        self.broker.advance(self.engine.now_s + seconds)

    def submit(self, function: bytes = b"f", unique: bytes = b"", payload: bytes = b"") -> str:
        return self.engine.submit(None, function, unique, payload).handle.decode()

    def running(self, function: bytes = b"f", unique: bytes = b"", payload: bytes = b"") -> bytes:
        """A job that was given to a worker before all others."""
        job = self.engine.submit(None, function, unique, payload, Priority.CRITICAL)
        self.grab(function, job.handle)
        return job.handle

    def grab(self, function: bytes, handle: bytes) -> None:
        job = self.engine.grab(self.worker(function).worker)
        assert job is not None
        assert job.handle == handle

    def worker(self, function: bytes) -> WorkerRecorder:
        if function not in self._workers:
            self._workers[function] = able(self.engine, function)
        return self._workers[function]

    def make(self, state: JobState, function: bytes = b"f", unique: bytes = b"") -> str:
        """A job in that state."""
        engine, worker = self.engine, self.worker(function).worker
        match state:
            case "queued":
                return self.submit(function, unique)
            case "delayed":
                due_s = engine.now_s + 50_000
                return engine.submit(None, function, unique, b"", due_s=due_s).handle.decode()
            case "expired":
                options = read_options(b'{"expires_s": 1}')
                handle = engine.submit(None, function, unique, b"", options=options).handle
                self.later(2)
            case "cancelled":
                handle = self.submit(function, unique).encode()
                engine.cancel(handle)
            case _:
                handle = self.running(function, unique)
                if state in ("retrying", "dead"):
                    engine.exception(worker, handle, b"no such photo")
                if state == "dead":
                    engine.retry(handle)
                    self.grab(function, handle)
                    engine.exception(worker, handle, b"still no such photo")
                if state == "completed":
                    engine.complete(worker, handle, b"done")
                if state == "failed":
                    engine.fail(worker, handle)
        job = engine.find(handle)
        assert job is not None
        assert job.state == state
        return handle.decode()
