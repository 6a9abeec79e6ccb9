"""RQ, with a worker that does not fork."""

from typing import Final

from bench.libraries import rq_app

COMMAND: Final = (*rq_app.COMMAND, "--worker-class", "rq.SimpleWorker")

submit = rq_app.submit
