"""Books: what the server reports of itself equals a recount."""

from collections import Counter

from gearpy.engine.job import CANCELLED, COMPLETED, DEAD, EXPIRED, FAILED
from gearpy.engine.statistics import QueueStatistics
from gearpy.testing.simulation.books import Books
from gearpy.testing.simulation.story import shown


def check_books(books: Books) -> None:
    """Compares all reports with what happened."""
    _check_sizes(books)
    _check_totals(books)
    for queue in books.engine.functions.all():
        _check_function(books, queue)
    _check_status_report(books)
    _check_payloads(books)


def _check_sizes(books: Books) -> None:
    now = books.engine.statistics()
    held = sum(paper.holder is not None for paper in books.unfinished.values())
    delayed = sum(_delayed(books).values())
    dead = sum(paper.ended == DEAD for paper in books.papers.values())
    _same(
        books,
        "the server",
        {"jobs": now.jobs, "running": now.running, "delayed": now.delayed, "dead": now.dead},
        {"jobs": len(books.unfinished), "running": held, "delayed": delayed, "dead": dead},
    )
    if now.queued != now.jobs - now.running - now.delayed:
        books.broken("books", f"{now.queued} jobs are queued, and that does not add up")


def _check_totals(books: Books) -> None:
    now, counts = books.engine.statistics(), books.counts
    _same(
        books,
        "the server since its start",
        {
            "submitted": now.submitted,
            "coalesced": now.coalesced,
            "completed": now.completed,
            "buried": now.buried,
            "expired": now.expired,
            "cancelled": now.cancelled + now.abandoned,
            "failed": now.failed + now.gave_up,
            "timed out": now.timed_out,
            "lost": now.lost,
            "stale": now.stale,
        },
        {
            "submitted": counts["submitted"],
            "coalesced": counts["coalesced"],
            "completed": counts[COMPLETED],
            "buried": counts[DEAD],
            "expired": counts[EXPIRED],
            "cancelled": counts[CANCELLED],
            "failed": counts[FAILED],
            "timed out": counts["timed out"],
            "lost": counts["lost"],
            "stale": counts["stale"],
        },
    )


def _delayed(books: Books) -> Counter[bytes]:
    return Counter(
        paper.function
        for paper in books.unfinished.values()
        if paper.holder is None and paper.not_before_s > books.now_s
    )


def _check_function(books: Books, queue: QueueStatistics) -> None:
    function = queue.function
    papers = list(books.of_function(function))
    held = sum(paper.holder is not None for paper in papers)
    delayed = _delayed(books)[function]
    dead = sum(
        paper.ended == DEAD and paper.function == function for paper in books.papers.values()
    )
    _same(
        books,
        f"function {shown(function)}",
        {
            "queued": sum(queue.queued),
            "delayed": sum(queue.delayed),
            "running": queue.running,
            "dead": queue.dead,
            "workers": queue.workers,
            "paused": queue.paused,
            "draining": queue.draining,
        },
        {
            "queued": len(papers) - held - delayed,
            "delayed": delayed,
            "running": held,
            "dead": dead,
            "workers": sum(function in seat.abilities for seat in books.seats),
            "paused": function in books.paused,
            "draining": function in books.draining,
        },
    )


def _check_status_report(books: Books) -> None:
    """The text report has a row for each function: name, all jobs, running ones, workers."""
    report, _ = books.broker.operator.answer(b"status", "")
    for row in report.splitlines()[:-1]:
        function, total, running, workers = row.split(b"\t")
        papers = list(books.of_function(function))
        held = sum(paper.holder is not None for paper in papers)
        able = sum(function in seat.abilities for seat in books.seats)
        if (int(total), int(running), int(workers)) != (len(papers), held, able):
            books.broken("books", f"status says {row!r}, not {len(papers)}, {held}, {able}")


def _check_payloads(books: Books) -> None:
    """The bytes that count against the memory budget."""
    held_bytes = 0
    for paper in books.papers.values():
        job = books.engine.find(paper.handle)
        if job is not None and job.ticket and job.payload is not None:
            held_bytes += len(job.payload)
    counted_bytes = books.engine.statistics().payload_bytes
    if counted_bytes != held_bytes:
        books.broken("books", f"{held_bytes} bytes of payloads are in memory, not {counted_bytes}")


def _same(books: Books, whose: str, said: dict[str, int], counted: dict[str, int]) -> None:
    for what, number in said.items():
        if number != counted[what]:
            books.broken("books", f"{whose} reports {number} {what}, and it is {counted[what]}")
