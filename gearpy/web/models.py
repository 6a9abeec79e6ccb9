"""What travels in the API's JSON.

Requests are checked against these for their form; what their values mean, and whether they are
allowed, says the engine.  Answers are the tables of ``broker.answers``, which these describe.
Names are those of the client library and of the policies in the settings.
"""

import base64
import binascii
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from gearpy.engine.job import JobState
from gearpy.web.desk import Order

PriorityName = Literal["critical", "high", "normal", "low"]
Cause = Literal["lost", "timeout", "fail", "exception"]

WAIT_S_MAX: Final = 3600.0


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Exponential(_Request):
    """A backoff that grows."""

    base_s: float | None = Field(default=None, description="Seconds before the second attempt.")
    factor: float | None = Field(
        default=None, description="Each next delay is so many times as long."
    )
    cap_s: float | None = Field(default=None, description="Seconds, at most.")
    jitter: float | None = Field(
        default=None, description="The part of it that chance adds or takes."
    )


class AttemptsPolicy(_Request):
    """How attempts are repeated; said for a function, or for one job."""

    attempts: int | None = Field(default=None, description="In all, the first included.")
    retry_on: list[Cause] | None = Field(
        default=None, description="After which ends of an attempt."
    )
    backoff: Literal["none", "exponential"] | list[float] | Exponential | None = Field(
        default=None,
        description="Delays before further attempts: none, a list of seconds, or how they grow;"
        ' "exponential" is as an empty table says.',
    )
    poison: int | None = Field(
        default=None,
        description="Workers lost with a job in a row before it is dead; 0: any number.",
    )
    timeout_s: float | None = Field(default=None, description="Of an attempt; 0: for ever.")
    expires_s: float | None = Field(
        default=None,
        description="From the submit to the start of an attempt, at most; 0: for ever.",
    )


class PolicyTable(AttemptsPolicy):
    """What is decided about the jobs of a function.  What is absent is not said."""

    delay_s: float | None = Field(
        default=None, description="From a submit to the first attempt, at least."
    )
    max_running: int | None = Field(default=None, description="Jobs at a time; 0: any number.")
    max_running_per_key: int | None = Field(default=None, description="Of those with one key.")
    rate_per_minute: int | None = Field(
        default=None, description="Starts in any minute; 0: any number."
    )
    max_queue: int | None = Field(
        default=None, description="Unfinished jobs that a submit may find."
    )
    keep_s: float | None = Field(default=None, description="How long finished jobs are kept.")
    keep_bytes: int | None = Field(default=None, description="Of memory for these, in all.")


class Callback(_Request):
    """A job that is submitted when another one has ended."""

    function: str
    data: str | None = Field(default=None, description="Its payload, if it is text.")
    data_base64: str | None = Field(default=None, description="Its payload, whatever it is.")


class JobOptions(AttemptsPolicy):
    """How a job is to be treated."""

    priority: PriorityName | None = Field(default=None, description="Normal, if it is not said.")
    delay_s: float | None = Field(
        default=None, description="Seconds from its submit to its first attempt."
    )
    key: str | None = Field(default=None, description="For the limit max_running_per_key.")
    labels: dict[str, str] | None = Field(default=None, description="Names and texts for people.")
    callback: str | Callback | None = Field(
        default=None,
        description="What follows its end, good or bad: a URL that is told how it ended, signed, or"
        " another job.",
    )


class JobWishes(JobOptions):
    """How one job is to be treated that is submitted now."""

    unique: str = Field(
        default="", description="Unfinished jobs of a function with one unique are one."
    )
    due_s: float | None = Field(
        default=None,
        description="When its first attempt may begin, in seconds since the epoch.",
    )
    wait_s: float | None = Field(
        default=None,
        gt=0,
        le=WAIT_S_MAX,
        description="Wait for the end of the job, so many seconds at most, and answer with its"
        " result.  It is a foreground job then: in memory only, and dropped if nobody waits.",
    )

    def order(self, function: str, payload: bytes) -> Order:
        """The job with these wishes."""
        options = self.model_dump(
            exclude_none=True, exclude={"function", "data", "data_base64", "unique", "wait_s"}
        )
        return Order(function=function, payload=payload, unique=self.unique, options=options)


