"""What leaves the server, and what it must be."""

import json
from collections.abc import Callable
from typing import Final

from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.simulation import followups
from gearpy.testing.simulation.books import Books, Paper, Request, Seat
from gearpy.testing.simulation.story import shown


def says(books: Books, seat: Seat, data: bytes) -> None:
    """These bytes leave the server: each packet is checked."""
    for number, body in seat.parser.feed(data):
        _HANDLERS[number](books, seat, number, codec.split(number, body))


def check_silence(books: Books, seat: Seat) -> None:
    """Its outbox is empty: there is nothing that the peer should have heard by now."""
    for handle, packets in seat.due.items():
        if packets:
            number, data = packets[0]
            books.broken(
                "one ending",
                f"{seat.name} should have heard {p.PACKETS[number].name} {shown(data)} of"
                f" {shown(handle)}, and did not",
            )
    seat.due.clear()
    if seat.requests:
        books.broken("order", f"{seat.name} got no answer to its {seat.requests[0].what}")
    if seat.news.total():
        books.broken("order", f"{seat.name} did not hear that its job was cancelled")
    if seat.commands:
        books.broken("order", f"{seat.name} did not hear {shown(seat.commands[0])}")


def _answered(books: Books, seat: Seat, number: int, *whats: str) -> Request:
    """The request that is answered: the oldest one, and one of these kinds."""
    if not seat.requests:
        books.broken("order", f"{seat.name} gets {p.PACKETS[number].name}, and asked nothing")
    request = seat.requests.popleft()
    if request.what not in whats:
        books.broken(
            "order", f"{seat.name} gets {p.PACKETS[number].name} as answer to {request.what}"
        )
    return request


def _created(books: Books, seat: Seat, number: int, fields: list[bytes]) -> None:
    request = _answered(books, seat, number, "submit")
    handle = fields[0]
    if request.handle != handle:
        books.broken(
            "coalescing",
            f"{seat.name} gets {shown(handle)} for a submit that made {request.handle!r}",
        )
    paper = books.papers[handle]
    seat.receipts.add(handle)
    if request.background and books.promises:
        _check_receipt(books, paper, request)
        paper.promised = True
    books.story.tell("server", f"sends the receipt of {books.name(paper)} to {seat.name}")


def _check_receipt(books: Books, paper: Paper, request: Request) -> None:
    """When the receipt of a durable job leaves, the job is on the disk; or it has ended, and
    everything up to its submit is on the disk."""
    disk = books.disk
    if paper.number in disk.durable:
        return
    if paper.ended and (paper.number in disk.ever or request.seq <= books.durable_seq):
        return
    books.broken("receipt", f"the receipt of {books.name(paper)} leaves; it is not on the disk")


def _refused(books: Books, seat: Seat, number: int, fields: list[bytes]) -> None:
    request = _answered(books, seat, number, "submit", "stale", "operate")
    if request.handle is not None:
        books.broken("books", f"{shown(request.handle)} was taken, and answered with {fields!r}")
    books.story.tell(
        "server", f"answers {request.what} of {seat.name} with ERROR {shown(fields[0])}"
    )


def _no_job(books: Books, seat: Seat, number: int, _fields: list[bytes]) -> None:
    request = _answered(books, seat, number, "grab")
    if request.handle is None:
        return
    paper = books.papers[request.handle]
    if paper.holder is seat and paper.grant_seq == request.seq:
        books.broken("no theft", f"{seat.name} holds {shown(request.handle)} and gets NO_JOB")
    books.story.tell("server", f"does not give {books.name(paper)} to {seat.name} after all")


def _assigned(books: Books, seat: Seat, number: int, fields: list[bytes]) -> None:
    request = _answered(books, seat, number, "grab")
    handle = fields[0]
    if request.handle != handle:
        books.broken("no theft", f"{seat.name} gets {shown(handle)}, which it does not hold")
    paper = books.papers[handle]
    if request.revivals == paper.revivals:
        paper.told += 1
    followups.check_payload(books, paper, fields[-1])
    if (fields[1], fields[-1]) != (paper.function, paper.payload):
        books.broken("books", f"{books.name(paper)} travels with {shown(fields[-1])}")
    if number != p.JOB_ASSIGN and fields[2] != paper.unique:
        books.broken("books", f"{books.name(paper)} travels with unique {shown(fields[2])}")
    if number == p.JOB_ASSIGN_ALL and fields[3] != paper.reducer:
        books.broken("books", f"{books.name(paper)} travels with reducer {shown(fields[3])}")
    if number == p.JOB_ASSIGN_OPTIONS:
        attempt = json.loads(fields[3])["attempt"]
        if attempt != request.attempt:
            books.broken("books", f"{books.name(paper)} travels as attempt {attempt}")
    if request.limited and request.background and books.promises:
        _check_attempt(books, paper, request)


