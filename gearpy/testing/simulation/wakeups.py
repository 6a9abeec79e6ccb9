"""No lost wake-up: whoever sleeps while there is work for it is woken, or somebody else comes."""

from typing import Final

from gearpy.testing.simulation.books import NO_POLICY, Books, Seat
from gearpy.testing.simulation.grants import starts_within_minute
from gearpy.testing.simulation.story import shown

PATIENCE_S: Final = 0.1


def available(books: Books, function: bytes) -> int:
    """How many jobs of a function could be given out now, at least."""
    if books.engine.draining or function in books.paused:
        return 0
    if books.reading():
        return 0  # payloads come from the disk, and perhaps this function waits for them
    policy = books.engine.functions.policies.of(function) or NO_POLICY
    now_s = books.now_s
    waiting, running = 0, 0
    for paper in books.of_function(function):
        if paper.holder is not None:
            running += 1
        elif paper.not_before_s <= now_s:
            if paper.limit_key and policy.max_running_per_key:
                continue  # it may have to wait for another one with its key
            waiting += 1
    if policy.max_running:
        waiting = min(waiting, policy.max_running - running)
    if policy.rate_per_minute:
        # When the next start is allowed is looked at after each start: one at a time.
        room = policy.rate_per_minute - starts_within_minute(books, function)
        waiting = min(waiting, room, 1)
    return max(0, waiting)


def check_wakeups(books: Books) -> None:
    """The turn is over: a job and a sleeper who could do it don't stand side by side."""
    sleepers = [
        seat
        for seat in books.seats
        if seat.asleep and seat.woken_s is None and seat.session.outbox.empty
    ]
    if not sleepers:
        return
    for function in {name: None for seat in sleepers for name in seat.abilities}:
        count = available(books, function)
        if count and sum(_comes(books, seat, function) for seat in books.seats) < count:
            sleeper = next(seat for seat in sleepers if function in seat.abilities)
            books.broken(
                "no lost wake-up",
                f"{sleeper.name} sleeps while {shown(function)} has {count} jobs to give out",
            )


def _comes(books: Books, seat: Seat, function: bytes) -> bool:
    """Whether it was woken a moment ago, and may come for a job of this function."""
    if function not in seat.abilities:
        return False
    if seat.woken_s is not None:
        return seat.woken_s + PATIENCE_S > books.now_s
    return seat.asleep and not seat.session.outbox.empty
