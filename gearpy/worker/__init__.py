"""Do the jobs of Gearman servers.

``core`` is one connection's conversation and ``roster`` which jobs a worker takes and begins, both
without I/O; ``functions`` is what a registered function is given and how its answer is sent, and
``registry`` where they are registered.  ``sync`` (with ``line``) is the blocking worker around
them, ``aio`` that of asyncio; both use ``places``, ``threads``, ``costs`` and ``heartbeat``.
``pool`` is for functions in processes of their own.
``crew`` is which processes a supervisor starts and stops.
"""

from gearpy.worker.aio import AsyncWorker
from gearpy.worker.functions import Job
from gearpy.worker.sync import Worker

__all__ = ["AsyncWorker", "Job", "Worker"]
