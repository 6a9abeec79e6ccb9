"""The engine and a plain model are driven side by side; after every step the rules must hold.

Everything that a peer can see is compared with the model: return values, what each client hears,
the statistics.  Wake-ups are the engine's choice, so they are checked as rules.
"""

import math
import sys
from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gearpy.engine.job import DATA, WARNING
from gearpy.engine.options import Options, read_options
from gearpy.engine.policy import Cause, Delays, Exponential, Policy
from gearpy.engine.statistics import Usage
from gearpy.errors import GearpyError, InvalidArgument
from gearpy.priority import Priority

from .model_job import ModelJob
from .world import CLIENTS, WORKERS, WorkerSide, World

clients = st.integers(0, CLIENTS - 1)
workers = st.integers(0, WORKERS - 1)
functions = st.sampled_from([b"a", b"b", b"c"])
uniques = st.sampled_from([b"", b"", b"u", b"v", b"-", b"x" * 63 + b"1", b"x" * 63 + b"2"])
payloads = st.sampled_from([b"", b"p", b"u"])
priorities = st.sampled_from(Priority)
delays_s = st.sampled_from([0.0, 0.0, 0.0, -1.0, 0.05, 0.5, 3.0])
timeouts_s = st.sampled_from([0.0, 0.05, 1.0, 3.0])
steps_s = st.sampled_from([0.0, 0.03, 0.05, 0.1, 0.25, 0.5, 0.5, 1.0, 5.0, 60.0])
picks = st.integers(0, 59)
datas = st.sampled_from([b"", b"one", b"two"])
outcomes = st.sampled_from(["completed", "failed", "failed", "exception", "timeout", "lost"])

POLICIES = (
    Policy(),
    Policy(attempts=2, backoff=Delays()),
    Policy(attempts=3, backoff=Delays((0.5, 2.0)), retry_on=frozenset({"fail", "lost"})),
    Policy(retry_on=frozenset({"timeout", "exception"}), poison=1),
    Policy(retry_on=frozenset()),
    Policy(backoff=Exponential(base_s=0.5, factor=3.0, cap_s=4.0, jitter=0.5), poison=2),
    Policy(timeout_s=0.5, poison=0),
    Policy(delay_s=0.5, expires_s=1.0),
    Policy(expires_s=0.25),
    Policy(max_running=1),
    Policy(max_running=2, max_running_per_key=1),
    Policy(max_running_per_key=1),
    Policy(max_running_per_key=1),
    Policy(max_running_per_key=2),
    Policy(rate_per_minute=1),
    Policy(rate_per_minute=3, max_running=2),
    Policy(max_queue=3),
    Policy(keep_s=4.0),
    Policy(keep_s=1000.0, keep_bytes=6),
)
USAGES = (Usage(1.5, 80_000_000), Usage(0.0), Usage(None, 7), Usage())
policies = st.one_of(
    st.sampled_from(POLICIES),
    st.builds(Policy.over, st.sampled_from(POLICIES), st.sampled_from(POLICIES)),
)
OPTIONS = (
    b'{"key": "k"}',
    b'{"key": "k"}',
    b'{"key": "l", "labels": {"user": "ann"}}',
    b'{"attempts": 2, "backoff": "none"}',
    b'{"attempts": 1, "key": "k"}',
    b'{"expires_s": 0.5, "poison": 1}',
    b'{"delay_s": 0.05, "expires_s": 3}',
    b'{"delay_s": 0}',
    b'{"timeout_s": 0.25, "retry_on": ["timeout"]}',
)
options = st.sampled_from([None, None, None, None, *map(read_options, OPTIONS)])
keys = st.sampled_from([None, read_options(OPTIONS[0]), read_options(OPTIONS[2])])


