"""The workloads of the race: who connects, how many jobs are in flight, and how many there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.scene import (
    BACKGROUND_IN_FLIGHT,
    CLIENTS,
    WORKERS,
    Scene,
    SetScene,
    do_some,
    drain,
    fill,
    unfinished,
    uuid,
)
from gearpy.protocol import packets as p

FOREGROUND_IN_FLIGHT: Final = 32
CROWD: Final = 50
SLEEPERS: Final = 200
MANY_SLEEPERS: Final = 2_000
MANY_FUNCTIONS: Final = 20_000
IDLE: Final = 10_000
MILLION: Final = 1_000_000

_16K: Final = b"x" * (16 << 10)
_1M: Final = b"x" * (1 << 20)

# Submit fills a queue, drain empties it.
_QUEUE: Final = (b"bench-queue",)
_LOCK_STEP: Final = (b"bench-lock-step",)
_KEYED: Final = (b"bench-keyed",)
_LIVE: Final = (b"bench-live",)
_16K_QUEUE: Final = (b"bench-16k",)
_1M_QUEUE: Final = (b"bench-1m",)
_MILLION_QUEUE: Final = (b"bench-million",)
_ECHO: Final = (b"bench-echo",)


@dataclass(frozen=True, slots=True)
class Workload:
    """A name for the command line, a sentence for people, and how to set the scene."""

    name: str
    title: str
    jobs: int
    set_scene: SetScene


def many_functions(count: int, name: bytes = b"bench-function") -> list[bytes]:
    """So many names, all of one length."""
    return [b"%b-%05d" % (name, number) for number in range(count)]


def _echo(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _ECHO, left_over=0)
    scene.add_echoers(BACKGROUND_IN_FLIGHT)
    return scene


def foreground(
    port: int,
    jobs: int,
    clients: int = CLIENTS,
    in_flight: int = FOREGROUND_IN_FLIGHT,
    workers: int = WORKERS,
    idle: int = 0,
    rate_per_s: float = 0.0,
    grab: int = p.GRAB_JOB_UNIQ,
) -> Scene:
    """Jobs whose results are waited for; workers sleep when there is nothing to do."""
    scene = Scene(port, jobs, _LIVE, left_over=0)
    scene.add_idle(idle)
    scene.add_clients(
        p.SUBMIT_JOB, p.WORK_COMPLETE, in_flight, count=clients, rate_per_s=rate_per_s
    )
    scene.add_workers(workers, asleep=True, grab=grab)
    return scene


def _functions(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, many_functions(1), left_over=0)
    scene.add_clients(p.SUBMIT_JOB, p.WORK_COMPLETE, 1, count=1)
    scene.add_workers(1, asleep=True, others=many_functions(MANY_FUNCTIONS)[1:])
    return scene


def receipts(port: int, jobs: int, rate_per_s: float) -> Scene:
    """Background submits at a steady rate."""
    scene = Scene(port, jobs, _QUEUE, left_over=unfinished(port, _QUEUE) + jobs)
    scene.add_clients(p.SUBMIT_JOB_BG, p.JOB_CREATED, 0, rate_per_s=rate_per_s)
    return scene


SUBMIT: Final = Workload(
    "submit",
    f"background submits, {CLIENTS} connections with {BACKGROUND_IN_FLIGHT} in flight",
    100_000,
    partial(fill, functions=_QUEUE),
)
DRAIN: Final = Workload(
    "drain",
    f"the jobs of submit, done by {WORKERS} workers",
    100_000,
    partial(drain, functions=_QUEUE),
)
DRAIN_TO_DISK: Final = Workload(
    DRAIN.name, DRAIN.title, DRAIN.jobs, partial(drain, functions=_QUEUE, to_disk=True)
)
SUBMIT_LOCK_STEP: Final = Workload(
    "submit-lock-step",
    "background submits, 1 connection with 1 in flight",
    10_000,
    partial(fill, functions=_LOCK_STEP, in_flight=1, clients=1),
)
DRAIN_ALONE: Final = Workload(
    "drain-1",
    "the jobs of submit-lock-step, done by 1 worker",
    10_000,
    partial(drain, functions=_LOCK_STEP, workers=1),
)
DRAIN_CROWD: Final = Workload(
    f"drain-{CROWD}",
    f"as drain, by {CROWD} workers",
    100_000,
    partial(drain, functions=_QUEUE, workers=CROWD),
)
FOREGROUND: Final = Workload(
    "foreground",
    f"{CLIENTS} clients with {FOREGROUND_IN_FLIGHT} in flight, {WORKERS} workers",
    40_000,
    foreground,
)
FOREGROUND_ALONE: Final = Workload(
    "foreground-1x1",
    "1 client in lock-step, 1 worker",
    6_000,
    partial(foreground, clients=1, in_flight=1, workers=1),
)
FOREGROUND_CROWD: Final = Workload(
    f"foreground-{CROWD}x{CROWD}",
    f"{CROWD} clients in lock-step, {CROWD} workers",
    30_000,
    partial(foreground, clients=CROWD, in_flight=1, workers=CROWD),
)
ASLEEP: Final = Workload(
    "sleepers",
    f"{CLIENTS} clients in lock-step, {SLEEPERS} workers asleep",
    4_000,
    partial(foreground, in_flight=1, workers=SLEEPERS),
)
SUBMIT_16K: Final = Workload(
    "submit-16k",
    "as submit, with payloads of 16 kB",
    8_000,
    partial(fill, functions=_16K_QUEUE, payload=_16K),
)
DRAIN_16K: Final = Workload(
    "drain-16k",
    f"the jobs of submit-16k, done by {WORKERS} workers",
    8_000,
    partial(drain, functions=_16K_QUEUE, payload=_16K),
)
SUBMIT_1M: Final = Workload(
    "submit-1m",
    f"background submits with payloads of 1 MB, {CLIENTS} connections with 1 in flight",
    200,
    partial(fill, functions=_1M_QUEUE, payload=_1M, in_flight=1),
)
DRAIN_1M: Final = Workload(
    "drain-1m",
    f"the jobs of submit-1m, done by {WORKERS} workers",
    200,
    partial(drain, functions=_1M_QUEUE, payload=_1M),
)
SUBMIT_KEYED: Final = Workload(
    "submit-keyed",
    "as submit, each job with a unique key of its own (a UUID, as PHP and C clients send it)",
    100_000,
    partial(fill, functions=_KEYED, new_unique=uuid),
)

WORKLOADS: Final[Sequence[Workload]] = (
    Workload(
        "echo",
        f"ECHO_REQ with 100 bytes, {CLIENTS} connections with {BACKGROUND_IN_FLIGHT} in flight",
        200_000,
        _echo,
    ),
    SUBMIT,
    DRAIN,
    SUBMIT_LOCK_STEP,
    DRAIN_ALONE,
    DRAIN_CROWD,
    FOREGROUND,
    FOREGROUND_ALONE,
    FOREGROUND_CROWD,
    ASLEEP,
    SUBMIT_16K,
    DRAIN_16K,
    SUBMIT_1M,
    DRAIN_1M,
    # The last one: nobody drains it, and a long queue would slow down what follows.
    SUBMIT_KEYED,
)

# What takes many connections or functions: each server is slow to prepare for it.
CROWDS: Final[Sequence[Workload]] = (
    Workload(
        "sleepers-2000",
        f"{CLIENTS} clients in lock-step, {MANY_SLEEPERS:,} workers asleep",
        400,
        partial(foreground, in_flight=1, workers=MANY_SLEEPERS),
    ),
    Workload(
        "idle-10000",
        f"as foreground, beside {IDLE:,} connections that do nothing",
        20_000,
        partial(foreground, idle=IDLE),
    ),
    # The last one: no server forgets a function.
    Workload(
        "functions-20000",
        f"1 client in lock-step, 1 worker that can do {MANY_FUNCTIONS:,} functions",
        2_000,
        _functions,
    ),
)

WOKEN: Final = Workload(
    "sleepers-woken",
    "as sleepers, beside a gearmand that is told to wake one worker for a job",
    ASLEEP.jobs,
    ASLEEP.set_scene,
)

LONG_QUEUE: Final[Sequence[Workload]] = (
    Workload(
        "million-submit",
        f"as submit, until {MILLION:,} jobs are queued",
        MILLION,
        partial(fill, functions=_MILLION_QUEUE),
    ),
    Workload(
        "million-drain",
        f"the first of them, done by {WORKERS} workers",
        MILLION // 10,
        partial(do_some, functions=_MILLION_QUEUE),
    ),
)

# The same for servers that know no GRAB_JOB_UNIQ.
WITH_PLAIN_GRABS: Final[Mapping[str, SetScene]] = {
    SUBMIT.name: SUBMIT.set_scene,
    DRAIN.name: partial(drain, functions=_QUEUE, grab=p.GRAB_JOB),
    FOREGROUND.name: partial(foreground, grab=p.GRAB_JOB),
}
