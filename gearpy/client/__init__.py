"""Talk to Gearman servers: submit jobs, wait for their results, ask for their status.

Pure, in the order in which to read: ``options`` is what can be decided for one job, ``wishes`` a
job to be submitted; ``core`` is one connection's conversation; ``servers`` chooses among several;
``desk`` knows whose answer is whose; ``jobs`` are jobs on their way; ``steps`` are what a
call can want done, and ``calls`` what each call does, step by step.

``sync`` (with ``line``) is the blocking client around them, whose methods are in ``blocking``;
``aio`` is the one for asyncio.
"""

from gearpy.client.aio import AsyncClient, AsyncClientJob
from gearpy.client.blocking import ClientJob
from gearpy.client.core import JobStatus
from gearpy.client.desk import JobProgress
from gearpy.client.options import SubmitOptions
from gearpy.client.sync import Client

__all__ = [
    "AsyncClient",
    "AsyncClientJob",
    "Client",
    "ClientJob",
    "JobProgress",
    "JobStatus",
    "SubmitOptions",
]
