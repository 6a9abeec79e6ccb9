"""Workers: most do their jobs; some die, hang, answer late, twice, or for somebody else."""

from functools import partial
from typing import Final, final

from gearpy.engine.policy import SEEN
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.simulation.peer import Peer, Surroundings

_GOSSIP_MAX: Final = 20
_ASSIGNMENTS: Final = (p.JOB_ASSIGN, p.JOB_ASSIGN_UNIQ, p.JOB_ASSIGN_ALL, p.JOB_ASSIGN_OPTIONS)
_HANG_S: Final = 4.0


@final
class Worker(Peer):
    """GRAB_JOB until there is NO_JOB, then PRE_SLEEP until NOOP; and some mischief."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self._extended = False
        self._functions: list[bytes] = []
        self._grabs = 0  # without an answer
        self._asleep = False
        super().__init__(name, around)

    def _does(self, what: str) -> bool:
        """Whether it does this mischief now."""
        chance = 0.0 if self.around.calm else self.around.features.workers_do[what]
        return self.rng.random() < chance

    def _work_s(self) -> float:
        return self.rng.expovariate(1.0) * self.around.features.busy_s / 100

    # ---- a new connection

    def greet(self) -> None:
        rng = self.rng
        self._grabs, self._asleep = 0, False
        if rng.random() < 0.3:
            self.send(codec.request(p.SET_CLIENT_ID, self.name.encode()))
        self._extended = self._does("speak gearpy")
        if self._extended:
            self.send(codec.request(p.OPTION_REQ, b"gearpy"))
            self._say_how_it_is()
        functions = self.around.features.workable
        count = len(functions) if self.around.calm else rng.randint(1, len(functions))
        self._functions = rng.sample(functions, count)
        for function in self._functions:
            self._can_do(function)
        self._grab()

    def _say_how_it_is(self) -> None:
        state = {"group": self.name, "supervisor": self.rng.random() < 0.5, "interval_s": 1}
        self.send(codec.request(p.WORKER_STATE, codec.packed(state)))

    def _can_do(self, function: bytes) -> None:
        if self._does("have timeouts"):
            timeout = self.rng.choice((b"1", b"1500", b"0"))
            self.send(codec.request(p.CAN_DO_TIMEOUT, function, timeout))
        else:
            self.send(codec.request(p.CAN_DO, function))

    def _grab(self) -> None:
        number = self.rng.choice((p.GRAB_JOB, p.GRAB_JOB_UNIQ, p.GRAB_JOB_ALL))
        count = 2 if self._does("grab twice") else 1
        self._grabs += count
        self._asleep = False
        self.send(codec.request(number) * count)

    # ---- what it hears

    def hear(self, number: int, body: bytes) -> None:
        if number in _ASSIGNMENTS:
            self._grabs -= 1
            self._work(body.partition(b"\0")[0])
        elif number == p.NO_JOB:
            self._grabs -= 1
            if not self._grabs:
                self._asleep = True
                self.send(codec.request(p.PRE_SLEEP))
        elif number == p.NOOP:
            if self._does("ignore a wake-up"):
                self.later(0.05 + self.rng.random(), self._wake)
            elif self._asleep and self._does("sleep on"):
                self.send(codec.request(p.PRE_SLEEP))
            else:
                self._wake()

    def _wake(self) -> None:
        if self._asleep or self.rng.random() < 0.2:
            self._grab()

    def forget(self) -> None:
        """Its jobs are gone with the connection."""

    # ---- a job

    def _work(self, handle: bytes) -> None:
        self._talk_of(handle)
        if self._does("answer for another"):
            self._answer_for_another()
        if self._does("submit"):
            function = self.rng.choice(self.around.features.functions)
            self.send(codec.request(p.SUBMIT_JOB_BG, function, b"", b"after " + handle))
        if self._does("change abilities"):
            self.later(self._work_s(), self._change_abilities)
        if self._does("sleep at work"):
            self._asleep = True
            self.send(codec.request(p.PRE_SLEEP))
        if self._does("report"):
            for count in range(self.rng.randint(1, 4)):
                self.later(self._work_s() * 0.1, partial(self._report, handle, count))
        if self._does("die"):
            self.later(self._work_s(), self._die)
        elif self._does("hang"):
            self.later(self._work_s() + _HANG_S, self._die)
        else:
            late_s = 1.0 + self.rng.random() if self._does("answer late") else 0.0
            self.later(self._work_s() + late_s, lambda: self._finish(handle))

    def _report(self, handle: bytes, count: int) -> None:
        kind = self.rng.choice((p.WORK_DATA, p.WORK_WARNING, p.WORK_STATUS))
        said = b"%b says %d" % (self.name.encode(), count)
        if kind == p.WORK_STATUS and self._extended and self.rng.random() < 0.5:
            self.send(codec.request(p.WORK_PROGRESS, handle, b"%d" % count, b"9", said))
        elif kind == p.WORK_STATUS:
            self.send(codec.request(p.WORK_STATUS, handle, b"%d" % count, b"9"))
        else:
            self.send(codec.request(kind, handle, said))

    def _finish(self, handle: bytes) -> None:
        if self._extended and self.rng.random() < 0.2:
            self._say_how_it_is()
        if self._does("fail"):
            packet = codec.request(p.WORK_FAIL, handle)
        elif self._does("except"):
            packet = codec.request(p.WORK_EXCEPTION, handle, b"boo by " + self.name.encode())
        elif self._extended and self._does("see it fail"):
            cause = self.rng.choice(SEEN).encode()
            packet = codec.request(p.WORK_FAILURE, handle, cause, b"so " + self.name.encode())
        else:
            packet = codec.request(p.WORK_COMPLETE, handle, b"by " + self.name.encode())
        if self._extended and self.rng.random() < 0.5:
            usage = {"cpu_s": self.rng.random(), "memory_bytes": self.rng.randrange(10**9)}
            self.send(codec.request(p.WORK_USAGE, handle, codec.packed(usage)))
        # As real workers do, it sends its result and asks for more in one write.
        self.send(packet * (2 if self._does("answer twice") else 1))
        if not self._grabs:
            self._grab()

    # ---- mischief

    def _talk_of(self, handle: bytes) -> None:
        gossip = self.around.gossip
        gossip.append(handle)
        del gossip[:-_GOSSIP_MAX]

    def _answer_for_another(self) -> None:
        handle = self.rng.choice(self.around.gossip)
        number = self.rng.choice((p.WORK_COMPLETE, p.WORK_FAIL, p.WORK_DATA, p.WORK_EXCEPTION))
        fields = () if number == p.WORK_FAIL else (b"not mine",)
        self.send(codec.request(number, handle, *fields))

    def _change_abilities(self) -> None:
        if self.rng.random() < 0.5:
            self.send(codec.request(p.RESET_ABILITIES))
            lost = self._functions
        else:
            lost = [self.rng.choice(self._functions)]
            self.send(codec.request(p.CANT_DO, lost[0]))
        for function in lost:
            self.later(self.rng.random() * 0.3, partial(self._can_do, function))

    def _die(self) -> None:
        self.leave()
        self.around.clock.after(self.rng.random() * 0.5, self.connect)

    def retire(self) -> None:
        """It goes, and does not come back."""
        self.leave()
        self.stopped = True
