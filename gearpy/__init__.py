"""gearpy: a Gearman job server, with client and worker libraries.

Submit a job and wait for its result:

    with Client("localhost:4730") as client:
        print(client.submit("resize", photo).result())

Do such jobs:

    worker = Worker("localhost:4730")
    worker.register("resize", resize)
    worker.run()
"""

from gearpy.callbacks import verify_callback
from gearpy.client.aio import AsyncClient, AsyncClientJob
from gearpy.client.blocking import ClientJob
from gearpy.client.core import JobStatus
from gearpy.client.desk import JobProgress
from gearpy.client.options import SubmitOptions
from gearpy.client.sync import Client
from gearpy.errors import (
    CannotConnect,
    ConnectionLost,
    FailJob,
    ForgedCallback,
    GearpyError,
    InvalidArgument,
    JobFailed,
    NotAllSubmitted,
    NotSupported,
    ServerError,
    SettingError,
    WaitTimeout,
)
from gearpy.priority import Priority
from gearpy.worker.aio import AsyncWorker
from gearpy.worker.functions import Job
from gearpy.worker.sync import Worker

__all__ = [
    "AsyncClient",
    "AsyncClientJob",
    "AsyncWorker",
    "CannotConnect",
    "Client",
    "ClientJob",
    "ConnectionLost",
    "FailJob",
    "ForgedCallback",
    "GearpyError",
    "InvalidArgument",
    "Job",
    "JobFailed",
    "JobProgress",
    "JobStatus",
    "NotAllSubmitted",
    "NotSupported",
    "Priority",
    "ServerError",
    "SettingError",
    "SubmitOptions",
    "WaitTimeout",
    "Worker",
    "verify_callback",
]