class EngineBesideModel(World, RuleBasedStateMachine):
    """A few clients and workers; who leaves is followed by a newcomer.

    The rules are few, and rare things share one: what is common in life shall be common here.
    """

    @initialize(
        retries=st.sampled_from([-1, 0, 1, 2]),
        wakes=st.sampled_from([1, 1, 1, 2, 3]),
        draw=st.sampled_from([0.0, 0.5, 1.0]),
        from_file=st.dictionaries(functions, policies, max_size=3),
        abilities=st.lists(
            st.lists(functions, min_size=1, max_size=3), min_size=WORKERS, max_size=WORKERS
        ),
    )
    def begin(
        self,
        retries: int,
        wakes: int,
        draw: float,
        from_file: dict[bytes, Policy],
        abilities: list[list[bytes]],
    ) -> None:
        self.start(retries, wakes, draw, from_file)
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
        asked=options,
    )
    def submit(
        self,
        number: int | None,
        function: bytes,
        unique: bytes,
        payload: bytes,
        priority: Priority,
        delay_s: float,
        asked: Options | None,
    ) -> None:
        self._submit(number, function, unique, payload, priority, delay_s, asked)

    @rule(function=functions, asked=keys, copies=st.integers(2, 4))
    def submit_some(self, function: bytes, asked: Options | None, copies: int) -> None:
        for _ in range(copies):
            self._submit(None, function, b"", b"p", Priority.NORMAL, 0.0, asked)

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
        asked: Options | None = None,
    ) -> None:
        side = None if number is None else self.clients[number]
        due_s = self.model.now_s + delay_s if delay_s else 0.0
        new = b"H:t:%d" % self.engine.next_number
        expected = self.model.submit(
            side.name if side else None, function, unique, payload, priority, due_s, asked, new
        )
        client = side.port.client if side else None
        answer: bytes | str
        try:
            answer = self.engine.submit(
                client, function, unique, payload, priority, due_s, options=asked
            ).handle
        except GearpyError as error:
            answer = type(error).__name__
        assert answer == expected
        if isinstance(answer, bytes):
            if answer == new:
                self.handles.append(answer)
            if side is not None:
                side.waits[answer] += 1

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

    def _grab(self, side: WorkerSide) -> bool:
        job = self.engine.grab(side.worker)
        expected = self.model.grab(side.name)
        if job is None or expected is None:
            assert job is None
            assert expected is None
            return False
        assert job.handle == expected.handle
        assert job.payload == expected.payload
        assert expected.due_s <= self.model.now_s, "no job before its time"
        assert not expected.expire_s or self.model.now_s < expected.expire_s, "nor after it"
        self._limits_hold(expected)
        return True

    def _limits_hold(self, job: ModelJob) -> None:
        """One of its function has just started."""
        found = self.engine.functions.get(job.function)
        assert found is not None
        policy = found.policy
        assert not found.paused
        if policy is None:
            return
        running = [each for each in self.engine.jobs() if each.function == job.function]
        running = [each for each in running if each.state == "running"]
        assert not policy.max_running or len(running) <= policy.max_running
        with_key = sum(each.key == job.key for each in running)
        assert not (policy.max_running_per_key and job.key) or (
            with_key <= policy.max_running_per_key
        )
        if policy.rate_per_minute:
            assert len(self.model.recent_starts(job.function)) <= policy.rate_per_minute

    @rule(number=workers, who=st.sampled_from(["one", "who is awake", "who was woken"]))
    def rest(self, number: int, who: str) -> None:
        if who == "one":
            self._sleep(self.workers[number])
        elif who == "who is awake":
            for side in self.workers:
                if not side.sleeping and side.woken_s is None:
                    self._sleep(side)
        else:
            self._everybody_comes()

    def _sleep(self, side: WorkerSide) -> None:
        side.speaks()
        side.sleeping = True
        self.engine.sleep(side.worker)
        self.note_wakes()

    def _everybody_comes(self) -> None:
        """What well-behaved workers do: who is woken grabs, who gets nothing sleeps."""
        for side in self.workers:
            if side.woken_s is not None:
                side.speaks()
                if not self._grab(side):
                    self._sleep(side)
                self.note_wakes()

    def _pick(self, number: int, pick: int) -> tuple[WorkerSide, bytes]:
        """A worker and a job that it holds; now and then of any worker and any job."""
        held = self.model.held
        if held and pick % 6:
            job = held[pick % len(held)]
            return next(side for side in self.workers if side.name == job.worker), job.handle
        handle = self.handles[pick % len(self.handles)] if self.handles else b"H:t:0"
        return self.workers[number], handle

    @rule(
        number=workers,
        pick=picks,
        what=st.sampled_from(["data", "warning", "status", "progress", "usage"]),
        data=datas,
        usage=st.sampled_from(USAGES),
    )
    def report(self, number: int, pick: int, what: str, data: bytes, usage: Usage) -> None:
        side, handle = self._pick(number, pick)
        if what == "usage":
            known = self.engine.usage(side.worker, handle, usage)
            assert known == self.model.usage(side.name, handle, usage)
            return
        if what in ("status", "progress"):
            counts, text = b"%d\0%d" % (pick, pick + 1), data if what == "progress" else b""
            known = self.engine.progress(side.worker, handle, pick, pick + 1, counts, text)
            what, data = ("progress", counts + b"\0" + text) if text else ("status", counts)
        else:
            kind = DATA if what == "data" else WARNING
            known = self.engine.report(side.worker, handle, kind, data)
        assert known == self.model.report(side.name, handle, what, data)

    @rule(
        number=workers,
        what=st.sampled_from(["grab", "grab", "work", "end", "end"]),
        pick=picks,
        outcome=outcomes,
        data=datas,
    )
    def work(self, number: int, what: str, pick: int, outcome: str, data: bytes) -> None:
        """A worker takes a job, or ends one, or does both again and again."""
        if what == "end":
            side, handle = self._pick(number, pick)
            self._end(side, handle, outcome, data)
            return
        side = self.workers[number]
        side.speaks()
        if what == "grab":
            self._grab(side)
            return
        jobs = 1 + pick % 3
        while jobs and self._grab(side):
            jobs -= 1
            self.note_wakes()
            handle = self.model.held[-1].handle
            self.engine.report(side.worker, handle, DATA, b"part")
            self.model.report(side.name, handle, "data", b"part")
            self._end(side, handle, outcome, data)
            self.note_wakes()

    def _end(self, side: WorkerSide, handle: bytes, outcome: str, data: bytes) -> None:
        if outcome == "completed":
            known = self.engine.complete(side.worker, handle, data)
        elif outcome == "exception":
            known = self.engine.exception(side.worker, handle, data)
        elif outcome in ("timeout", "lost"):
            known = self.engine.failure(side.worker, handle, cast(Cause, outcome), data)
        else:
            data = b""
            known = self.engine.fail(side.worker, handle)
        assert known == self.model.end(side.name, handle, outcome, data)

    @rule(what=st.sampled_from(["client", "worker", "worker"]), number=workers)
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

    @rule(what=st.sampled_from(["cancel", "retry", "retry", "purge"]), pick=picks, dead=picks)
    def operate(self, what: str, pick: int, dead: int) -> None:
        handle = self.handles[-1 - pick % len(self.handles)] if self.handles else b"H:t:0"
        if what == "cancel":
            assert self.engine.cancel(handle) == self.model.cancel(handle)
            return
        if self.model.ended and dead % 4:
            handle = self.model.ended[dead % len(self.model.ended)].handle
        if what == "purge":
            assert self.engine.purge(handle) == self.model.purge(handle)
            return
        answer: bool | str
        try:
            answer = self.engine.retry(handle)
        except InvalidArgument:
            answer = "InvalidArgument"
        assert answer == self.model.retry(handle)

    @rule(function=functions, paused=st.booleans(), draining=st.booleans())
    def steer(self, function: bytes, paused: bool, draining: bool) -> None:
        self.engine.functions.steer(function, paused=paused, draining=draining and paused)
        self.model.steer(function, paused, draining and paused)

    @rule(function=functions, policy=st.one_of(st.none(), policies))
    def decide(self, function: bytes, policy: Policy | None) -> None:
        known = function in self.model.set_policies
        assert self.engine.functions.set_policy(function, policy) == (known or policy is not None)
        self.model.set_policy(function, policy)
        self.decided_s = self.model.now_s

    @rule(
        what=st.sampled_from(["limit", "create", "drop", "drop", "drain", "fill", "restart"]),
        pick=picks,
        function=functions,
        sizes=st.sampled_from([(0, 0, 0), (3, 2, 1), (5, 0, 4)]),
    )
    def seldom(self, what: str, pick: int, function: bytes, sizes: tuple[int, int, int]) -> None:
        if what == "limit":
            self.engine.functions.limit(function, sizes)
            self.model.limit(function, sizes)
        elif what == "create":
            self.engine.functions.create(function)
            self.model.know(function)
        elif what == "drop":
            dropped = self.engine.functions.drop(function) == "dropped"
            assert dropped == self.model.drop_function(function)
        elif what == "fill":
            self.engine.journal_full = self.model.journal_full = pick % 3 == 0
        elif what == "restart":
            if pick % 2:
                self._restart()
        elif pick == 0:
            self.engine.drain()
            self.model.draining = True

    def _restart(self) -> None:
        first_number = self.engine.next_number
        self.model.restart()
        self.new_engine()
        self.restarts += 1
        assert self.engine.next_number >= first_number, "numbers never repeat"

    # ---- time

    @rule(step_s=steps_s, busy=st.booleans())
    def advance(self, step_s: float, busy: bool) -> None:
        for side in self.workers[: WORKERS * busy]:
            side.speaks()
            self._grab(side)
            self.note_wakes()
        self._advance(step_s)

    def _advance(self, step_s: float) -> None:
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
        self.note_wakes(later=True)
        waits_s = [event[0] for event in self.model.pending()]
        waits_s += [
            self.patience_ends_s(side)
            for side in self.workers
            if side.worker.called_for is not None
        ]
        assert now_s < next_s <= min(waits_s, default=math.inf), "it says when to call again"

    # ---- what must hold after every step, and in the end

    @invariant()
    def it_holds(self) -> None:
        self.everything_holds()

    def teardown(self) -> None:
        """After calm every accepted job ends: workers come, and nothing is left behind."""
        if sys.exc_info()[0] is not None or self.model.draining:
            return  # a step failed already, or nothing more is handed out
        for function in list(self.model.functions):
            self.engine.functions.steer(function, paused=False, draining=False)
            self.model.steer(function, False, False)
            self._can_do(0, function, 0.0)
        self.note_wakes()
        side = self.workers[0]
        side.speaks()
        for _ in range(len(self.model.jobs) + 1):
            while self._grab(side):
                self.note_wakes()
                self._complete_all()
            self._complete_all()
            self._advance(70.0)
            side.speaks()
        assert not list(self.engine.jobs())
        self.clients_hear_what_workers_say()

    def _complete_all(self) -> None:
        for job in list(self.model.held):
            holder = next(side for side in self.workers if side.name == job.worker)
            assert self.engine.complete(holder.worker, job.handle, b"")
            assert self.model.end(job.worker, job.handle, "completed", b"")
            self.note_wakes()


TestEngineBesideModel = EngineBesideModel.TestCase
TestEngineBesideModel.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
