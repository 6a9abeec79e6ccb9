"""The engine and a plain model are driven side by side; after every step the rules must hold.

Everything that a peer can see is compared with the model: return values, what each client hears,
the statistics.  Wake-ups are the engine's choice, so they are checked as rules.
"""

import math
import sys

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gearpy.engine.job import DATA, WARNING
from gearpy.errors import GearpyError
from gearpy.priority import Priority

from .model import ModelJob
from .world import CLIENTS, WORKERS, WorkerSide, World

clients = st.integers(0, CLIENTS - 1)
workers = st.integers(0, WORKERS - 1)
functions = st.sampled_from([b"a", b"b", b"c"])
uniques = st.sampled_from([b"", b"", b"u", b"v", b"-", b"x" * 63 + b"1", b"x" * 63 + b"2"])
payloads = st.sampled_from([b"", b"p", b"u"])
priorities = st.sampled_from(Priority)
delays_s = st.sampled_from([-1.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.5, 3.0])
timeouts_s = st.sampled_from([0.0, 0.0, 0.05, 1.0, 3.0])
steps_s = st.sampled_from([0.0, 0.03, 0.05, 0.1, 0.1, 0.25, 1.0, 5.0])
picks = st.integers(0, 59)
datas = st.sampled_from([b"", b"one", b"two"])


