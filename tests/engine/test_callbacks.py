"""What follows the end of a job: another job, exactly once, whatever the end was."""

import math

import pytest

from gearpy.engine.callbacks import (
    Callback,
    Ending,
    Following,
    callback_table,
    read_callback,
)
from gearpy.engine.engine import Engine
from gearpy.engine.job import DATA, Job
from gearpy.engine.life import GIVEN_BYTES_MAX
from gearpy.engine.options import LABELS_MAX, following_options, kept_options, read_options
from gearpy.engine.policy import Delays, Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.rules import Rules
from gearpy.engine.statistics import JobStatistics
from gearpy.errors import InvalidArgument, JournalFull, QueueFull, TooManyFunctions

from .journals import KeptJournal
from .recorders import ClientRecorder, WorkerRecorder, able

URL = "https://example.org/done"
TO_URL = b'{"callback": "https://example.org/done"}'
TO_JOB = b'{"callback": {"function": "next", "data": "4711"}}'


class Recorder:
    """A caller that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[JobStatistics] = []
        self.given: list[bytes] = []
        self.handles: list[bytes] = []

    def function(self) -> bytes:
        return b"call"

    def telling(self, ending: Ending, handle: bytes) -> Following:
        assert ending.callback.url == URL
        job = ending.job
        self.told.append(job)
        self.given.append(ending.given)
        self.handles.append(handle)
        return Following(b"call", job.state.encode(), following_options(job.handle, job.labels))


def new_engine(journal: KeptJournal | None = None, **policy: Policy) -> tuple[Engine, Recorder]:
    caller = Recorder()
    book = PolicyBook({name.encode(): each for name, each in policy.items()})
    engine = Engine(Rules(job_retries=1), journal, policies=book, caller=caller)
    return engine, caller


def submit(engine: Engine, asked: bytes = TO_URL, unique: bytes = b"") -> Job:
    return engine.submit(None, b"f", unique, b"x", options=read_options(asked))


def queued(engine: Engine, function: bytes) -> list[bytes | None]:
    engine.advance(engine.now_s)  # what is not journalled follows in a moment
    return [job.payload for job in engine.peek(function, 10)]


# ---- ends


def run(engine: Engine, worker: WorkerRecorder, job: Job) -> None:
    assert engine.grab(worker.worker) is job


def test_a_completed_job_is_told_with_all_that_it_gave() -> None:
    engine, caller = new_engine()
    worker = able(engine, b"f")
    job = submit(engine)
    run(engine, worker, job)
    engine.report(worker.worker, job.handle, DATA, b"one, ")
    assert not queued(engine, b"call")
    engine.advance(5.0)
    engine.complete(worker.worker, job.handle, b"two")
    assert queued(engine, b"call") == [b"completed"]
    (told,) = caller.told
    assert (told.handle, told.since_s) == (job.handle, 5.0)
    assert caller.given == [b"one, two"]
    assert caller.handles == [engine.peek(b"call", 1)[0].handle]
    assert engine.statistics().kept == 0, "nothing says that it is kept"


def test_a_failed_job_is_told_with_its_error() -> None:
    engine, caller = new_engine()
    worker = able(engine, b"f")
    job = submit(engine)
    run(engine, worker, job)
    engine.exception(worker.worker, job.handle, b"no such photo")
    assert queued(engine, b"call") == [b"failed"]
    assert (caller.told[0].error, caller.told[0].reason) == (b"no such photo", "exception")


def test_only_the_last_attempt_is_told_and_without_what_earlier_ones_gave() -> None:
    engine, caller = new_engine(f=Policy(attempts=2, backoff=Delays()))
    worker = able(engine, b"f")
    job = submit(engine)
    for said in (b"first", b"second"):
        run(engine, worker, job)
        engine.report(worker.worker, job.handle, DATA, said)
        engine.fail(worker.worker, job.handle)
    assert queued(engine, b"call") == [b"dead"]
    assert (caller.told[0].attempts, caller.given) == (2, [b"second"])


def test_a_dead_letter_that_is_run_once_more_ends_once_more() -> None:
    engine, _ = new_engine(f=Policy(attempts=1))
    worker = able(engine, b"f")
    job = submit(engine)
    run(engine, worker, job)
    engine.fail(worker.worker, job.handle)
    assert engine.retry(job.handle)
    run(engine, worker, job)
    engine.complete(worker.worker, job.handle, b"")
    assert queued(engine, b"call") == [b"dead", b"completed"]


def test_a_cancelled_job_is_told() -> None:
    engine, _ = new_engine()
    engine.cancel(submit(engine).handle)
    assert queued(engine, b"call") == [b"cancelled"]


def test_a_job_that_expired_is_told() -> None:
    engine, _ = new_engine()
    submit(engine, b'{"callback": "https://example.org/done", "expires_s": 5}')
    engine.advance(5.0)
    assert queued(engine, b"call") == [b"expired"]


def test_a_job_that_is_lost_too_often_is_told() -> None:
    engine, _ = new_engine()
    job = submit(engine)
    for _ in range(2):
        worker = able(engine, b"f")
        run(engine, worker, job)
        engine.lose(worker.worker)
    assert queued(engine, b"call") == [b"failed"]


def test_a_foreground_job_that_nobody_waits_for_any_more_is_told() -> None:
    engine, _ = new_engine()
    client = ClientRecorder()
    engine.submit(client.client, b"f", b"", b"x", options=read_options(TO_URL))
    engine.leave(client.client)
    assert queued(engine, b"call") == [b"cancelled"]


# ---- what follows


def test_another_job_follows_as_it_was_ordered() -> None:
    engine, caller = new_engine()
    engine.cancel(submit(engine, TO_JOB).handle)
    assert queued(engine, b"next") == [b"4711"]
    assert not caller.told


def test_what_follows_has_the_labels_and_says_whom_it_follows() -> None:
    engine, _ = new_engine()
    job = submit(engine, TO_JOB[:-1] + b', "labels": {"user": "ann"}}')
    engine.cancel(job.handle)
    assert queued(engine, b"next")
    (following,) = engine.peek(b"next", 9)
    labels = dict(engine.describe(following).labels)
    assert labels == {"user": "ann", "callback-of": job.handle.decode()}


def test_there_is_room_for_whom_it_follows_among_the_labels() -> None:
    labels = tuple((f"{number:02}", "x") for number in range(LABELS_MAX))
    found = following_options(b"H:1", labels).labels
    assert (len(found), found[-1]) == (LABELS_MAX, ("callback-of", "H:1"))
    again = following_options(b"H:2", found)
    assert (len(again.labels), again.labels[-1]) == (LABELS_MAX, ("callback-of", "H:2"))
    assert kept_options(again.text) == again


def test_who_can_do_what_follows_is_woken() -> None:
    engine, _ = new_engine()
    worker = able(engine, b"next")
    engine.sleep(worker.worker)
    engine.cancel(submit(engine, TO_JOB).handle)
    engine.advance(engine.now_s)
    assert worker.wakes == 1


def test_no_limit_stands_against_what_was_promised() -> None:
    engine, _ = new_engine(next=Policy(max_queue=1))
    jobs = [submit(engine, TO_JOB) for _ in range(3)]
    engine.functions.steer(b"next", paused=False, draining=True)
    engine.journal_full = True
    engine.drain()
    for job in jobs:
        engine.cancel(job.handle)
    assert queued(engine, b"next") == [b"4711"] * 3


def test_what_follows_has_the_policy_of_its_function() -> None:
    engine, _ = new_engine(next=Policy(delay_s=9.0))
    engine.cancel(submit(engine, TO_JOB).handle)
    engine.advance(engine.now_s)
    found = engine.functions.get(b"next")
    assert found is not None
    assert sum(found.delayed) == 1


def test_a_url_is_told_the_beginning_and_a_function_nothing() -> None:
    engine, caller = new_engine()
    worker = able(engine, b"f")
    for asked in (TO_URL, TO_JOB):
        job = submit(engine, asked)
        run(engine, worker, job)
        for part in (b"a" * 40_000, b"b" * 40_000, b"c"):
            engine.report(worker.worker, job.handle, DATA, part)
        assert job.life is not None
        assert len(job.life.given) == (GIVEN_BYTES_MAX if asked is TO_URL else 0)
        engine.complete(worker.worker, job.handle, b"end")
    engine.advance(engine.now_s)
    assert caller.given == [b"a" * 40_000 + b"b" * (GIVEN_BYTES_MAX - 40_000)]


def test_very_many_that_end_at_once_are_followed_little_by_little() -> None:
    engine, _ = new_engine()
    client = ClientRecorder()
    for _number in range(250):
        engine.submit(client.client, b"f", b"", b"x", options=read_options(TO_JOB))
    engine.leave(client.client)
    engine.advance(engine.now_s)
    found = engine.functions.get(b"next")
    assert found is not None
    assert found.total == 100
    while (due_s := engine.next_due_s()) < math.inf:
        engine.advance(due_s)
    found = engine.functions.get(b"next")
    assert found is not None
    assert found.total == 250


def test_a_server_that_stops_leaves_nothing_for_later() -> None:
    engine, _ = new_engine()
    client = ClientRecorder()
    jobs = [
        engine.submit(client.client, b"f", b"", b"x", options=read_options(TO_JOB))
        for _number in range(300)
    ]
    for job in jobs[:299]:
        engine.cancel(job.handle)
    engine.drain()
    assert len(engine.peek(b"next", 1000)) == 299
    engine.leave(client.client)
    assert len(engine.peek(b"next", 1000)) == 300


def test_its_function_is_known_from_the_submit_on_and_has_its_limits() -> None:
    engine, _ = new_engine()
    engine.functions.limit(b"next", (2, 2, 2))
    submit(engine, TO_JOB)
    with pytest.raises(QueueFull):
        for _number in range(3):
            engine.submit(None, b"next", b"", b"")
    crowded = Engine(Rules(functions_max=1))
    with pytest.raises(TooManyFunctions):
        submit(crowded, TO_JOB)
        submit(crowded, TO_JOB.replace(b"next", b"more"))


@pytest.mark.parametrize("asked", [TO_URL, TO_JOB], ids=["url", "job"])
def test_what_can_not_be_journalled_is_not_promised(asked: bytes) -> None:
    journal = KeptJournal()
    engine, _ = new_engine(journal)
    client = ClientRecorder()
    journal.room_bytes = 2
    with pytest.raises(JournalFull):
        engine.submit(client.client, b"f", b"", b"", options=read_options(asked))
    journal.room_bytes = math.inf
    engine.journal_full = True
    with pytest.raises(JournalFull):
        engine.submit(client.client, b"f", b"", b"", options=read_options(asked))
    engine.submit(client.client, b"f", b"", b"")


# ---- who joins


def test_who_joins_with_the_same_callback_is_welcome() -> None:
    engine, _ = new_engine()
    job = submit(engine, unique=b"u")
    assert submit(engine, unique=b"u") is job
    assert submit(engine, b"", unique=b"u") is job
    engine.cancel(job.handle)
    assert queued(engine, b"call") == [b"cancelled"]


@pytest.mark.parametrize("first", [b"", TO_JOB], ids=["none", "another"])
def test_who_joins_with_another_callback_hears_that_it_would_not_be_called(first: bytes) -> None:
    engine, _ = new_engine()
    submit(engine, first, unique=b"u")
    with pytest.raises(InvalidArgument, match="never be called"):
        submit(engine, TO_URL, unique=b"u")


def test_an_engine_that_can_call_nobody_says_so() -> None:
    with pytest.raises(InvalidArgument, match="calls URLs"):
        submit(Engine())
    assert submit(Engine(), TO_JOB).state == "queued"


# ---- restarts


def restarted(journal: KeptJournal, now_s: float = 9.0) -> tuple[Engine, Recorder]:
    caller = Recorder()
    engine = Engine(Rules(job_retries=0), journal, now_s, caller=caller)
    assert not engine.restore(list(journal.records()))
    return engine, caller


def test_a_restart_forgets_no_callback() -> None:
    journal = KeptJournal()
    engine, _ = new_engine(journal)
    job = submit(engine)
    engine, _ = restarted(journal)
    assert engine.cancel(job.handle)
    assert queued(engine, b"call") == [b"cancelled"]
    engine, _ = restarted(journal)
    assert queued(engine, b"call") == [b"cancelled"], "the one and the other are journalled"
    assert not engine.find(job.handle)


def test_what_follows_a_journalled_job_is_written_down_with_its_end() -> None:
    journal = KeptJournal()
    engine, _ = new_engine(journal)
    job = submit(engine)
    engine.cancel(job.handle)
    assert [put.function for put in journal.puts.values()] == [b"call"], "in one batch"


def test_a_job_that_the_restart_itself_ends_is_told_behind_those_that_waited() -> None:
    journal = KeptJournal()
    engine, _ = new_engine(journal)
    worker = able(engine, b"f")
    run(engine, worker, submit(engine))
    engine.submit(None, b"call", b"", b"an earlier one")
    engine, caller = restarted(journal)
    written = [put.function for put in journal.puts.values()]
    assert written == [b"call", b"call"], "at once, together with the end"
    assert queued(engine, b"call") == [b"an earlier one", b"failed"]
    assert (caller.told[0].reason, caller.told[0].since_s) == ("lost too often", 9.0)
    engine, _ = restarted(journal)
    assert queued(engine, b"call") == [b"an earlier one", b"failed"], "once"


# ---- what stands in the options


@pytest.mark.parametrize(
    "callback",
    [Callback(URL), Callback(function=b"f"), Callback(function=b"\xff", payload=b"\xff\0")],
)
def test_a_callback_is_kept_as_it_was_said(callback: Callback) -> None:
    assert read_callback("callback", callback_table(callback)) == callback


def test_a_newer_version_may_say_more_of_it() -> None:
    text = b'{"callback": {"function": "next", "retries": 3}, "key": "k"}'
    options = kept_options(text)
    assert (options.callback, options.key) == (Callback(function=b"next"), b"k")


def test_options_keep_it() -> None:
    for asked in (TO_URL, TO_JOB):
        options = read_options(asked)
        assert options.callback is not None
        assert kept_options(options.text).callback == options.callback


@pytest.mark.parametrize(
    ("callback", "says"),
    [
        ("", "a URL"),
        ("example.org", "a URL like"),
        ("ftp://example.org/", "a URL like"),
        ("http:///path", "a URL like"),
        ("http://[::1/", "no URL"),
        ("http://a:99999/", "no URL"),
        ("http://ann:secret@example.org/", "password"),
        ("http://example.org/a b", "without spaces"),
        ("http://example.org/\n", "without spaces"),
        ("http://ex\u00e4mple.org/", "ASCII"),
        ("http://example.org/" + "x" * 2000, "at most 2,000"),
        (7, "a URL, or an object"),
        ({}, "needs the field function"),
        ({"function": 7}, "text"),
        ({"function": "f\n"}, "control characters"),
        ({"function": "f", "data": "x", "data_base64": "eA=="}, "give one of them"),
        ({"function": "f", "data_base64": "?"}, "base64"),
        ({"function": "f", "url": "x"}, "no field 'url'"),
    ],
)
def test_what_is_no_callback_is_refused(callback: object, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        read_callback("callback", callback)
