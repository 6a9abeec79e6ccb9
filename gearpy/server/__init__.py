"""The asyncio shell around the broker: sockets, disk, time, signals, settings.

Read ``turns`` first (what happens when bytes arrive), then ``committer`` (how records get to the
disk while everything else goes on), ``connection``, ``listeners``, ``server``.
"""
