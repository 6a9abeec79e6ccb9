"""A whole job server without I/O: packets become verbs of the engine, answers become bytes.

    session.receive(data)       bytes that arrived on one connection
    outbox.take() -> bytes      bytes to write to one connection
    broker.advance(now) -> t    time has passed; call again at t at the latest
    gate.take_batch()           records to make durable
    gate.open(ticket)           everything up to this ticket is durable

Nothing here reads a clock, opens a file or awaits.  If you need to, you are in the wrong room.
"""
