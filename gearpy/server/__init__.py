"""The asyncio shell around the broker: sockets, time, signals, settings.

Read ``turns`` first (what happens when bytes arrive), then ``connection``, ``listeners``,
``server``.
"""
