"""What the server is told, and what that must change."""

from collections.abc import Callable
from typing import Final

from gearpy.broker.reports import read_cause, read_state, read_usage
from gearpy.engine.job import coalescing_key
from gearpy.engine.options import Options, read_options
from gearpy.engine.rules import timeout_s
from gearpy.engine.schedule import UtcCalendar, read_due_s, read_minute
from gearpy.priority import Priority
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.simulation import followups, grants, lives, operated, wakeups
from gearpy.testing.simulation.books import Books, Paper, Request, Seat, handle_of
from gearpy.testing.simulation.story import shown

Act = Callable[[], None]


def hear(books: Books, seat: Seat, number: int, body: bytes, act: Act) -> None:
    """The server is told one packet when ``act`` is called; what follows is checked."""
    _HANDLERS[number](books, seat, number, codec.split(number, body), act)


# ---- clients

_SUBMITS: Final = {
    p.SUBMIT_JOB: (Priority.NORMAL, False),
    p.SUBMIT_JOB_BG: (Priority.NORMAL, True),
    p.SUBMIT_JOB_HIGH: (Priority.HIGH, False),
    p.SUBMIT_JOB_HIGH_BG: (Priority.HIGH, True),
    p.SUBMIT_JOB_LOW: (Priority.LOW, False),
    p.SUBMIT_JOB_LOW_BG: (Priority.LOW, True),
    p.SUBMIT_JOB_EPOCH: (Priority.NORMAL, True),
    p.SUBMIT_JOB_SCHED: (Priority.NORMAL, True),
    p.SUBMIT_REDUCE_JOB: (Priority.NORMAL, False),
    p.SUBMIT_REDUCE_JOB_BACKGROUND: (Priority.NORMAL, True),
}


def _submit(books: Books, seat: Seat, number: int, fields: list[bytes], act: Act) -> None:
    function, unique, payload = fields[0], fields[1], fields[-1]
    options = Options()
    due_s, reducer = 0.0, b""
    if number == p.SUBMIT_JOB_OPTIONS:
        why = followups.objection(books, function, unique, payload, fields[2])
        if why:
            _check_refused(books, seat, why, act)
            return
        options = read_options(fields[2])
        priority, background = options.priority, options.background
        due_s = options.due_s or 0.0
    else:
        priority, background = _SUBMITS[number]
    if number == p.SUBMIT_JOB_EPOCH:
        due_s = read_due_s(fields[2])
    elif number == p.SUBMIT_JOB_SCHED:
        due_s = read_minute(*fields[2:-1]).next_time_s(books.now_s, UtcCalendar())
    elif number in (p.SUBMIT_REDUCE_JOB, p.SUBMIT_REDUCE_JOB_BACKGROUND):
        reducer = fields[2]
    key = coalescing_key(unique, payload)
    joined = None if key is None else books.keys.get((function, key))
    before = books.engine.next_number
    if joined is not None:
        paper: Paper | None = joined
        if not _join(books, seat, joined, background, act):
            paper = None
    else:
        size = sum(1 for _ in books.of_function(function))
        act()
        paper = None
        if books.engine.next_number > before:
            handle = handle_of(before)
            paper = Paper(
                handle, before, function, unique, payload, priority, key, background, due_s, 0.0
            )
            paper.reducer = reducer
            lives.planned(books, paper, options)
            _check_admission(books, paper, size)
            _take(books, seat, paper)
        else:
            journalled = background or options.callback is not None
            _check_refusal(books, function, journalled, size)
    if joined is not None and books.engine.next_number > before:
        books.broken("coalescing", f"a second unfinished job like {books.name(joined)} was made")
    handle_then = None if paper is None else paper.handle
    seat.requests.append(
        Request(
            "submit", books.happened(), handle_then, background or bool(paper and paper.background)
        )
    )


