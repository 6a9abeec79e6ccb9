"""Clients: they send jobs, wait for some of them, ask, cancel, leave, and keep their receipts."""

import json
from collections import Counter, deque
from typing import Final, final

from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.simulation.books import Broken
from gearpy.testing.simulation.peer import Peer, Surroundings
from gearpy.testing.simulation.story import shown

_FOREGROUND: Final = (p.SUBMIT_JOB, p.SUBMIT_JOB, p.SUBMIT_JOB_HIGH, p.SUBMIT_JOB_LOW)
_BACKGROUND: Final = (p.SUBMIT_JOB_BG, p.SUBMIT_JOB_BG, p.SUBMIT_JOB_HIGH_BG, p.SUBMIT_JOB_LOW_BG)
_ENDS: Final = (p.WORK_COMPLETE, p.WORK_FAIL, p.WORK_EXCEPTION)
_PRIORITIES: Final = ("critical", "high", "normal", "low")


@final
class Client(Peer):
    """``receipts`` are the handles of background jobs for which a JOB_CREATED was delivered: they
    stand on paper, whatever becomes of the server."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.receipts: list[bytes] = []
        self.waits: Counter[bytes] = Counter()  # ends to come, on this connection
        self._asked: deque[bool | None] = deque()  # background, foreground, or no submit
        self._extended = False
        self._count = 0
        self._todo = {
            "submit": self._submit,
            "submit in the background": self._submit_background,
            "submit with options": self._submit_options,
            "submit with a callback": self._submit_callback,
            "submit for later": self._submit_epoch,
            "submit with a reducer": self._submit_reduce,
            "ask": self._ask,
            "cancel": self._cancel,
            "leave": self._leave,
        }
        super().__init__(name, around)
        self._plan()

    def _plan(self) -> None:
        pause_s = self.around.features.busy_s / self.around.features.actions
        self.around.clock.after(self.rng.expovariate(1 / pause_s), self._act)

    def _act(self) -> None:
        if self.around.calm:
            return
        weights = {
            name: weight
            for name, weight in self.around.features.clients_do.items()
            if name in self._todo
        }
        if self.connection is not None:
            for _ in range(self.rng.choice((1, 1, 1, 2, 6))):
                if self.connection is None:
                    break
                self._todo[self.rng.choices(list(weights), list(weights.values()))[0]]()
        self._plan()

    # ---- what it does

    def greet(self) -> None:
        if self.rng.random() < 0.3:
            self._option(b"exceptions")
        self._extended = bool(self.around.features.clients_do["submit with options"])
        if self._extended:
            self._option(b"gearpy")

    def _option(self, name: bytes) -> None:
        self._asked.append(None)
        self.send(codec.request(p.OPTION_REQ, name))

    def _job(self) -> tuple[bytes, bytes, bytes]:
        """A function, a unique and a payload."""
        self._count += 1
        payload = b"%b-%d" % (self.name.encode(), self._count)
        chance = self.rng.random()
        if chance < 0.1:
            payload = self.rng.choice((b"", b"\0", b"a\0b\0\0c", payload * 30))
        unique = b"u" + payload if chance < 0.7 else b""
        if b"\0" in unique or len(unique) > 60:
            unique = b""
        if self.rng.random() * 10 < self.around.features.clients_do["share uniques"]:
            unique = self.rng.choice((b"shared-1", b"shared-2", b"shared-3", b"-"))
            if unique == b"-":
                payload = self.rng.choice((b"the same", b"the same", payload))
        return self.rng.choice(self.around.features.functions), unique, payload

    def _send_job(self, number: int, background: bool, *fields: bytes) -> None:
        self._asked.append(background)
        self.send(codec.request(number, *fields))

    def _submit(self) -> None:
        self._send_job(self.rng.choice(_FOREGROUND), False, *self._job())

    def _submit_background(self) -> None:
        self._send_job(self.rng.choice(_BACKGROUND), True, *self._job())

    def flood(self, count: int) -> None:
        """Sends many jobs for one function at once."""
        for _ in range(count if self.connection is not None else 0):
            _, unique, payload = self._job()
            self._send_job(
                p.SUBMIT_JOB_BG, True, self.around.features.functions[0], unique, payload
            )

    def _submit_epoch(self) -> None:
        function, unique, payload = self._job()
        if self.rng.random() < 0.1:
            every_minute = (b"",) * 5
            self._send_job(p.SUBMIT_JOB_SCHED, True, function, unique, *every_minute, payload)
            return
        due = b"%d" % (self.around.clock.now_s + self.rng.choice((-5, 0, 1, 2, 5)))
        self._send_job(p.SUBMIT_JOB_EPOCH, True, function, unique, due, payload)

    def _submit_reduce(self) -> None:
        function, unique, payload = self._job()
        background = self.rng.random() < 0.5
        number = p.SUBMIT_REDUCE_JOB_BACKGROUND if background else p.SUBMIT_REDUCE_JOB
        self._send_job(number, background, function, unique, b"add", b"0", payload)

    def _submit_callback(self) -> None:
        self._submit_options(callback=self._callback())

    def _submit_options(self, **asked: object) -> None:
        function, unique, payload = self._job()
        background = self.rng.random() < 0.7
        options: dict[str, object] = {
            "background": background,
            "priority": self.rng.choice(_PRIORITIES),
            **asked,
        }
        for name, values in _OPTIONS.items():
            if self.rng.random() < 0.2:
                options[name] = self.rng.choice(values)
        if self.rng.random() < self.around.features.clients_do["share keys"]:
            options["key"] = self.rng.choice(("left", "right"))
        text = json.dumps(options).encode()
        self._send_job(p.SUBMIT_JOB_OPTIONS, background, function, unique, text, payload)

    def _callback(self) -> object:
        """A URL or a job, which others may ask for, too; now and then something that is none."""
        function = codec.decoded(self.rng.choice(self.around.features.functions))
        chance = self.rng.random()
        if chance < 0.4:
            return self.rng.choice(_URLS)
        if chance < 0.6:
            return {"function": function, "data": "then"}
        if chance < 0.7:
            return {"function": function, "data_base64": "AP8A"}
        if chance < 0.95:
            return {"function": function, "data": f"after {self.name}-{self._count}"}
        return self.rng.choice(
            ("mailto:ann@example.org", {"function": ""}, {"function": function, "callback": "?"})
        )

    def _ask(self) -> None:
        self._asked.append(None)
        if self.receipts and self.rng.random() < 0.7:
            self.send(codec.request(p.GET_STATUS, self.rng.choice(self.receipts)))
        else:
            self.send(codec.request(p.GET_STATUS_UNIQUE, b"shared-1"))

    def _cancel(self) -> None:
        if self._extended and self.receipts:
            self._asked.append(None)
            self.send(codec.request(p.CANCEL_JOB, self.rng.choice(self.receipts[-10:])))

    def _leave(self) -> None:
        self.leave()
        self.around.clock.after(self.rng.random() * 0.5, self.connect)

    # ---- what it hears

    def hear(self, number: int, body: bytes) -> None:
        handle = body.partition(b"\0")[0]
        if number in _REPLIES:
            self._reply(number, handle)
        elif number in _ENDS:
            self.waits[handle] -= 1
            if self.waits[handle] < 0:
                raise Broken(f"one ending: {self.name} hears of {shown(handle)} once too often")

    def _reply(self, number: int, handle: bytes) -> None:
        background = self._asked.popleft()
        if number == p.JOB_CREATED and background:
            self.receipts.append(handle)
        elif number == p.JOB_CREATED:
            self.waits[handle] += 1

    def forget(self) -> None:
        self._asked.clear()
        self.waits.clear()


_REPLIES: Final = (
    p.JOB_CREATED,
    p.ERROR,
    p.STATUS_RES,
    p.STATUS_RES_UNIQUE,
    p.OPTION_RES,
    p.CANCEL_RES,
)

_URLS: Final = ("https://example.org/done", "http://localhost:8080/hook?job=1")

_OPTIONS: Final[dict[str, tuple[object, ...]]] = {
    "delay_s": (0, 0.05, 1.5),
    "attempts": (1, 2, 4),
    "backoff": ([0.1], "none", {"base_s": 0.2, "jitter": 0.5}),
    "retry_on": (["lost"], ["fail", "exception"], []),
    "poison": (0, 1, 3),
    "timeout_s": (0.2, 1.0),
    "expires_s": (0.1, 2.0),
    "labels": ({"user": "ann"},),
}