class Submission(JobWishes):
    """A job to be done.  Without ``wait_s`` it is a background job."""

    function: str
    data: str | None = Field(default=None, description="The payload, if it is text.")
    data_base64: str | None = Field(
        default=None, description="The payload, whatever it is, in base64."
    )

    _payload: bytes = PrivateAttr(default=b"")

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        if self.data is not None and self.data_base64 is not None:
            raise ValueError("give the data as text or in base64, not both")
        self._payload = self._read_payload()
        return self

    @property
    def payload(self) -> bytes:
        """The bytes that the worker gets."""
        return self._payload

    def _read_payload(self) -> bytes:
        if self.data_base64 is None:
            try:
                return (self.data or "").encode()
            except UnicodeEncodeError:
                raise ValueError("the data holds half a character; give it in base64") from None
        try:
            return base64.b64decode(self.data_base64, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("data_base64 is no base64 with padding (RFC 4648)") from None


class Selection(_Request):
    """Which jobs are meant."""

    function: str | None = Field(default=None, description="A name, or a pattern like image.*")
    states: list[JobState] | None = None
    unique: str | None = None
    older_than_s: float | None = Field(default=None, description="Since its submit, or its end.")
    younger_than_s: float | None = None
    limit: int | None = Field(default=None, description="How many, at most.")
    offset: int | None = Field(default=None, description="What an answer before had as next.")


class ScheduleTable(_Request):
    """What is submitted, and when."""

    cron: str = Field(description="Minute, hour, day of the month, month and day of the week.")
    timezone: str | None = Field(default=None, description="Like Europe/Berlin; UTC if not said.")
    function: str
    data: str | None = Field(default=None, description="The payload, if it is text.")
    data_base64: str | None = Field(default=None, description="The payload, whatever it is.")
    unique: str | None = None
    options: JobOptions | None = None
    missed: Literal["once", "skip"] | None = Field(
        default=None, description="What becomes of ticks that come while the server is down."
    )
    overlap: bool | None = Field(
        default=None, description="Whether it fires while its last job is not finished."
    )


# ---- answers


class Accepted(BaseModel):
    """A background job was taken, and is as durable as the server makes jobs."""

    handle: str
    location: str = Field(description="Where to look what becomes of it.")


class Result(BaseModel):
    """A foreground job ended.  Its result is text, or in base64."""

    handle: str
    outcome: Literal["completed", "failed", "exception"]
    result: str | None = None
    result_base64: str | None = None


class Attempt(BaseModel):
    """One attempt of a job."""

    attempt: int
    started_s: float
    ended_s: float | None
    worker: str
    outcome: str
    error: str
    cpu_s: float | None
    memory_bytes: int | None


class JobRow(BaseModel):
    """A job as lists show it.  What does not apply is absent.  Times are seconds since the
    epoch."""

    handle: str
    function: str
    unique: str
    state: JobState
    priority: PriorityName
    background: bool
    waiting: int = Field(description="Submissions that wait for its end.")
    attempts: int
    attempts_max: int | None
    created_s: float
    since_s: float = Field(description="When it came into this state.")
    numerator: int | None = None
    denominator: int | None = None
    losses: int | None = None
    due_s: float | None = None
    expire_s: float | None = None
    text: str | None = Field(default=None, description="What its worker says of its progress.")
    worker: str | None = None
    key: str | None = None
    labels: dict[str, str] | None = None
    callback: str | Callback | None = None
    reason: str | None = None
    error: str | None = None
    payload_bytes: int | None = None


class Job(JobRow):
    """A job with its attempts, its payload and its result, as far as they are kept."""

    payload: str | None = None
    payload_base64: str | None = None
    payload_cut: bool | None = None
    payload_on_disk: bool | None = Field(
        default=None, description="Its payload is in the journal only."
    )
    result: str | None = None
    result_base64: str | None = None
    result_cut: bool | None = None
    result_bytes: int | None = None
    log: list[Attempt]


class OneJob(BaseModel):
    """A job."""

    now_s: float
    job: Job


class Jobs(BaseModel):
    """Some jobs; ``next`` is the offset to ask with again, null at the end."""

    now_s: float
    jobs: list[JobRow]
    next: int | None


class Count(BaseModel):
    """How many jobs it was; ``next`` is the offset to go on with, null or absent at the end."""

    count: int
    skipped: int | None = None
    next: int | None = None


class FunctionCounts(BaseModel):
    """What happened since the server started."""

    submitted: int
    started: int
    completed: int
    failed: int
    retried: int
    timed_out: int
    dead: int
    cancelled: int
    expired: int


class FunctionRow(BaseModel):
    """A function with its jobs; each of them counts in one state."""

    function: str
    queued: int
    delayed: int
    running: int
    retrying: int
    dead: int
    kept: int
    workers: int
    paused: bool
    draining: bool
    oldest_queued_s: float | None = Field(description="Its age.")
    oldest_dead_s: float | None = Field(description="Its age.")
    counts: FunctionCounts
    policy: PolicyTable | None


class Functions(BaseModel):
    """Some functions; ``next`` is the offset to ask with again, null at the end."""

    functions: list[FunctionRow]
    next: int | None


class Steered(BaseModel):
    """The functions that were meant."""

    functions: list[str]
    next: int | None


class OnePolicy(BaseModel):
    """The policy that counts for a function."""

    policy: PolicyTable | None


class PolicyRow(BaseModel):
    """A policy, the function or pattern that it is for, and where it was set."""

    function: str
    origin: str
    policy: PolicyTable


class Policies(BaseModel):
    """All policies."""

    policies: list[PolicyRow]


class PolicySet(BaseModel):
    """Whether that changed anything."""

    function: str
    changed: bool
    hides: PolicyTable = Field(
        description="What the settings say for the same name or pattern, and this policy does not:"
        " it does not count any more."
    )


class ScheduleRow(BaseModel):
    """A schedule, how far it has come, and when it fires next."""

    name: str
    origin: Literal["file", "set"]
    schedule: ScheduleTable
    paused: bool
    last_s: float = Field(
        description="The last tick that fired or was passed over; before the first, when the"
        " schedule was set or resumed."
    )
    handle: str = Field(description="Of its last job; empty: there was none.")
    error: str = Field(description="Why the last tick did not fire; empty: it did.")
    next_s: list[float]


class OneSchedule(BaseModel):
    """A schedule."""

    now_s: float
    schedule: ScheduleRow


class Schedules(BaseModel):
    """Some schedules; ``next`` is the offset to ask with again, null at the end."""

    now_s: float
    schedules: list[ScheduleRow]
    next: int | None


class ScheduleSet(BaseModel):
    """Whether that changed anything."""

    name: str
    changed: bool


class SchedulePaused(BaseModel):
    """Whether it is paused now."""

    name: str
    paused: bool


class Handle(BaseModel):
    """The job that was submitted."""

    handle: str


class Workers(BaseModel):
    """Some connections of workers; ``next`` is the offset to ask with again, null at the end."""

    now_s: float
    workers: list[dict[str, Any]]
    next: int | None


class Peer(BaseModel):
    """The other end of a connection."""

    peer: str


class ServerTable(BaseModel):
    """The server, and what it counted since its start."""

    version: str
    pid: int
    now_s: float
    durability: str | None
    journal: str | None
    journal_full: bool
    statistics: dict[str, int | float]


class Health(BaseModel):
    """``ok``, or why not."""

    status: str