def _join(books: Books, seat: Seat, paper: Paper, background: bool, act: Act) -> bool:
    job = books.job(paper, "no loss")
    waiting = job.waiting
    act()
    if background:
        if not job.background:
            return False  # the disk is full, or nothing more is taken
        if not paper.background:
            paper.journal_seq = paper.wait_seq = books.happened()
        paper.background = True
    elif job.waiting == waiting:
        return False
    else:
        paper.watchers[seat] = paper.watchers.get(seat, 0) + 1
    books.counts["coalesced"] += not books.engine.draining
    books.story.tell(seat.name, f"joins {books.name(paper)}")
    return not books.engine.draining


def _check_refused(books: Books, seat: Seat, why: str, act: Act) -> None:
    """A submit that must change nothing."""
    before = books.engine.next_number
    act()
    if books.engine.next_number > before:
        books.broken("books", f"a job of {seat.name} was taken although {why}")
    books.story.tell(seat.name, f"submits in vain: {why}")
    seat.requests.append(Request("submit", books.happened()))


def _take(books: Books, seat: Seat, paper: Paper) -> None:
    # After a power failure only a durable mark knows which numbers were in use.
    if paper.handle in books.papers and books.promises:
        books.broken("books", f"handle {shown(paper.handle)} was given to two jobs")
    if paper.background:
        paper.journal_seq = books.happened()
    else:
        paper.watchers[seat] = 1
    paper.wait_seq = paper.journal_seq
    books.add(paper)
    books.counts["submitted"] += 1
    ground = "in the background" if paper.background else "and waits"
    books.story.tell(
        seat.name,
        f"submits {books.name(paper)} {paper.priority.name.lower()}"
        f" unique {shown(paper.unique)!r} {ground}",
    )


def _check_admission(books: Books, paper: Paper, size: int) -> None:
    name = f"{books.name(paper)} was taken"
    policy = books.engine.functions.policies.of(paper.function)
    if policy is not None and policy.max_queue and size >= policy.max_queue:
        books.broken("limits", f"{name} although its function had {size} jobs")
    if paper.function in books.draining:
        books.broken("limits", f"{name} although its function is draining")
    # What follows a job is journalled, also if the job is not.
    if books.engine.journal_full and (paper.background or paper.callback is not None):
        books.broken("limits", f"{name} although the disk is full")


def _check_refusal(books: Books, function: bytes, journalled: bool, size: int) -> None:
    policy = books.engine.functions.policies.of(function)
    full = policy is not None and policy.max_queue and size >= policy.max_queue
    if not (
        books.engine.draining
        or full
        or function in books.draining
        or (journalled and books.engine.journal_full)
    ):
        books.broken("books", f"a job for {shown(function)} was refused without a reason")