class EngineBesideModel(World, RuleBasedStateMachine):
    """A few clients and workers; who leaves is followed by a newcomer.

    The rules are few, and rare things share one: what is common in life shall be common here.
    """

    @initialize(
        retries=st.sampled_from([-1, 0, 1, 2]),
        wakes=st.sampled_from([1, 1, 1, 2, 3]),
        abilities=st.lists(
            st.lists(functions, min_size=1, max_size=3), min_size=WORKERS, max_size=WORKERS
        ),
    )
    def begin(self, retries: int, wakes: int, abilities: list[list[bytes]]) -> None:
        self.start(retries, wakes)
        for number, names in enumerate(abilities):
            for function in names:
                self._can_do(number, function, 0.0)

    # ---- clients

    @rule(
        number=st.one_of(st.none(), clients),
        function=functions,
        unique=uniques,
        payload=payloads,
        priority=priorities,
        delay_s=delays_s,
    )
    def submit(
        self,
        number: int | None,
        function: bytes,
        unique: bytes,
        payload: bytes,
        priority: Priority,
        delay_s: float,
    ) -> None:
        self._submit(number, function, unique, payload, priority, delay_s)

    @rule(number=clients, other=st.one_of(st.none(), clients), function=functions)
    def submit_the_same(self, number: int, other: int | None, function: bytes) -> None:
        for submitter in (number, other, number):
            self._submit(submitter, function, b"same", b"", Priority.NORMAL, 0.0)

    def _submit(
        self,
        number: int | None,
        function: bytes,
        unique: bytes,
        payload: bytes,
        priority: Priority,
        delay_s: float,
    ) -> None:
        side = None if number is None else self.clients[number]
        due_s = self.model.now_s + delay_s
        new = b"H:t:%d" % (self.engine.statistics().submitted + 1)
        expected = self.model.submit(
            side.name if side else None, function, unique, payload, priority, due_s, new
        )
        client = side.port.client if side else None
        answer: bytes | str
        try:
            answer = self.engine.submit(client, function, unique, payload, priority, due_s).handle
        except GearpyError as error:
            answer = type(error).__name__
        assert answer == expected
        if isinstance(answer, bytes):
            if answer == new:
                self.handles.append(answer)
            if side is None:
                self.kept.add(answer)
            else:
                side.submissions[answer] += 1

    def _leave(self, number: int) -> None:
        side = self.clients[number]
        self.engine.leave(side.port.client)
        self.model.leave(side.name)
        self.clients[number] = self.new_client()
        assert not side.port.take(), "who left hears nothing"

    # ---- workers

    @rule(
        number=workers,
        what=st.sampled_from(["can do", "can do", "can do", "cannot do", "reset"]),
        function=functions,
        timeout_s=timeouts_s,
    )
    def change_abilities(self, number: int, what: str, function: bytes, timeout_s: float) -> None:
        side = self.workers[number]
        if what == "can do":
            self._can_do(number, function, timeout_s)
        elif what == "cannot do":
            side.less_able = True
            self.engine.cannot_do(side.worker, function)
            self.model.cannot_do(side.name, function)
        else:
            side.less_able = True
            self.engine.reset_abilities(side.worker)
            self.model.reset_abilities(side.name)

    def _can_do(self, number: int, function: bytes, timeout_s: float) -> None:
        side = self.workers[number]
        self.engine.can_do(side.worker, function, timeout_s)
        self.model.can_do(side.name, function, timeout_s)

    @rule(number=workers)
    def grab(self, number: int) -> None:
        side = self.workers[number]
        side.speaks()
        self._grab(side)

    def _grab(self, side: WorkerSide) -> bool:
        job = self.engine.grab(side.worker)
        expected = self.model.grab(side.name)
        if job is None or expected is None:
            assert job is None
            assert expected is None
            return False
        assert job.handle == expected.handle
        assert job.payload == expected.payload
        assert job.due_s <= self.model.now_s, "no job before its time"
        return True

    @rule(number=workers)
    def sleep(self, number: int) -> None:
        side = self.workers[number]
        side.speaks()
        side.sleeping = True
        self.engine.sleep(side.worker)

    @rule()
    def everybody_comes(self) -> None:
        """What well-behaved workers do: who is woken grabs, who gets nothing sleeps."""
        for side in self.workers:
            if side.woken_s is not None:
                side.speaks()
                if not self._grab(side):
                    side.sleeping = True
                    self.engine.sleep(side.worker)
                self.note_wakes()

    @rule()
    def everybody_sleeps(self) -> None:
        for side in self.workers:
            if not side.sleeping and side.woken_s is None:
                side.speaks()
                side.sleeping = True
                self.engine.sleep(side.worker)
                self.note_wakes()

    def _pick(self, side: WorkerSide, pick: int) -> bytes:
        """A handle: mostly of a job that the worker holds, now and then of any other."""
        held = [job.handle for job in self.model.held if job.worker == side.name]
        if held and pick % 6:
            return held[pick % len(held)]
        return self.handles[pick % len(self.handles)] if self.handles else b"H:t:0"

    @rule(
        number=workers,
        pick=picks,
        what=st.sampled_from(["data", "warning", "status"]),
        data=datas,
    )
    def report(self, number: int, pick: int, what: str, data: bytes) -> None:
        side = self.workers[number]
        handle = self._pick(side, pick)
        if what == "status":
            data = b"%d\0%d" % (pick, pick + 1)
            known = self.engine.progress(side.worker, handle, pick, pick + 1, data)
        elif what == "data":
            known = self.engine.report(side.worker, handle, DATA, data)
        else:
            known = self.engine.report(side.worker, handle, WARNING, data)
        assert known == self.model.report(side.name, handle, what, data)

    @rule(
        number=workers,
        pick=picks,
        outcome=st.sampled_from(["completed", "completed", "failed", "exception"]),
        data=datas,
    )
    def end(self, number: int, pick: int, outcome: str, data: bytes) -> None:
        side = self.workers[number]
        handle = self._pick(side, pick)
        if outcome == "completed":
            known = self.engine.complete(side.worker, handle, data)
        elif outcome == "exception":
            known = self.engine.exception(side.worker, handle, data)
        else:
            data = b""
            known = self.engine.fail(side.worker, handle)
        assert known == self.model.end(side.name, handle, outcome, data)
        if known:
            self.kept.discard(handle)

    @rule(what=st.sampled_from(["client", "worker"]), number=workers)
    def leave(self, what: str, number: int) -> None:
        if what == "client":
            self._leave(number % CLIENTS)
        else:
            self._lose(number)

    def _lose(self, number: int) -> None:
        side = self.workers[number]
        self.engine.lose(side.worker)
        self.model.lose(side.name)
        del self.model.workers[side.name]
        self.workers[number] = self.new_worker()
        assert not side.worker.jobs
        assert not side.worker.abilities

    # ---- operators

    @rule(
        what=st.sampled_from(["cancel", "limit", "create", "drop", "drain"]),
        pick=picks,
        function=functions,
        sizes=st.sampled_from([(0, 0, 0), (3, 2, 1), (5, 0, 4)]),
    )
    def operate(self, what: str, pick: int, function: bytes, sizes: tuple[int, int, int]) -> None:
        if what == "cancel":
            handle = self.handles[-1 - pick % len(self.handles)] if self.handles else b"H:t:0"
            assert self.engine.cancel(handle) == self.model.cancel(handle)
            self.kept.discard(handle)
        elif what == "limit":
            self.engine.limit(function, sizes)
            self.model.limit(function, sizes)
        elif what == "create":
            self.engine.create_function(function)
            self.model.know(function)
        elif what == "drop":
            dropped = self.engine.drop_function(function) == "dropped"
            assert dropped == self.model.drop_function(function)
        elif pick == 0:
            self.engine.draining = True
            self.model.draining = True

    # ---- time

    @rule(step_s=steps_s)
    def advance(self, step_s: float) -> None:
        now_s = self.model.now_s + step_s
        late = [
            side
            for side in self.workers
            if side.worker.called_for is not None and self.patience_ends_s(side) <= now_s
        ]
        self.passed_over += len(late)
        next_s = self.engine.advance(now_s)
        self.model.advance(now_s)
        for side in late:
            assert side.worker.called_for is None, "who does not come in time is passed over"
        self.note_wakes()
        waits_s = [event[0] for event in self.model.pending()]
        waits_s += [
            self.patience_ends_s(side)
            for side in self.workers
            if side.worker.called_for is not None
        ]
        assert next_s == min(waits_s, default=math.inf), "it says when to call again"

    # ---- what must hold after every step, and in the end

    @invariant()
    def it_holds(self) -> None:
        self.everything_holds()

    def teardown(self) -> None:
        """After calm every accepted job ends: workers come, and nothing is left behind."""
        if sys.exc_info()[0] is not None or self.model.draining:
            return  # a step failed already, or nothing more is handed out
        for _ in range(len(self.model.jobs) + 1):
            self.advance(10.0)
            side = self.workers[0]
            for function in list(self.model.functions):
                self.engine.can_do(side.worker, function)
                self.model.can_do(side.name, function, 0.0)
            job: ModelJob | None
            for job in list(self.model.held):
                holder = next(side for side in self.workers if side.name == job.worker)
                assert self.engine.complete(holder.worker, job.handle, b"")
                assert self.model.end(job.worker, job.handle, "completed", b"")
            self.note_wakes()
            side.speaks()
            self._grab(side)
            self.note_wakes()
        assert not list(self.engine.jobs())
        self.clients_hear_what_workers_say()


TestEngineBesideModel = EngineBesideModel.TestCase
TestEngineBesideModel.settings = settings(
    max_examples=600,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
