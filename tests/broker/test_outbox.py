"""An outbox: bytes for one peer, in order, held as long as a ticket asks for it."""

from gearpy.broker.gate import CommitGate
from gearpy.broker.outbox import Link, Outbox
from gearpy.engine.engine import Engine


class Wire:
    """A link that has nothing to do."""

    def flush(self) -> None:
        """The shell calls it, not the outbox."""


class Desk:
    """A gate, and outboxes behind it."""

    def __init__(self) -> None:
        self.gate = CommitGate()
        self.dirty: list[Link] = []
        self._jobs = Engine()

    def outbox(self) -> tuple[Outbox, Link]:
        link = Wire()
        return Outbox(self.gate, self.dirty, link), link

    def ticket(self) -> int:
        """Of a new record."""
        return self.gate.put(self._jobs.submit(None, b"f", b"", b""))

    def commit(self) -> None:
        work = self.gate.take_work()
        assert work is not None
        self.gate.open(work.ticket)


def test_without_a_ticket_packets_leave_at_once_and_in_order() -> None:
    desk = Desk()
    outbox, link = desk.outbox()
    assert outbox.empty
    outbox.put(b"one ")
    outbox.put(b"two ")
    outbox.put(b"three")
    assert desk.dirty == [link], "once, however much there is to say"
    assert outbox.take() == b"one two three"
    assert outbox.empty
    assert outbox.take() == b""
    desk.dirty.clear()
    outbox.put(b"four")
    assert desk.dirty == [link]
    assert outbox.take() == b"four"


def test_a_durable_ticket_is_no_reason_to_wait() -> None:
    desk = Desk()
    outbox, _ = desk.outbox()
    ticket = desk.ticket()
    desk.commit()
    outbox.put(b"created", ticket)
    assert outbox.take() == b"created"


def test_everything_behind_a_held_reply_waits_with_it() -> None:
    desk = Desk()
    outbox, link = desk.outbox()
    outbox.put(b"before ")
    outbox.put(b"created ", desk.ticket())
    outbox.put(b"behind ")
    outbox.put(b"created too ", desk.ticket())
    assert outbox.take() == b"before "
    assert not outbox.empty
    desk.dirty.clear()
    desk.commit()
    assert desk.dirty == [link]
    assert outbox.take() == b"created behind created too "


def test_other_connections_do_not_wait() -> None:
    desk = Desk()
    waiting, _ = desk.outbox()
    other, link = desk.outbox()
    waiting.put(b"created", desk.ticket())
    other.put(b"hello")
    assert desk.dirty == [link]
    assert other.take() == b"hello"


def test_one_commit_lets_go_only_what_it_covers() -> None:
    desk = Desk()
    outbox, link = desk.outbox()
    later, _ = desk.outbox()
    outbox.put(b"first ", desk.ticket())
    work = desk.gate.take_work()
    assert work is not None
    outbox.put(b"second ", desk.ticket())
    outbox.put(b"behind ")
    later.put(b"third ", desk.ticket())
    desk.gate.open(work.ticket)
    assert desk.dirty == [link], "the other one has nothing to say yet"
    assert outbox.take() == b"first "
    desk.dirty.clear()
    desk.commit()
    assert outbox.take() == b"second behind "
    assert later.take() == b"third "


def test_after_a_release_packets_leave_at_once_again() -> None:
    desk = Desk()
    outbox, link = desk.outbox()
    outbox.put(b"created ", desk.ticket())
    desk.commit()
    outbox.put(b"next ")
    assert desk.dirty == [link]
    assert outbox.take() == b"created next "
    outbox.put(b"again ", desk.ticket())
    assert outbox.take() == b""
    desk.commit()
    assert outbox.take() == b"again "


def test_who_joins_a_job_waits_for_the_jobs_ticket() -> None:
    desk = Desk()
    engine = Engine(journal=desk.gate)
    first, _ = desk.outbox()
    second, _ = desk.outbox()
    for outbox in (first, second):
        outbox.put(b"created", engine.submit(None, b"f", b"u", b"").ticket)
    assert first.take() == second.take() == b""
    desk.commit()
    assert first.take() == second.take() == b"created"


def test_the_size_counts_what_is_held_too() -> None:
    desk = Desk()
    outbox, _ = desk.outbox()
    outbox.put(b"12345")
    outbox.put(b"123", desk.ticket())
    outbox.put(b"12")
    assert outbox.size_bytes == 10
    outbox.take()
    assert outbox.size_bytes == 5
    desk.commit()
    assert outbox.size_bytes == 5
    outbox.take()
    assert outbox.size_bytes == 0


def test_what_is_not_true_any_more_is_replaced_when_the_gate_opens() -> None:
    desk = Desk()
    outbox, link = desk.outbox()
    ticket = desk.ticket()
    true = {"first": True, "second": True}
    assert outbox.holds(ticket)
    assert not outbox.waits
    outbox.hold(b"first ", ticket, lambda: true["first"], b"no ")
    assert outbox.holds(0), "nothing overtakes it"
    assert outbox.waits
    outbox.hold(b"second ", ticket, lambda: true["second"], b"no ")
    outbox.put(b"behind ")
    true["first"] = False
    assert outbox.size_bytes == 20
    desk.commit()
    true["second"] = False
    assert desk.dirty == [link]
    assert outbox.size_bytes == 17
    assert outbox.take() == b"no second behind "
    assert (outbox.size_bytes, outbox.waits, outbox.holds(ticket)) == (0, False, False)


def test_a_closed_outbox_holds_nothing() -> None:
    desk = Desk()
    outbox, _ = desk.outbox()
    outbox.close()
    outbox.hold(b"packet", desk.ticket(), lambda: True, b"")
    assert (outbox.size_bytes, outbox.empty) == (0, True)


def test_what_is_left_in_it_does_not_keep_the_link_off_the_list() -> None:
    desk = Desk()
    outbox, link = desk.outbox()
    outbox.put(b"one ")
    desk.dirty.clear()
    outbox.leave()
    outbox.put(b"two ")
    outbox.put(b"three")
    assert desk.dirty == [link]
    assert outbox.take() == b"one two three"


def test_a_closed_outbox_is_silent_and_holds_up_nobody() -> None:
    desk = Desk()
    gone, gone_link = desk.outbox()
    stays, stays_link = desk.outbox()
    gone.put(b"created ", desk.ticket())
    stays.put(b"created ", desk.ticket())
    gone.close()
    gone.put(b"to nobody")
    gone.put(b"to nobody", desk.ticket())
    assert (gone.size_bytes, gone.empty) == (0, True)
    desk.commit()
    assert gone_link not in desk.dirty
    assert desk.dirty == [stays_link]
    assert gone.take() == b""
    assert stays.take() == b"created "
