"""``gearpy worker``: processes that do jobs, and what they are told while they run."""

import asyncio
import importlib.util
import logging
import math
import os
import re
from typing import Any, Final

import click

from gearpy.address import Address, read_addresses
from gearpy.cli.errands import allowance, allowance_options, check_programs
from gearpy.cli.operating import confirm, listed
from gearpy.cli.options import duration_option, json_option, server_option, yes_option
from gearpy.cli.tables import counted, printable, show_json
from gearpy.client.sync import Client
from gearpy.errands.worker import TARGET, Allowance
from gearpy.errors import GearpyError, SettingError
from gearpy.worker.crew import PROCESSES_MAX

_GRACE_S: Final = 5.0  # beside what a process gives its own jobs
_NUMBER: Final = re.compile(r"[+-]?\d+")


class _Group(click.Group):
    """Runs a worker where the first word is none of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["run", *args]  # options of its own it has none
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Group)
def worker() -> None:
    """Run workers, say how many there are to be, and drop one that is stuck.

    `gearpy worker shop.tasks:worker --processes 4` is short for `gearpy worker run ...`.
    """


def _check_servers(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> str | None:
    try:
        if text is not None:
            read_addresses(text)
    except SettingError as error:
        raise click.BadParameter(str(error)) from error
    return text


def _check_size(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    from gearpy.server.settings import size  # here, as most commands need nothing of a server

    try:
        return None if text is None else int(size(1 << 20, 1 << 50)(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not {error}") from error


@worker.command()
@click.argument("target", metavar="MODULE:NAME", required=False)
@click.option(
    "--http",
    "requests",
    is_flag=True,
    help="In place of MODULE:NAME: do requests, the jobs of gearpy.http, callbacks among them.",
)
@click.option(
    "--exec", "runs", is_flag=True, help="The same: run commands, the jobs of gearpy.exec."
)
@allowance_options
@click.option(
    "--processes",
    type=click.IntRange(0, PROCESSES_MAX),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one for each processor",
    metavar="N",
    help="How many processes.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many jobs each process does at a time, in place of what the worker says.",
)
@click.option(
    "--max-jobs", type=click.IntRange(min=1), metavar="N", help="Replace a process after so many."
)
@click.option(
    "--max-memory",
    callback=_check_size,
    metavar="SIZE",
    help="Replace a process that has more memory than 500M, with the processes that it started.",
)
@duration_option(
    "--max-runtime", "Replace a process that has run for so long: 3600 (seconds), 30m, 12h."
)
@duration_option(
    "--timeout",
    "How long a job may take where its function does not say: then it fails, and its process is"
    " replaced.",
)
@duration_option(
    "--stop-timeout",
    "How long jobs may take to finish when a process is to end, in place of what the worker says.",
)
@click.option("--reload", is_flag=True, help="Replace processes when a .py file here changes.")
@click.option(
    "--servers",
    callback=_check_servers,
    metavar="HOST:PORT,...",
    help="Gearman servers, in place of those that the worker says.",
)
@click.option(
    "--group",
    metavar="NAME",
    help="What `gearpy workers` and `gearpy worker scale` call them.  [default: MODULE:NAME; http,"
    " exec, or both with a comma]",
)
def run(
    target: str | None,
    requests: bool,
    runs: bool,
    hosts: tuple[str, ...],
    commands: tuple[str, ...],
    max_output: int,
    secret: str,
    processes: int,
    concurrency: int | None,
    max_jobs: int | None,
    max_memory: int | None,
    max_runtime: float | None,
    timeout: float | None,
    stop_timeout: float | None,
    reload: bool,
    servers: str | None,
    group: str | None,
) -> None:
    """Run the worker MODULE:NAME in several processes.

    NAME is a Worker, an AsyncWorker, Tasks, or a function that gives one of them; MODULE is looked
    for in this folder first. A process that ends is replaced; one that crashes at once, after a
    pause that grows.

    With --http or --exec, or both, it runs a worker for errands instead: requests to the hosts that
    --allow-host names, and commands that --allow-command names. Nothing else is allowed.

    Signals: TERM or Ctrl-C: finish the jobs that run, and end; Ctrl-C again: end at once. HUP:
    replace all processes. TTIN: one more, TTOU: one less.
    """
    # Here, as all other commands would start later for it.
    from gearpy.worker.process import LOG_FORMAT, Orders
    from gearpy.worker.supervisor import Plan, Supervisor

    if reload and importlib.util.find_spec("watchfiles") is None:
        raise GearpyError("--reload needs the package watchfiles: pip install 'gearpy[reload]'")
    allowed = allowance(hosts, commands, max_output, secret)
    _check_errands(target, requests, runs, allowed)
    check_programs(allowed)
    errands = ",".join(name for name, is_meant in (("http", requests), ("exec", runs)) if is_meant)
    target = target or TARGET
    plan = Plan(
        Orders(target, -1, servers, concurrency, max_jobs, stop_timeout, timeout),
        (errands or target) if group is None else group,
        processes,
        _GRACE_S,
        math.inf if max_runtime is None else max(max_runtime, 1.0),
        max_memory,
        reload,
        allowed.environment() if errands else {},
    )
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)

    async def supervise() -> None:
        await Supervisor(plan).run()

    asyncio.run(supervise())


def _check_errands(target: str | None, requests: bool, runs: bool, allowed: Allowance) -> None:
    if target is None and not (requests or runs):
        raise click.UsageError("say which worker: MODULE:NAME, or --http or --exec")
    if target is not None and (requests or runs):
        raise click.UsageError(f"--http and --exec are a worker of their own, beside {target}")
    for flag, is_meant, option, said in (
        ("--http", requests, "--allow-host", allowed.hosts),
        ("--exec", runs, "--allow-command", allowed.commands),
    ):
        if is_meant and not said:
            raise click.UsageError(f"{flag} does nothing until {option} says what is allowed")
        if said and not is_meant:
            raise click.UsageError(f"{option} is given without {flag}")


def _read_number(_context: click.Context, _argument: click.Parameter, text: str) -> int | str:
    if not _NUMBER.fullmatch(text):
        raise click.BadParameter(f"{text!r} is no number: write 4, +1 or -1")
    return text if text[0] in "+-" else int(text)


@worker.command(context_settings={"ignore_unknown_options": True})
@click.argument("number", callback=_read_number)
@click.argument("group")
@json_option
@server_option
def scale(number: int | str, group: str, as_json: bool, server: Address) -> None:
    """Change how many processes GROUP has to NUMBER, or by +1 or -1.

    Those that are too many finish their jobs first. GROUP is as `gearpy workers` shows it, or a
    pattern like shop*.
    """
    _command(group, {"scale": number}, as_json, server)


@worker.command()
@click.argument("group")
@json_option
@server_option
def restart(group: str, as_json: bool, server: Address) -> None:
    """Replace all processes of GROUP, each when it has finished its jobs."""
    _command(group, {"restart": True}, as_json, server)


@worker.command()
@click.argument("peer", metavar="WORKER")
@yes_option
@json_option
@server_option
def drop(peer: str, yes: bool, as_json: bool, server: Address) -> None:
    """Close the connection of WORKER, and give the jobs that it runs to others at once.

    It is for one that is stuck. Its process goes on, and may connect again. WORKER is as `gearpy
    workers` shows it: an address like 127.0.0.1:40312, with or without a name before it.
    """
    with Client(str(server)) as client:
        found = _worker(client, peer)
        if found is None:
            raise GearpyError(
                f"no worker {printable(peer)} is connected to {server}; `gearpy workers` shows"
                " those that are"
            )
        jobs = counted(len(found["running"]), "job")
        if not yes:
            confirm(
                f"This drops the worker {printable(found['worker'])}, which runs {jobs}; what it"
                " runs is given to others."
            )
        client.operate("drop-worker", peer=found["peer"])
    if as_json:
        show_json({"peer": found["peer"], "running": found["running"]})
    else:
        click.echo(f"Dropped the worker {printable(found['worker'])}, which ran {jobs}.")


def _worker(client: Client, name: str) -> dict[str, Any] | None:
    """The worker that is called so: by its address, or else by its name with its address."""
    workers: list[dict[str, Any]] = listed(client, "workers", "workers", None, {}).rows
    by_name = {each["worker"]: each for each in workers}
    by_address = {each["peer"]: each for each in workers}
    return by_address.get(name) or by_name.get(name)


def _command(group: str, command: dict[str, Any], as_json: bool, server: Address) -> None:
    with Client(str(server)) as client:
        told = client.operate("tell-workers", group=group, command=command)["told"]
    if not told:
        raise GearpyError(
            f"no `gearpy worker` of the group {printable(group)} is connected to {server}"
        )
    if as_json:
        show_json({"told": told})
    else:
        click.echo(f"Told {counted(told, 'supervisor')}.")
