"""What must become of a job when an attempt ends, and when time passes."""

from typing import Final

from gearpy.engine.job import (
    CANCELLED,
    COMPLETED,
    DEAD,
    DELAYED,
    EXPIRED,
    FAILED,
    QUEUED,
    RETRYING,
    RUNNING,
    Job,
    JobState,
)
from gearpy.engine.options import Options
from gearpy.engine.policy import Cause, Policy, decide
from gearpy.engine.rules import may_retry
from gearpy.protocol import packets as p
from gearpy.testing.simulation.books import PURGED, Books, Debt, Paper

_ENDS: Final = frozenset((FAILED, DEAD, CANCELLED))
_FORGOTTEN: Final = frozenset((FAILED, CANCELLED, EXPIRED))  # unless they are kept
_SLACK_S: Final = 1e-6  # of times that were computed on two ways


def planned(books: Books, paper: Paper, options: Options) -> None:
    """A job was taken: what it was asked for, and what its function's policy says of it."""
    now_s = books.now_s
    paper.own_policy, paper.limit_key = options.policy, options.key
    paper.labels, paper.callback = options.labels, options.callback
    policy = books.policy(paper)
    delay_s = options.delay_s
    if policy is not None:
        if delay_s is None and not paper.not_before_s:
            delay_s = policy.delay_s
        if policy.expires_s:
            paper.expire_s = now_s + policy.expires_s
    if delay_s:
        paper.not_before_s = max(paper.not_before_s, now_s + delay_s)
    paper.in_turn = paper.not_before_s <= now_s and not paper.limit_key
    paper.allowed = books.allowed(paper)


def attempt_over(
    books: Books, paper: Paper, cause: Cause, data: bytes = b"", *, told: bool = True
) -> None:
    """The attempt of a job ended badly: it is tried again, or that was its end.  ``told``: its
    worker said so."""
    books.happened()
    name = books.name(paper)
    books.story.tell("job", f"{name}: attempt {paper.attempts} ended: {cause}")
    if cause in ("lost", "timeout"):
        paper.losses += not told
        books.counts["lost"] += 1
    if cause == "timeout":
        books.counts["timed out"] += 1
    if cause != "lost":
        paper.crashes = 0
    elif not _waits_for_disk(books, paper):
        paper.crashes += 1
    paper.holder = None
    follows = _follows(books, paper, cause, told)
    job = books.engine.find(paper.handle)
    state: JobState | None = None if job is None else job.state
    for expected in follows:
        if state == expected or (state is None and expected in _FORGOTTEN):
            break
    else:
        books.broken(
            "limits", f"{name} is {state} after {cause}, but should be {' or '.join(follows)}"
        )
    if expected not in _ENDS:
        paper.given = b""  # it was to be tried again, even where there was no time left for that
    if expected in (QUEUED, RETRYING):
        assert job is not None, "it was compared with its state"
        low_s, high_s = follows[expected]
        if not low_s - _SLACK_S <= job.due_s <= high_s + _SLACK_S:
            books.broken(
                "never early",
                f"{name} is tried again in {job.due_s - books.now_s:.3f} s, not in"
                f" {low_s - books.now_s:.3f} to {high_s - books.now_s:.3f} s",
            )
        _waits_again(books, paper, job)
    else:
        says_why = told and cause != "fail" and expected != EXPIRED
        ended(books, paper, expected, p.WORK_EXCEPTION if says_why else p.WORK_FAIL, data)


def _waits_for_disk(books: Books, paper: Paper) -> bool:
    """Whether the worker of a job did not hear of it yet, because the attempt is not durable."""
    waits = paper.grant_limited and books.promises and paper.grant_seq > books.durable_seq
    return waits and paper.background


def _waits_again(books: Books, paper: Paper, job: Job) -> None:
    paper.not_before_s = job.due_s
    paper.wait_seq = books.seq
    paper.in_turn = False
    paper.allowed = books.allowed(paper)
    if job.attempts != paper.attempts:
        books.broken(
            "books", f"{books.name(paper)} had {paper.attempts} attempts, not {job.attempts}"
        )


def _follows(
    books: Books, paper: Paper, cause: Cause, told: bool
) -> dict[JobState, tuple[float, float]]:
    """The states in which the job may be now, and between which times it may be due then."""
    states = _follows_in_time(books, paper, cause, told)
    over = 0.0 < paper.expire_s <= books.now_s
    return {EXPIRED: (0.0, 0.0)} if over and not _ENDS & states.keys() else states


def _follows_in_time(
    books: Books, paper: Paper, cause: Cause, told: bool
) -> dict[JobState, tuple[float, float]]:
    """The same for a job that does not expire."""
    if not paper.wanted:
        return {FAILED if told else CANCELLED: (0.0, 0.0)}
    policy = books.policy(paper)
    if policy is None:
        again = not told and may_retry(paper.losses, books.features.job_retries)
        return {QUEUED if again else FAILED: (0.0, 0.0)}
    states = _decided(books, paper, cause, policy, paper.crashes, told)
    if DEAD in states and cause == "lost":
        # Workers that were lost while no policy spoke of them are not counted.
        states |= _decided(books, paper, cause, policy, 0, told)
    return states


