"""Callbacks: the job that tells a URL how another one ended, signed."""

import math
from typing import Final, final
from urllib.parse import quote

from gearpy.callbacks import secret_key, signed
from gearpy.engine.callbacks import Ending, Following
from gearpy.engine.life import GIVEN_BYTES_MAX
from gearpy.engine.options import following_options
from gearpy.engine.policy import Exponential, Policy
from gearpy.engine.statistics import JobStatistics
from gearpy.errands.orders import HTTP_FUNCTION, Request
from gearpy.errors import InvalidArgument
from gearpy.protocol.codec import decoded, packed
from gearpy.protocol.content import content

TEXT_BYTES_MAX: Final = GIVEN_BYTES_MAX - 1  # of the result; an error is not kept any longer

_FUNCTION: Final = HTTP_FUNCTION.encode()

# Ten attempts within three and a half hours; then it lies with the dead letters.
RETRIES: Final = Policy(
    attempts=10, backoff=Exponential(base_s=5.0, factor=3.0, cap_s=3600.0, jitter=0.1)
)


@final
class SignedCaller:
    """Tells URLs of the ends of jobs.  ``secret`` is what their receivers know, too; without one
    nobody is promised a call, and what was promised before is told unsigned."""

    def __init__(self, secret: str) -> None:
        self._key = secret_key(secret) if secret else b""

    def function(self) -> bytes:
        """That of the workers of ``gearpy worker --http``.  Raises InvalidArgument if there is no
        secret."""
        if not self._key:
            raise InvalidArgument(
                "this server calls no URLs back: it has no --callback-secret, and nobody could tell"
                " its callbacks from forged ones"
            )
        return _FUNCTION

    def telling(self, ending: Ending, handle: bytes) -> Following:
        """A request for the workers of ``gearpy worker --http``."""
        job = ending.job
        body = packed(_ended(job, ending.given))
        headers = {"content-type": "application/json"}
        if self._key:
            # A job that is run once more ends once more; but what tells that is another one.
            delivery = quote(handle, safe=":")
            headers |= signed(self._key, delivery, math.floor(job.since_s), body)
        request = Request(
            url=ending.callback.url, method="POST", headers=headers, body=body, redirects=0
        )
        options = following_options(job.handle, job.labels, RETRIES)
        return Following(_FUNCTION, request.payload(), options)


def _ended(job: JobStatistics, given: bytes) -> dict[str, object]:
    """What is told of a job.  Times are seconds since the epoch."""
    return {
        "handle": decoded(job.handle),
        "function": decoded(job.function),
        "unique": decoded(job.unique),
        "state": job.state,
        "reason": job.reason,
        "attempts": job.attempts,
        "labels": dict(job.labels),
        "created_s": job.created_s,
        "ended_s": job.since_s,
        **content("error", job.error, TEXT_BYTES_MAX),
        **content("result", given, TEXT_BYTES_MAX),
    }
