"""One process of a supervisor: imports a worker, and runs it.

It is started with ``Orders`` and one end of a socket pair: there it says one line when it is about
to run, and there it hears that its supervisor is gone.
"""

import asyncio
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any, Final

from gearpy.errors import GearpyError, NoSuchTarget
from gearpy.worker.aio import AsyncWorker
from gearpy.worker.sync import Worker

EXIT_FAILURE: Final = 1
EXIT_TARGET: Final = 78  # as BSD's sysexits.h has it: something is set up wrongly

LOG_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(message)s"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is to do.  ``pipe`` is the descriptor of its end of the socket pair; None for
    the others is what the worker's program says."""

    target: str
    pipe: int
    servers: str | None = None
    concurrency: int | None = None
    jobs: int | None = None
    stop_s: float | None = None
    timeout_s: float | None = None

    def command(self) -> list[str]:
        """How to start a process with them."""
        return [sys.executable, "-m", __name__, json.dumps(asdict(self))]


def load(target: str) -> Worker | AsyncWorker:
    """What "module:name" means: a worker, tasks, or a function without arguments that makes one of
    them.

    Raises NoSuchTarget; and whatever importing the module raises.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise NoSuchTarget(f'{target!r} names no worker: write it as "module:name", "shop:worker"')
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # by something that the module imports
        raise NoSuchTarget(
            f"there is no module {error.name!r} to import {target!r} from; modules are looked for"
            f" in {os.getcwd()}, and where Python looks for them"
        ) from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise NoSuchTarget(f"the module {module_name!r} has no {path!r}")
        found = getattr(found, name)
    return _worker(target, found)


def _worker(target: str, found: Any) -> Worker | AsyncWorker:
    if callable(found) and not isinstance(found, type) and not hasattr(found, "register"):
        found = found()
    if isinstance(found, Worker | AsyncWorker):
        return found
    if not isinstance(found, type) and callable(getattr(found, "worker", None)):
        made = found.worker()  # tasks
        if isinstance(made, Worker):
            return made
    raise NoSuchTarget(
        f"{target!r} is {type(found).__name__}, and no Worker, AsyncWorker, Tasks, nor a function"
        " that gives one of them"
    )


def main() -> None:
    """Does what the orders in the first argument say, and exits."""
    orders = Orders(**json.loads(sys.argv[1]))
    pipe = socket.socket(fileno=orders.pipe)
    sys.path.insert(0, os.getcwd())
    try:
        worker = load(orders.target)
        if not logging.root.handlers:
            logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
        worker.adapt(orders.servers, orders.concurrency, orders.stop_s, orders.timeout_s)
    except GearpyError as error:
        _complain(error)
        sys.exit(EXIT_TARGET)
    pipe.sendall(
        json.dumps({"servers": worker.servers, "stop_s": worker.stop_timeout}).encode() + b"\n"
    )
    threading.Thread(target=_end_with_supervisor, args=(pipe,), daemon=True).start()
    try:
        if isinstance(worker, AsyncWorker):
            asyncio.run(worker.run(jobs=orders.jobs))
        else:
            worker.run(jobs=orders.jobs)
    except GearpyError as error:
        _complain(error)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _complain(error: GearpyError) -> None:
    print(f"gearpy worker: {error}", file=sys.stderr)


def _end_with_supervisor(pipe: socket.socket) -> None:
    """Nobody would replace this process any more, nor stop it: it ends as if it was asked to."""
    pipe.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
