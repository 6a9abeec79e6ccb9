"""A server over HTTP: a page for people, an API in JSON, metrics.

It comes with ``gearpy[web]``, and is there only where it is asked for.  Nothing in here reaches
inside the engine: ``desk`` calls its verbs and its operations, in the server's own event loop, and
everybody else in here calls the desk.  ``serving`` has the sockets, ``guard`` says who may come in;
``api``, ``page`` and ``older`` (for clients of other queue servers) are what they find.
"""
