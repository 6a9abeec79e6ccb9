"""Talk to Gearman servers: submit jobs, wait for their results, ask for their status.

``options`` is what can be decided for one job; ``core`` is one connection's conversation without
I/O; ``sync`` is the blocking client around it.
"""

from gearpy.client.core import JobStatus
from gearpy.client.options import SubmitOptions
from gearpy.client.sync import Client, ClientJob

__all__ = ["Client", "ClientJob", "JobStatus", "SubmitOptions"]