def _decided(
    books: Books, paper: Paper, cause: Cause, policy: Policy, crashes: int, told: bool
) -> dict[JobState, tuple[float, float]]:
    low, high = (
        decide(
            policy,
            cause,
            paper.attempts,
            paper.losses,
            crashes,
            books.features.job_retries,
            draw,
            told=told,
        )
        for draw in (0.0, 1.0)
    )
    if isinstance(low, str):
        return {FAILED if low == "final" else DEAD: (0.0, 0.0)}
    assert isinstance(high, float), "chance decides about the delay only"
    if not high:
        return {QUEUED: (0.0, 0.0)}
    times = books.now_s + low, books.now_s + high
    return {RETRYING: times} if low else {RETRYING: times, QUEUED: (0.0, 0.0)}


def ended(books: Books, paper: Paper, how: JobState, number: int, data: bytes = b"") -> None:
    """A job ended: whoever waits must hear it, once for each submission, and nothing after."""
    name = books.name(paper)
    job = books.engine.find(paper.handle)
    if how == DEAD and job is None:
        books.broken("no loss", f"{name} should be a dead letter, but is gone")
    paper.in_memory = books.engine.journal_full and not paper.background
    if job is not None and job.state != how:
        books.broken("books", f"{name} should be {how}, but is {job.state}")
    for seat, copies in paper.watchers.items():
        if number == p.WORK_COMPLETE or (number == p.WORK_EXCEPTION and seat.exceptions):
            seat.expect(paper.handle, number, data, copies)
        else:
            seat.expect(paper.handle, p.WORK_FAIL, b"", copies)
    books.counts[how] += 1
    books.story.tell("job", f"{name} is {how}")
    books.end(paper, how)
    if paper.callback is not None:
        # What is in memory only may be followed later, but a server that stops has no later.
        journalled = paper.background or (job is not None and not paper.in_memory)
        owe(books, paper, how, at_once=journalled or books.engine.draining)


def owe(books: Books, paper: Paper, how: JobState | None, *, at_once: bool) -> None:
    """A job with a callback ended: another one must follow."""
    assert paper.callback is not None, "else nothing follows"
    books.owed.append(
        Debt(paper, paper.callback, at_once, books.now_s, paper.attempts, paper.given, how)
    )


def completed(books: Books, paper: Paper, result: bytes) -> None:
    """The holder of a job sent its result."""
    paper.given += result
    ended(books, paper, COMPLETED, p.WORK_COMPLETE, result)


def cancelled(books: Books, paper: Paper) -> None:
    """Somebody cancelled a job, or nobody waits for it any more."""
    holder = paper.holder
    if holder is not None and holder.open and holder.extended:
        holder.news[paper.handle] += 1
    ended(books, paper, CANCELLED, p.WORK_FAIL)


def abandoned(books: Books, paper: Paper) -> None:
    """Nobody waits for a job any more, and no worker holds it."""
    books.story.tell("job", f"{books.name(paper)}: nobody waits any more")
    ended(books, paper, CANCELLED, p.WORK_FAIL)


def revived(books: Books, paper: Paper) -> None:
    """An operator has a job run once more that ended."""
    books.happened()
    job = books.job(paper, "no loss")
    paper.background = True
    paper.revivals += 1
    paper.journal_seq = paper.journal_seq or (books.seq if paper.in_memory else paper.ended_seq)
    paper.wait_seq = books.seq
    paper.attempts = paper.losses = paper.crashes = paper.told = 0
    paper.limited = True
    paper.given = b""
    paper.not_before_s = 0.0
    if paper.expire_s <= books.now_s:
        paper.expire_s = 0.0
    paper.in_turn = False
    books.begin(paper)
    paper.allowed = books.allowed(paper)
    if job.state != QUEUED:
        books.broken("books", f"{books.name(paper)} was revived, but is {job.state}")


def purged(books: Books, paper: Paper) -> None:
    """An operator has a job forgotten."""
    if books.engine.find(paper.handle) is not None:
        books.broken("books", f"{books.name(paper)} was purged, but is still there")
    books.end(paper, PURGED)


def time_passed(books: Books) -> None:
    """The engine was told the time: what is due now must have happened."""
    now_s = books.now_s
    for paper in list(books.unfinished.values()):
        if paper.holder is not None and paper.deadline_s and paper.deadline_s <= now_s:
            if _waits_for_disk(books, paper):
                paper.deadline_s = now_s + paper.timeout_s
                continue
            attempt_over(books, paper, "timeout", told=False)
        if paper.ended or paper.holder is not None or not paper.expire_s:
            continue
        if paper.expire_s <= now_s:
            ended(books, paper, EXPIRED, p.WORK_FAIL)


def check_states(books: Books) -> None:
    """Every unfinished job is what it should be, and every dead letter is still there."""
    for paper in books.unfinished.values():
        job = books.job(paper, "no loss")
        if paper.holder is not None:
            port = None if job.worker is None else job.worker.port
            right = job.state == RUNNING and port is paper.holder.session
        elif paper.not_before_s > books.now_s:
            right = job.state in (DELAYED, RETRYING)
        else:
            right = job.state == QUEUED
        if not right:
            holder = "nobody" if paper.holder is None else paper.holder.name
            books.broken("books", f"{books.name(paper)} is {job.state}; {holder} holds it")
        if job.background != paper.background:
            books.broken("interest", f"{books.name(paper)}: background is {job.background}")


def check_dead(books: Books) -> None:
    """Dead letters stay until an operator decides."""
    for paper in books.papers.values():
        if paper.ended == DEAD:
            job = books.engine.find(paper.handle)
            if job is None or job.state != DEAD:
                books.broken("no loss", f"dead letter {books.name(paper)} is gone")
