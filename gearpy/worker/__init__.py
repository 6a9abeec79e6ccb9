"""Do the jobs of Gearman servers.

``core`` is one connection's conversation and ``roster`` which jobs a worker takes and begins, both
without I/O; ``functions`` is what a registered function is given and how its answer is sent.
``sync`` (with ``line``, ``costs`` and ``heartbeat``) is the blocking worker around them.  ``crew``
is which processes a supervisor starts and stops.
"""

from gearpy.worker.functions import Job
from gearpy.worker.sync import Worker

__all__ = ["Job", "Worker"]
