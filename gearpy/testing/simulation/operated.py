"""What operators ask the server to do, and what that must change."""

import json
from collections.abc import Callable
from typing import Any, Final

from gearpy.engine.job import COMPLETED, DEAD, DELAYED, QUEUED, RETRYING, UNFINISHED
from gearpy.engine.policy import read_policy
from gearpy.engine.policy_book import matcher
from gearpy.protocol.codec import decoded, packed
from gearpy.testing.simulation import lives
from gearpy.testing.simulation.books import Books, Paper, Request, Seat
from gearpy.testing.simulation.story import shown

Act = Callable[[], None]
Wish = dict[str, Any]


def operate(books: Books, seat: Seat, _number: int, fields: list[bytes], act: Act) -> None:
    """The server is told one request when ``act`` is called; what follows is checked."""
    wish = json.loads(fields[0])
    books.story.tell(seat.name, f"asks {json.dumps(wish)}")
    answer = _VERBS[wish["do"]](books, wish, act)
    handle = None if answer is None else b""
    seat.requests.append(Request("operate", books.happened(), handle, table=answer or {}))


# Each returns what the answer must say, or None if it must be a refusal.


def _cancel(books: Books, wish: Wish, act: Act) -> Wish | None:
    if "handle" in wish:
        paper = books.unfinished.get(wish["handle"].encode())
        chosen = [] if paper is None else [paper]
    else:
        chosen = [
            paper for paper in _matching(books, wish) if _state(books, paper) in wish["states"]
        ]
    act()
    for paper in chosen:
        lives.cancelled(books, paper)
    return _counted(wish, len(chosen))


def _retry(books: Books, wish: Wish, act: Act) -> Wish | None:
    if "handle" in wish:
        paper = books.papers.get(wish["handle"].encode())
        chosen = [] if paper is None or not _can_retry(books, paper) else [paper]
        act()
        for paper in chosen:
            _retried(books, paper)
        return _counted(wish, len(chosen))
    states = wish.get("states", [DEAD])
    chosen = [
        paper
        for paper in _matching(books, wish)
        if _state(books, paper) in states and _can_retry(books, paper)
    ]
    act()
    # Of two dead letters with one unique the first is run again: then the second can't be.
    done = [paper for paper in chosen if books.job(paper, "no loss").state == QUEUED]
    for paper in done:
        _retried(books, paper)
    for paper in chosen:
        if paper not in done and (paper.function, paper.key) not in books.keys:
            books.broken("books", f"{books.name(paper)} should have been run again")
    return {"count": len(done)}


def _can_retry(books: Books, paper: Paper) -> bool:
    state = _state(books, paper)
    if paper.ended:
        free = (paper.function, paper.key) not in books.keys
        return state not in (None, COMPLETED) and free
    return state in (DELAYED, RETRYING)


def _retried(books: Books, paper: Paper) -> None:
    if paper.ended:
        books.story.tell("job", f"{books.name(paper)} is to run again, and was {paper.ended}")
        lives.revived(books, paper)
    else:
        books.story.tell("job", f"{books.name(paper)} is to run now")
        paper.not_before_s, paper.in_turn = 0.0, False
        paper.wait_seq = books.happened()


def _purge(books: Books, wish: Wish, act: Act) -> Wish | None:
    if "handle" in wish:
        paper = books.papers.get(wish["handle"].encode())
        chosen = [] if paper is None else [paper]
        chosen = [paper for paper in chosen if _state(books, paper) not in (None, *UNFINISHED)]
    else:
        chosen = [
            paper for paper in _matching(books, wish) if _state(books, paper) in wish["states"]
        ]
    act()
    for paper in chosen:
        lives.purged(books, paper)
    return _counted(wish, len(chosen))


def _steer(books: Books, wish: Wish, act: Act) -> Wish:
    function, verb = wish["function"].encode(), wish["do"]
    names = list(books.engine.functions.names()) if function == b"*" else [function]
    act()
    for name in names:
        paused = verb == "pause" or (verb == "drain" and name in books.paused)
        draining = verb == "drain" or (verb == "pause" and name in books.draining)
        if (paused, draining) == (name in books.paused, name in books.draining):
            continue
        decided = books.steered.setdefault(name, [])
        decided.append((books.happened(), (paused, draining)))
        (books.paused.add if paused else books.paused.discard)(name)
        (books.draining.add if draining else books.draining.discard)(name)
    return {"functions": [decoded(name) for name in names]}


def _set_policy(books: Books, wish: Wish, act: Act) -> Wish:
    pattern = wish["function"].encode()
    policy = None if wish["policy"] is None else read_policy(wish["policy"])
    act()
    books.policies.setdefault(pattern, []).append((books.happened(), policy))
    for function in list(books.starts):
        if not books.rated(function):
            del books.starts[function]  # a rate counts from when it was set
    return {"function": wish["function"]}


def _functions(books: Books, _wish: Wish, act: Act) -> Wish:
    act()
    return {}  # the recount compares what these rows are made of


def _count(books: Books, wish: Wish, act: Act) -> Wish:
    count = sum(not paper.ended for paper in _matching(books, wish))
    act()
    return {"count": count}


def _workers(books: Books, _wish: Wish, act: Act) -> Wish:
    act()
    running = [
        (seat.session.number, paper.number)
        for seat in books.seats
        for paper in books.unfinished.values()
        if seat.open and paper.holder is seat
    ]
    told = [
        (session.number, int(job.handle.rpartition(b":")[2]))
        for session in books.broker.sessions()
        if (worker := session.worker_statistics()) is not None
        for job in worker.running
    ]
    if sorted(running) != sorted(told):
        books.broken("books", f"workers hold {running}, and the server tells {told}")
    return {"next": None}


def _tell_workers(books: Books, wish: Wish, act: Act) -> Wish:
    is_meant = matcher(wish["group"].encode())
    act()
    told = 0
    for seat in books.seats:
        if seat.open and seat.extended and seat.group is not None and is_meant(seat.group):
            seat.commands.append(packed(wish["command"]))
            told += 1
    return {"told": told}


def _matching(books: Books, wish: Wish) -> list[Paper]:
    function = wish["function"].encode()
    return [paper for paper in books.papers.values() if function in (b"*", paper.function)]


def _state(books: Books, paper: Paper) -> str | None:
    """In which state the engine has it; None: it ended, and is not kept."""
    job = books.engine.find(paper.handle)
    if job is not None and (job.state in UNFINISHED) != (not paper.ended):
        books.broken("books", f"{shown(paper.handle)} is {job.state}; it was {paper.ended}")
    return None if job is None else job.state


def _counted(wish: Wish, count: int) -> Wish | None:
    return None if "handle" in wish and not count else {"count": count}


_VERBS: Final[dict[str, Callable[[Books, Wish, Act], Wish | None]]] = {
    "cancel": _cancel,
    "retry": _retry,
    "purge": _purge,
    "pause": _steer,
    "drain": _steer,
    "resume": _steer,
    "set-policy": _set_policy,
    "functions": _functions,
    "count": _count,
    "workers": _workers,
    "tell-workers": _tell_workers,
}
