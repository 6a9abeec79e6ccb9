"""The workloads of the durable race: servers that answer when the job is on the disk."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from bench.scene import BACKGROUND_IN_FLIGHT, CLIENTS, WORKERS, Scene, drain, fill, uuid
from bench.workloads import Workload
from gearpy.protocol import packets as p

RECEIPTS_IN_FLIGHT: Final = 64  # on all connections together

_QUEUE: Final = (b"bench-durable",)
_KEYED: Final = (b"bench-durable-keyed",)
_RECEIPTS: Final = (b"bench-receipts",)
_LOCK_STEP: Final = (b"bench-lock-step",)
_LIVE: Final = (b"bench-live",)
_BESIDE: Final = b"bench-beside"


def _receipts(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _RECEIPTS, left_over=jobs)
    in_flight = RECEIPTS_IN_FLIGHT // CLIENTS
    scene.add_clients(p.SUBMIT_JOB_BG, p.JOB_CREATED, in_flight, uuid)
    return scene


def _lock_step(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _LOCK_STEP, left_over=jobs)
    scene.add_clients(p.SUBMIT_JOB_BG, p.JOB_CREATED, 1, uuid, count=1)
    return scene


def _foreground(port: int, jobs: int, beside: int) -> Scene:
    """``beside`` is how many durable submits are in flight on each of the other connections."""
    scene = Scene(port, jobs, _LIVE, left_over=0)
    scene.add_clients(p.SUBMIT_JOB, p.WORK_COMPLETE, 1)
    scene.add_workers(WORKERS, asleep=True)
    if beside:
        scene.add_background(_BESIDE, beside)
    return scene


SUBMIT: Final = Workload(
    "durable-submit",
    f"background submits without a key, {CLIENTS} connections with {BACKGROUND_IN_FLIGHT} in"
    " flight, each answered when its job is on the disk",
    100_000,
    partial(fill, functions=_QUEUE),
)
DRAIN: Final = Workload(
    "durable-drain",
    f"the jobs of durable-submit, done by {WORKERS} workers",
    100_000,
    partial(drain, functions=_QUEUE, to_disk=True),
)
SUBMIT_KEYED: Final = Workload(
    "durable-submit-keyed",
    "as durable-submit, each job with a unique key of its own (a UUID)",
    100_000,
    partial(fill, functions=_KEYED, new_unique=uuid),
)
DRAIN_KEYED: Final = Workload(
    "durable-drain-keyed",
    f"the jobs of durable-submit-keyed, done by {WORKERS} workers",
    100_000,
    partial(drain, functions=_KEYED, new_unique=uuid, to_disk=True),
)
RECEIPTS: Final = Workload(
    "durable-receipts",
    f"how long a receipt takes: {CLIENTS} connections, {RECEIPTS_IN_FLIGHT} in flight on all of"
    " them together",
    40_000,
    _receipts,
)
LOCK_STEP: Final = Workload(
    "lock-step",
    "how long a receipt takes: 1 connection with 1 in flight",
    3_000,
    _lock_step,
)
FOREGROUND_ALONE: Final = Workload(
    "foreground-alone",
    f"{CLIENTS} clients in lock-step, {WORKERS} workers",
    20_000,
    partial(_foreground, beside=0),
)
FOREGROUND_DISK: Final = Workload(
    "foreground-disk",
    f"the same while {CLIENTS} other connections submit in lock-step: a commit follows the other",
    20_000,
    partial(_foreground, beside=1),
)
# The last one of a server: its submits pile up behind it.
FOREGROUND_FLOOD: Final = Workload(
    "foreground-flood",
    f"the same while {CLIENTS} other connections have {BACKGROUND_IN_FLIGHT} submits in flight"
    " each: as many as the server can take",
    20_000,
    partial(_foreground, beside=BACKGROUND_IN_FLIGHT),
)

WITHOUT_KEYS: Final[Sequence[Workload]] = (SUBMIT, DRAIN)
WITH_KEYS: Final[Sequence[Workload]] = (SUBMIT_KEYED, DRAIN_KEYED, RECEIPTS, LOCK_STEP)
FOREGROUND: Final[Sequence[Workload]] = (FOREGROUND_ALONE, FOREGROUND_DISK, FOREGROUND_FLOOD)
