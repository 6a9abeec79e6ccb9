"""What must be there again after a restart, and how it must be."""

from typing import TypeVar

from gearpy.engine.job import (
    DEAD,
    DELAYED,
    EXPIRED,
    FAILED,
    QUEUED,
    RETRYING,
    RUNNING,
    UNFINISHED,
    Job,
)
from gearpy.testing.simulation import followups
from gearpy.testing.simulation.books import PURGED, VANISHED, Books, Paper
from gearpy.testing.simulation.story import shown

T = TypeVar("T")


def died(books: Books) -> None:
    """The server is gone: nobody holds or waits for anything any more."""
    books.happened()
    for seat in books.seats:
        seat.open = False
    books.seats.clear()
    books.owed.clear()  # what was in memory only is gone, and what was to follow it
    for paper in books.papers.values():
        paper.interrupted = paper.holder is not None
        paper.holder = None
        paper.watchers = {}


def started(books: Books, refused: list[str]) -> None:
    """The server has restored what is on the disk: compares that with all that is known."""
    if refused:
        books.broken("no loss", f"the server can't read its own journal: {refused[0]}")
    books.starts.clear()
    books.counts.clear()
    _check_decisions(books)
    _check_disk(books)
    _count_last_attempts(books)
    for paper in list(books.papers.values()):
        # What the restart itself made may have the handle of a job that was lost.
        known = paper.number in books.disk.durable
        _compare(books, paper, books.engine.find(paper.handle) if known else None)
    followups.started(books)


def _check_disk(books: Books) -> None:
    """Every job of the disk is there, unless the restart itself was its end."""
    for put, change in books.disk.durable.values():
        ran = change is not None and change.state == RUNNING
        ended = change is not None and change.state not in UNFINISHED
        ended = ended or 0.0 < put.expire_s <= books.now_s
        if books.engine.find(put.handle) is None and not ran and not ended:
            books.broken("no loss", f"{shown(put.handle)} is on the disk, and was not restored")


def _count_last_attempts(books: Books) -> None:
    """The jobs that ran may have ended with the server; they are the only ones."""
    now = books.engine.statistics()
    books.counts[DEAD], books.counts[FAILED] = now.buried, now.gave_up
    books.counts[EXPIRED] = now.expired
    books.counts["lost"] = now.lost
    ran = sum(
        change is not None and change.state == RUNNING for _, change in books.disk.durable.values()
    )
    if now.buried + now.gave_up + now.failed > ran:
        books.broken("books", f"more jobs ended in the restart than the {ran} that ran")


def _compare(books: Books, paper: Paper, job: Job | None) -> None:
    name = books.name(paper)
    durable_end = paper.ended_seq <= books.durable_seq
    if job is None:
        if paper.ended == DEAD and durable_end and not paper.in_memory:
            books.broken("no loss", f"dead letter {name} is gone after a restart")
        if paper.ended in ("", DEAD):
            _gone(books, paper)
        return
    if paper.ended and job.state in UNFINISHED and paper.ended_seq <= books.kept_seq:
        books.broken("books", f"{name} is back, although its end is on the disk: {paper.ended}")
    if paper.ended in (PURGED, VANISHED) and durable_end:
        books.broken("books", f"{name} is back after a restart, and was {paper.ended}")
    same = (job.queue.name, job.unique, job.priority, job.background)
    if same != (paper.function, paper.unique, paper.priority, True):
        books.broken("no loss", f"{name} is another job after a restart: {same!r}")
    if job.payload is not None:
        followups.check_payload(books, paper, job.payload)
    if job.payload not in (None, paper.payload):
        books.broken("no loss", f"{name} has another payload after a restart")
    if job.state in UNFINISHED:
        _waits(books, paper, job)
    else:
        _has_ended(books, paper, job)


def _must_be_there(books: Books, paper: Paper) -> bool:
    return paper.promised or 0 < paper.journal_seq <= books.durable_seq


def _gone(books: Books, paper: Paper) -> None:
    """An unfinished job is not there any more: nobody was promised that it would be, or the crash
    was its last attempt."""
    if not _must_be_there(books, paper):
        books.end(paper, VANISHED)
        return
    if _expired(books, paper):
        books.end(paper, EXPIRED)
        return
    policy, allowed = books.policy(paper), books.allowed(paper)
    kept = policy is not None and policy.retries
    if not kept and allowed is not None and paper.attempts >= allowed:
        books.end(paper, FAILED)
        return
    books.broken("no loss", f"{books.name(paper)} is gone after a restart")


def _expired(books: Books, paper: Paper) -> bool:
    return 0.0 < paper.expire_s <= books.now_s


