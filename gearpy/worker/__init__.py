"""Do the jobs of Gearman servers.

``core`` is one connection's conversation without I/O; ``functions`` is what a registered function
is given and how its answer is sent; ``sync`` is the blocking worker around them.
"""

from gearpy.worker.functions import Job
from gearpy.worker.sync import Worker

__all__ = ["Job", "Worker"]