def _check_attempt(books: Books, paper: Paper, request: Request) -> None:
    """Where attempts are limited, none reaches a worker before it is durable."""
    if request.seq <= books.durable_seq:
        return
    kept = books.disk.durable.get(paper.number)
    if kept is None or kept[1] is None or kept[1].attempts < request.attempt:
        books.broken(
            "limits",
            f"attempt {request.attempt} of {books.name(paper)} leaves and is not on the disk",
        )


def _answer(what: str) -> Callable[[Books, Seat, int, list[bytes]], None]:
    def check(books: Books, seat: Seat, number: int, fields: list[bytes]) -> None:
        request = _answered(books, seat, number, what)
        if tuple(fields[: len(request.answer)]) != request.answer:
            books.broken("books", f"{seat.name} hears {fields!r} and not {request.answer!r}")

    return check


def _operated(books: Books, seat: Seat, number: int, fields: list[bytes]) -> None:
    request = _answered(books, seat, number, "operate")
    answer = json.loads(fields[0])
    if request.handle is None:
        books.broken("books", f"{seat.name} was to be refused, and hears {answer}")
    for name, value in request.table.items():
        if answer.get(name) != value:
            books.broken("books", f"{seat.name} hears {name} {answer.get(name)}, not {value}")


def _news(books: Books, seat: Seat, _number: int, fields: list[bytes]) -> None:
    handle = fields[0]
    if not seat.news[handle]:
        books.broken("one ending", f"{seat.name} hears of a cancelled job that it does not hold")
    seat.news[handle] -= 1


def _command(books: Books, seat: Seat, _number: int, fields: list[bytes]) -> None:
    expected = seat.commands.popleft() if seat.commands else b"nothing"
    if fields[0] != expected:
        books.broken("order", f"{seat.name} hears {shown(fields[0])}, not {shown(expected)}")
    books.story.tell("server", f"tells {seat.name} {shown(fields[0])}")


def _wakes(books: Books, seat: Seat, _number: int, _fields: list[bytes]) -> None:
    seat.woken_s = books.now_s
    books.story.tell("server", f"wakes {seat.name}")


def _work(books: Books, seat: Seat, number: int, fields: list[bytes]) -> None:
    handle = fields[0]
    data = b"\0".join(fields[1:])
    said = f"{seat.name} hears {p.PACKETS[number].name} {shown(data)} of {shown(handle)}"
    if handle not in seat.receipts:
        books.broken("order", f"{said} before its receipt")
    due = seat.due.get(handle)
    if not due:
        books.broken("one ending", f"{said}, which nobody said")
    expected = due.popleft()
    if expected != (number, data):
        books.broken("order", f"{said}, and not {p.PACKETS[expected[0]].name} {shown(expected[1])}")


_HANDLERS: Final[dict[int, Callable[[Books, Seat, int, list[bytes]], None]]] = {
    p.JOB_CREATED: _created,
    p.ERROR: _refused,
    p.NO_JOB: _no_job,
    **dict.fromkeys(
        (p.JOB_ASSIGN, p.JOB_ASSIGN_UNIQ, p.JOB_ASSIGN_ALL, p.JOB_ASSIGN_OPTIONS), _assigned
    ),
    p.STATUS_RES: _answer("status"),
    p.STATUS_RES_UNIQUE: _answer("status"),
    p.OPTION_RES: _answer("option"),
    p.CANCEL_RES: _answer("cancel"),
    p.OPERATE_RES: _operated,
    p.CANCEL_JOB: _news,
    p.WORKER_COMMAND: _command,
    p.NOOP: _wakes,
    **dict.fromkeys(
        (
            p.WORK_DATA,
            p.WORK_WARNING,
            p.WORK_STATUS,
            p.WORK_PROGRESS,
            p.WORK_COMPLETE,
            p.WORK_FAIL,
            p.WORK_EXCEPTION,
        ),
        _work,
    ),
}