def _has_ended(books: Books, paper: Paper, job: Job) -> None:
    """It ended before, or the crash was its last attempt."""
    if paper.ended == job.state:
        return
    name = books.name(paper)
    if paper.ended and paper.ended_seq <= books.durable_seq:
        books.broken("books", f"{name} was {paper.ended} and is {job.state} after a restart")
    if (
        not paper.ended
        and not paper.revivals
        and not (job.state == EXPIRED and _expired(books, paper))
    ):
        allowed = books.allowed(paper)
        if allowed is None or job.attempts < allowed:
            books.broken("limits", f"{name} is {job.state} after {job.attempts} of {allowed}")
    books.end(paper, job.state)


def _waits(books: Books, paper: Paper, job: Job) -> None:
    name = books.name(paper)
    if job.state not in (QUEUED, DELAYED, RETRYING):
        books.broken("books", f"{name} is {job.state} after a restart")
    if paper.limited and books.promises and job.attempts < paper.told and not paper.revivals:
        books.broken(
            "limits", f"{name} has {job.attempts} attempts, and {paper.told} reached a worker"
        )
    if job.attempts > paper.attempts and not paper.revivals:
        books.broken(
            "books", f"{name} has {job.attempts} attempts, and had {paper.attempts} before"
        )
    _check_counts(books, paper, job)
    due_s = job.due_s if job.state in (DELAYED, RETRYING) else 0.0
    waits = paper.not_before_s > books.now_s and paper.wait_seq <= books.durable_seq
    if waits and not paper.ended and due_s != paper.not_before_s and not _ran(books, paper):
        books.broken(
            "never early",
            f"{name} is due {due_s - books.now_s:.3f} s after a restart, and was due"
            f" {paper.not_before_s - books.now_s:.3f} s after it",
        )
    if paper.attempts or paper.not_before_s != due_s:
        paper.in_turn = False
    paper.not_before_s = due_s
    paper.wait_seq = books.seq
    paper.attempts, paper.losses = job.attempts, job.losses
    paper.crashes = 0 if job.life is None else job.life.crashes
    paper.background = True
    paper.given = b""
    if _ran(books, paper):
        paper.allowed = books.allowed(paper)
    if paper.ended:
        books.story.tell("server", f"has {name} again, which was {paper.ended}")
    books.begin(paper)


def _check_counts(books: Books, paper: Paper, job: Job) -> None:
    """Attempts and losses are as the disk has them, and as they were when that is durable."""
    name = books.name(paper)
    kept = books.disk.durable.get(paper.number)
    if kept is not None and kept[1] is not None:
        on_disk = kept[1].attempts, kept[1].losses + (kept[1].state == RUNNING)
        if (job.attempts, job.losses) != on_disk:
            books.broken("books", f"{name}: attempts and losses are not {on_disk} as on the disk")
    changed_seq = paper.grant_seq if paper.interrupted else paper.wait_seq
    if paper.ended or not 0 < max(paper.journal_seq, changed_seq) <= books.durable_seq:
        return
    before = paper.attempts, paper.losses + paper.interrupted
    if (job.attempts, job.losses) != before:
        books.broken("books", f"{name}: attempts and losses are not {before} as before")


def _ran(books: Books, paper: Paper) -> bool:
    kept = books.disk.durable.get(paper.number)
    return kept is not None and kept[1] is not None and kept[1].state == RUNNING


def _check_decisions(books: Books) -> None:
    """What operators decided is there again, if it was durable."""
    now = {queue.function: (queue.paused, queue.draining) for queue in books.engine.functions.all()}
    for function, decided in books.steered.items():
        found = now.get(function, (False, False))
        if found not in _possible(books, decided, (False, False)):
            books.broken("no loss", f"{shown(function)} is {found} after a restart")
        books.steered[function] = [(0, found)]
    books.paused = {function for function, (paused, _) in now.items() if paused}
    books.draining = {function for function, (_, draining) in now.items() if draining}
    policies = {
        pattern: policy
        for pattern, origin, policy in books.engine.functions.policies.items()
        if origin == "set"
    }
    for pattern, sets in books.policies.items():
        policy = policies.get(pattern)
        if policy not in _possible(books, sets, None):
            books.broken("no loss", f"the policy of {shown(pattern)} is lost after a restart")
        books.policies[pattern] = [(0, policy)]


def _possible(books: Books, decided: list[tuple[int, T]], nothing: T) -> list[T]:
    """What may count now: what was decided last and is durable, or anything behind it."""
    possible = [nothing]
    for seq, value in decided:
        if seq <= books.durable_seq:
            possible = []
        possible.append(value)
    return possible
