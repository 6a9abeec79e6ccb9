"""A whole job server without I/O: packets become verbs of the engine, answers become bytes.

    session.receive(data)       bytes that arrived on one connection
    outbox.take() -> bytes      bytes to write to one connection
    broker.advance(now) -> t    time has passed; call again at t at the latest
    gate.take_work() -> work    records to make durable, payloads to read back; None: nothing
    gate.open(ticket)           everything up to this ticket is durable

Nothing here reads a clock, opens a file or awaits.  If you need to, you are in the wrong room.

``session`` is one connection's conversation, ``outbox`` what it is still to be sent, ``gate`` what
holds a receipt until its job is durable.  ``operator`` answers the text protocol, ``operations``
the requests of operators in JSON, with the tables of ``answers``.  ``callbacks`` makes the job that
tells a URL how another one ended.
"""