def _cancel(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    paper = books.unfinished.get(fields[0])
    act()
    seat.requests.append(
        Request("cancel", books.happened(), answer=(fields[0], b"%d" % (paper is not None)))
    )
    if paper is not None:
        books.story.tell(seat.name, f"cancels {books.name(paper)}")
        lives.cancelled(books, paper)


def _ask(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    paper = books.unfinished.get(fields[0])
    running = paper is not None and paper.holder is not None
    act()
    answer = fields[0], b"%d" % (paper is not None), b"%d" % running
    seat.requests.append(Request("status", books.happened(), answer=answer))


def _ask_unique(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    known = any(key == fields[0] for _, key in books.keys)
    act()
    answer = fields[0], b"%d" % known
    seat.requests.append(Request("status", books.happened(), answer=answer))


def _option(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    act()
    seat.extended = seat.extended or fields[0] == b"gearpy"
    seat.exceptions = seat.exceptions or fields[0] == b"exceptions"
    seat.requests.append(Request("option", books.happened(), answer=(fields[0],)))


# ---- workers


def _can_do(books: Books, seat: Seat, number: int, fields: list[bytes], act: Act) -> None:
    act()
    seconds = timeout_s(int(fields[1]), "ms") if number == p.CAN_DO_TIMEOUT else 0.0
    seat.abilities[fields[0]] = seconds


def _cant_do(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    act()
    seat.abilities.pop(fields[0], None)


def _nothing(books: Books, seat: Seat, _number: int, _fields: list[bytes], act: Act) -> None:
    act()


def _reset(books: Books, seat: Seat, _number: int, _fields: list[bytes], act: Act) -> None:
    act()
    seat.abilities.clear()


def _sleep(books: Books, seat: Seat, _number: int, _fields: list[bytes], act: Act) -> None:
    act()
    seat.asleep, seat.woken_s = True, None


def _grab(books: Books, seat: Seat, _number: int, _fields: list[bytes], act: Act) -> None:
    running = books.engine.running
    act()
    seat.asleep, seat.woken_s = False, None
    if books.engine.running > running:
        seat.requests.append(grants.grant(books, seat, grants.given(books, seat)))
        return
    seat.requests.append(Request("grab", books.happened()))
    for function in seat.abilities:
        if wakeups.available(books, function):
            books.broken("no lost job", f"{seat.name} gets no job, but {shown(function)} has some")


def _report(books: Books, seat: Seat, number: int, fields: list[bytes], act: Act) -> None:
    paper = _held(books, seat, fields[0])
    act()
    if paper is None:
        return
    if number == p.WORK_DATA:
        paper.given += fields[1]
    for watcher, copies in paper.watchers.items():
        if number == p.WORK_PROGRESS and not watcher.extended:
            watcher.expect(paper.handle, p.WORK_STATUS, b"\0".join(fields[1:3]), copies)
        else:
            watcher.expect(paper.handle, number, b"\0".join(fields[1:]), copies)


def _usage(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    paper = _held(books, seat, fields[0])
    act()
    if paper is None:
        return
    log = books.engine.describe(books.job(paper, "no loss")).log
    if log and not log[-1].outcome and log[-1].usage != read_usage(fields[1]):
        books.broken("books", f"{books.name(paper)} cost {log[-1].usage}, not {fields[1]!r}")


def _state(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    act()
    state = read_state(fields[0], books.now_s)
    seat.group = state.group if state.supervisor else None


def _finish(books: Books, seat: Seat, number: int, fields: list[bytes], act: Act) -> None:
    paper = _held(books, seat, fields[0])
    act()
    if paper is None:
        return
    if number == p.WORK_COMPLETE:
        lives.completed(books, paper, fields[1])
    elif number == p.WORK_FAIL:
        lives.attempt_over(books, paper, "fail")
    elif number == p.WORK_FAILURE:
        lives.attempt_over(books, paper, read_cause(fields[1]), fields[2])
    else:
        lives.attempt_over(books, paper, "exception", fields[1])


def _held(books: Books, seat: Seat, handle: bytes) -> Paper | None:
    """The job, if this worker holds it; else what it says must change nothing."""
    paper = books.unfinished.get(handle)
    if paper is not None and paper.holder is seat:
        return paper
    books.counts["stale"] += 1
    books.story.tell(seat.name, f"speaks of {shown(handle)}, which it does not hold")
    if books.features.strict:
        seat.requests.append(Request("stale", books.happened()))
    return None


_HANDLERS: Final = {
    **dict.fromkeys((*_SUBMITS, p.SUBMIT_JOB_OPTIONS), _submit),
    p.CANCEL_JOB: _cancel,
    p.OPERATE: operated.operate,
    p.GET_STATUS: _ask,
    p.GET_STATUS_UNIQUE: _ask_unique,
    p.OPTION_REQ: _option,
    p.SET_CLIENT_ID: _nothing,
    p.CAN_DO: _can_do,
    p.CAN_DO_TIMEOUT: _can_do,
    p.CANT_DO: _cant_do,
    p.RESET_ABILITIES: _reset,
    p.PRE_SLEEP: _sleep,
    **dict.fromkeys((p.GRAB_JOB, p.GRAB_JOB_UNIQ, p.GRAB_JOB_ALL), _grab),
    **dict.fromkeys((p.WORK_DATA, p.WORK_WARNING, p.WORK_STATUS, p.WORK_PROGRESS), _report),
    p.WORK_USAGE: _usage,
    p.WORKER_STATE: _state,
    **dict.fromkeys((p.WORK_COMPLETE, p.WORK_FAIL, p.WORK_EXCEPTION, p.WORK_FAILURE), _finish),
}
