"""A server over HTTP: an API in JSON.  It comes with ``gearpy[web]``, and only where asked for.

Nothing in here reaches inside the engine: ``desk`` calls its verbs and its operations, in the
server's own event loop, and everybody else in here calls the desk.
"""
