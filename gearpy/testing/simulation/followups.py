"""What follows the ends of jobs: exactly one other job each, and nothing without an end.

The server makes these jobs itself, so nobody tells the books of them.  After all that it does, they
look for jobs with new numbers, and each must be one that was owed.
"""

from dataclasses import replace
from typing import Final

from gearpy.broker.callbacks import RETRIES
from gearpy.callbacks import ID, verify_callback
from gearpy.engine.job import UNFINISHED, coalescing_key
from gearpy.engine.options import FOLLOWS, Options, read_options
from gearpy.engine.statistics import JobStatistics
from gearpy.errands.orders import HTTP_FUNCTION, read_request
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol.codec import decoded
from gearpy.protocol.content import read_content
from gearpy.testing.simulation import lives
from gearpy.testing.simulation.books import VANISHED, Books, Debt, Paper, handle_of
from gearpy.testing.simulation.story import shown

_RULE: Final = "one followup"
_MOMENT_S: Final = 0.1  # in which jobs are followed that were in memory only


# ---- before there is an end


def objection(books: Books, function: bytes, unique: bytes, payload: bytes, text: bytes) -> str:
    """Why a submit with these options must be refused, whatever limits say; empty: it need not."""
    try:
        callback = read_options(text).callback
    except InvalidArgument as error:
        return str(error)
    if callback is None:
        return ""
    if callback.url and not books.features.callback_secret:
        return "no URL is told anything here"
    key = coalescing_key(unique, payload) if unique else None
    joined = None if key is None else books.keys.get((function, key))
    if joined is not None and joined.callback != callback:
        return f"{books.name(joined)} has another callback"
    return ""


# ---- what follows


def settled(books: Books) -> None:
    """The server did something: what had to follow at once is there, and nothing else is."""
    number, books.seen = books.seen, books.engine.next_number
    while number < books.seen:  # it also numbers places in queues: not each is that of a job
        handle = handle_of(number)
        job = None if handle in books.unfinished else books.engine.find(handle)
        if job is not None:
            _made(books, books.engine.describe(job))
        number += 1
    for debt in books.owed:
        if debt.at_once:
            _missing(books, debt)


def check_moment(books: Books) -> None:
    """Nobody owes anything for long."""
    for debt in books.owed:
        if debt.ended_s + _MOMENT_S < books.now_s:
            _missing(books, debt)


def check_drained(books: Books) -> None:
    """A server that stops leaves nothing for later."""
    for debt in books.owed:
        _missing(books, debt)


def _missing(books: Books, debt: Debt) -> None:
    how = debt.how or "ended by a restart"
    books.broken(_RULE, f"{books.name(debt.paper)} is {how}, and nothing follows it")


def _made(books: Books, job: JobStatistics) -> None:
    """There is a job that no client submitted."""
    labels = dict(job.labels)
    name = f"{shown(job.handle)} ({shown(job.function)})"
    if FOLLOWS not in labels:
        books.broken("books", f"{name} is there, and nobody submitted it")
    first = books.papers.get(labels.pop(FOLLOWS).encode())
    if first is None:
        books.broken(_RULE, f"{name} follows a job that nobody knows")
    debts = [debt for debt in books.owed if debt.paper is first]
    if not debts:
        state = first.ended or "unfinished"
        books.broken(_RULE, f"{name} follows {books.name(first)} for no end; that is {state}")
    # Of a job that was in memory an earlier end may be open, which is followed a moment later.
    debt = next((debt for debt in debts if debt.at_once), debts[0])
    books.owed.remove(debt)
    paper = _paper(books, job, debt)
    _check_made(books, job, paper, labels)
    first.followers.append(paper)
    if job.payload is not None:
        check_payload(books, paper, job.payload)
    books.story.tell("server", f"has {books.name(paper)} follow {books.name(first)}")


def _paper(books: Books, job: JobStatistics, debt: Debt) -> Paper:
    """What follows, as it must be."""
    callback = debt.callback
    options = Options(labels=debt.paper.labels)
    function = callback.function
    if callback.url:
        function, options = HTTP_FUNCTION.encode(), replace(options, policy=RETRIES)
    payload = None if callback.url else callback.payload
    number = int(job.handle.rpartition(b":")[2])
    paper = Paper(job.handle, number, function, b"", payload, Priority.NORMAL, None, True, 0.0, 0.0)
    paper.follows = debt
    lives.planned(books, paper, options)
    paper.journal_seq = paper.wait_seq = books.happened()
    books.add(paper)
    books.counts["submitted"] += 1
    return paper


def _check_made(books: Books, job: JobStatistics, paper: Paper, labels: dict[str, str]) -> None:
    found = job.function, job.unique, job.priority, job.background, labels
    expected = paper.function, b"", paper.priority, True, dict(paper.labels)
    if found != expected:
        books.broken(_RULE, f"{shown(job.handle)} is {found}, and should be {expected}")


# ---- what a URL is told


def check_payload(books: Books, paper: Paper, payload: bytes) -> None:
    """Somebody sees the payload of a job.  What tells a URL was not known before, but from now on
    it is, for one ending is told the same in each attempt."""
    if paper.payload is not None:
        return
    paper.payload = payload
    debt = paper.follows
    assert debt is not None, "clients say what they submit"
    request = read_request(payload)
    body = verify_callback(
        books.features.callback_secret,
        request.headers,
        request.body or b"",
        max_age_s=1.0,
        now_s=debt.ended_s,
    )
    first = debt.paper
    told = (request.url, request.headers[ID], read_content("result", body))
    expected = (debt.callback.url, decoded(paper.handle), debt.given)
    if told != expected:
        books.broken(_RULE, f"{books.name(paper)} tells {told}, and not {expected}")
    facts = {
        "handle": decoded(first.handle),
        "function": decoded(first.function),
        "unique": decoded(first.unique),
        "state": debt.how or body["state"],
        "attempts": debt.attempts,
        "labels": dict(first.labels),
        "ended_s": debt.ended_s,
    }
    for name, fact in facts.items():
        if body[name] != fact:
            books.broken(_RULE, f"{books.name(paper)} tells {name} {body[name]!r}, not {fact!r}")


# ---- restarts


def started(books: Books) -> None:
    """The server has restored what is on the disk: an end and what follows it are both there, or
    neither is; and what the restart itself ended is followed already."""
    for paper in books.papers.values():
        if paper.followers:
            _compare(books, paper)
    for put, change in books.disk.durable.values():
        paper = books.papers[put.handle]
        waited = change is None or change.state in UNFINISHED
        if paper.callback is not None and waited:
            found = books.engine.find(put.handle)
            if found is None or found.state not in UNFINISHED:
                paper.attempts = 0 if change is None else change.attempts
                paper.given = b""
                lives.owe(books, paper, None if found is None else found.state, at_once=True)
    books.seen = books.engine.next_number
    for job in books.engine.jobs():
        if job.handle not in books.unfinished:
            _made(books, job)
    settled(books)


def _compare(books: Books, paper: Paper) -> None:
    kept = []
    for follower in paper.followers:
        name = f"{books.name(follower)}, which follows {books.name(paper)},"
        on_disk = follower.number in books.disk.durable
        if follower.journal_seq <= books.kept_seq:
            if follower.ended != VANISHED:
                kept.append(follower)
            elif not on_disk:  # else the restart was its own end, too
                books.broken(_RULE, f"{name} is gone, and what it follows has ended")
        elif on_disk:
            books.broken(_RULE, f"{name} is there, and the end that it follows is not")
    paper.followers = kept
