"""What must hold when a worker is given a job."""

from gearpy.engine.policy import Policy
from gearpy.engine.queue import MINUTE_S
from gearpy.testing.simulation.books import NO_POLICY, Books, Paper, Request, Seat


def given(books: Books, seat: Seat) -> Paper:
    """The job that the worker was given just now."""
    for paper in books.papers.values():
        job = books.engine.find(paper.handle)
        if (
            job is not None
            and job.worker is not None
            and job.worker.port is seat.session
            and (paper.holder is not seat or paper.attempts != job.attempts)
        ):
            return paper
    return books.broken("books", f"{seat.name} is given a job that nobody submitted")


def grant(books: Books, seat: Seat, paper: Paper) -> Request:
    """The worker is given a job; returns what it asked for and must be answered."""
    if paper.ended:
        books.broken("one ending", f"{books.name(paper)} is {paper.ended}, and given to a worker")
    check_grant(books, seat, paper)
    allowed = books.allowed(paper)
    paper.limited = paper.limited and allowed is not None and paper.background
    paper.holder = seat
    paper.attempts += 1
    paper.in_turn = False
    paper.timeout_s = attempt_timeout_s(books, seat, paper)
    paper.deadline_s = books.now_s + paper.timeout_s if paper.timeout_s else 0.0
    if books.rated(paper.function):
        books.starts.setdefault(paper.function, []).append(books.now_s)
    books.counts["started"] += 1
    books.story.tell(
        seat.name, f"is given {books.name(paper)}, attempt {paper.attempts} of {allowed}"
    )
    paper.grant_seq = books.happened()
    paper.grant_limited = paper.background and allowed is not None
    return Request(
        "grab",
        paper.grant_seq,
        paper.handle,
        paper.background,
        attempt=paper.attempts,
        limited=allowed is not None,
        revivals=paper.revivals,
    )


def attempt_timeout_s(books: Books, seat: Seat, paper: Paper) -> float:
    """How long the attempt that begins now may take; 0: for ever."""
    timeout_s = seat.abilities[paper.function]
    policy = books.policy(paper)
    if policy is not None and policy.timeout_s:
        timeout_s = min(timeout_s or policy.timeout_s, policy.timeout_s)
    return timeout_s


def check_grant(books: Books, seat: Seat, paper: Paper) -> None:
    """The worker is given this job: nobody holds it, it is due, and no limit is passed."""
    name = f"{books.name(paper)} is given to {seat.name}"
    if paper.holder is not None:
        books.broken("no theft", f"{name}, but {paper.holder.name} holds it")
    if paper.function not in seat.abilities:
        books.broken("books", f"{name}, which can't do it")
    now_s = books.now_s
    if now_s < paper.not_before_s:
        books.broken("never early", f"{name} {paper.not_before_s - now_s:.6f} s before its time")
    if paper.expire_s and now_s >= paper.expire_s:
        books.broken("never late", f"{name} {now_s - paper.expire_s:.6f} s after it expired")
    if paper.function in books.paused:
        books.broken("limits", f"{name}, but its function is paused")
    _check_attempts(books, paper, name)
    _check_running(
        books, paper, name, books.engine.functions.policies.of(paper.function) or NO_POLICY
    )
    _check_order(books, paper, name)


def _check_attempts(books: Books, paper: Paper, name: str) -> None:
    """Attempts never go beyond what was allowed when it was decided that there is one more."""
    allowed, before = books.allowed(paper), paper.allowed
    if allowed is None or before is None:
        return
    policy = books.policy(paper)
    if (policy is None or not policy.retries) and paper.attempts > paper.losses:
        return  # only lost attempts are limited now; an earlier policy allowed for the others
    most = max(allowed, before)
    if paper.attempts + 1 > most:
        books.broken("limits", f"{name} for attempt {paper.attempts + 1} of {most}")
    if paper.limited and books.promises and paper.told + 1 > most:
        books.broken("limits", f"{name}, and {paper.told} of {most} attempts reached a worker")


def _check_running(books: Books, paper: Paper, name: str, policy: Policy) -> None:
    running = [other for other in books.of_function(paper.function) if other.holder is not None]
    if policy.max_running and len(running) >= policy.max_running:
        books.broken("limits", f"{name} while {len(running)} of its function run")
    if policy.max_running_per_key and paper.limit_key:
        with_key = [other for other in running if other.limit_key == paper.limit_key]
        if len(with_key) >= policy.max_running_per_key:
            books.broken("limits", f"{name} while {len(with_key)} with its key run")
    if policy.rate_per_minute:
        starts = starts_within_minute(books, paper.function)
        if starts >= policy.rate_per_minute:
            books.broken("limits", f"{name} after {starts} starts within a minute")


def starts_within_minute(books: Books, function: bytes) -> int:
    """How many attempts of a function started within the last minute."""
    return sum(start_s + MINUTE_S > books.now_s for start_s in books.starts.get(function, ()))


def _check_order(books: Books, paper: Paper, name: str) -> None:
    """First in, first out, for jobs that nothing ever happened to."""
    if not paper.in_turn:
        return
    for other in books.of_function(paper.function):
        if (
            other.number < paper.number
            and other.priority == paper.priority
            and other.in_turn
            and other.holder is None
        ):
            books.broken("order", f"{name} before {books.name(other)}, which came first")
