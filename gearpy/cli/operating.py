"""What the operator's commands have in common: whom to ask, slices, questions, progress."""

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import click

from gearpy.address import Address
from gearpy.cli.options import Selection
from gearpy.cli.tables import counted, note, printable, show_json
from gearpy.client.sync import Client
from gearpy.errors import GearpyError, NotSupported, ServerError, WaitTimeout

ONLOOKER_TIMEOUT_S: Final = 5.0  # a slower server is as good as gone to who looks on
_SLICE: Final = 1_000  # the most that a server does at a time
_CLEAR: Final = "\r\033[K"  # to the start of the line, and empty it


class Deed(NamedTuple):
    """What can be done with many jobs: the server's verb, and words for it.

    Jobs that come and go while it is being done may hide others, so that it takes several
    ``passes`` to meet them all.  What may come back (a retried job may die again) gets one pass.
    """

    verb: str
    does: str
    done: str
    warning: str = ""
    passes: int = 3


CANCEL: Final = Deed("cancel", "cancels", "cancelled")
RETRY: Final = Deed("retry", "runs", "retried", " again", passes=1)
PURGE: Final = Deed("purge", "purges", "purged", "; what is purged is forgotten for good")


class WrongState(GearpyError):
    """A job is in another state than what was asked for takes."""


class Listing(NamedTuple):
    """Rows of a report, whether there are more, and the server's time where it tells that."""

    rows: list[Any]
    more: bool
    now_s: float


def is_gearpy_server(server: Address) -> bool:
    """Whether the server takes operators' requests.

    One that says nothing to the question is another one.  Raises CannotConnect, ConnectionLost and
    ServerError.
    """
    try:
        with Client(str(server), timeout=ONLOOKER_TIMEOUT_S) as client:
            client.operate("server")
    except (NotSupported, WaitTimeout):
        return False
    return True


def listed(client: Client, verb: str, field: str, most: int | None, request: Selection) -> Listing:
    """At most ``most`` rows of an answer that comes in slices; None: all."""
    rows: list[Any] = []
    now_s = 0.0
    offset: int | None = 0
    while offset is not None and (most is None or len(rows) <= most):
        limit = _SLICE if most is None else min(_SLICE, most + 1 - len(rows))
        answer = client.operate(verb, limit=limit, offset=offset, **request)
        rows += answer[field]
        offset = answer["next"]
        now_s = answer.get("now_s", 0.0)
    return Listing(rows[:most], most is not None and len(rows) > most, now_s)


def listed_jobs(client: Client, most: int, newest: bool, selection: Selection) -> Listing:
    """At most ``most`` of the jobs that are selected."""
    if not newest:
        return listed(client, "jobs", "jobs", most, selection)
    rows, more, now_s = listed(client, "jobs", "jobs", most, selection | {"order": "newest"})
    # Jobs that come between two slices move others on into the next one.
    return Listing(list({row["handle"]: row for row in rows}.values()), more, now_s)


def do_with(
    deed: Deed,
    handles: Sequence[str],
    *,
    selection: Selection,
    states: Sequence[str],
    everything: bool,
    server: Address,
    limit: int | None,
    yes: bool,
    as_json: bool,
    only: str | None = None,
) -> None:
    """Does it with jobs that are named one by one, or with those that are selected.

    A selection that does not say so is among those in ``states``.  With ``only`` jobs that are
    named must be in that state.  Raises click.UsageError if it is not clear which are meant.
    """
    if handles and (selection or everything or limit):
        raise click.UsageError("jobs are named by their handles, or selected by options, not both")
    if not (handles or selection or everything):
        raise click.UsageError("say which: by their handles, by --function and so on, or --all")
    with Client(str(server)) as client:
        if handles:
            _do_with_handles(client, deed, handles, only, as_json)
        else:
            selection = {"states": list(states)} | selection
            do_with_many(client, deed, selection, most=limit, yes=yes, as_json=as_json)


def _do_with_handles(
    client: Client, deed: Deed, handles: Sequence[str], only: str | None, as_json: bool
) -> None:
    """Does it with each of these jobs; says at the end with which it could not be done."""
    failures: list[str] = []
    for handle in handles:
        try:
            if only is not None:
                check_state(client, handle, only)
            client.operate(deed.verb, handle=handle)
        except ServerError as error:
            failures.append(f"{printable(handle)} was not {deed.done}: {error.text}")
        except WrongState as error:
            failures.append(f"{error}; it was not {deed.done}")
    _tell(deed, len(handles) - len(failures), 0, as_json)
    if failures:
        raise GearpyError("; ".join(failures))


def check_state(client: Client, handle: str, state: str) -> dict[str, Any]:
    """The answer about a job that must be in this state.  Raises WrongState if it is not."""
    answer = client.operate("job", handle=handle)
    if answer["job"]["state"] != state:
        raise WrongState(f"job {printable(handle)} is {answer['job']['state']}, not {state}")
    return answer


def do_with_many(
    client: Client,
    deed: Deed,
    selection: Selection,
    *,
    most: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Does it with all selected jobs, after a question that tells how many they are.

    Where somebody was asked, and where what it was done with may come back, it is never done with
    more jobs than were counted before.
    """
    if not yes or deed is RETRY:
        most = _count(client, selection, most)
        if most and not yes:
            confirm(f"This {deed.does} {counted(most, 'job')}{deed.warning}.")
    with _Progress(deed) as progress:
        for _ in range(deed.passes):
            if not _pass(client, deed, selection, most, progress):
                break
    _tell(deed, progress.number, progress.skipped, as_json)


def _pass(
    client: Client, deed: Deed, selection: Selection, most: int | None, progress: "_Progress"
) -> bool:
    """Goes through all jobs once; returns whether there may be more that were not met."""
    before, slices = progress.number, 0
    offset: int | None = 0
    while offset is not None:
        limit = _SLICE if most is None else min(_SLICE, most - progress.met)
        if not limit:
            return False
        answer = client.operate(deed.verb, limit=limit, offset=offset, **selection)
        progress.add(answer["count"], answer.get("skipped", 0))
        offset = answer["next"]
        slices += 1
    return slices > 1 and progress.number > before


def confirm(what: str) -> None:
    """Asks whether to go on.  Raises GearpyError if not, and where nobody can be asked."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise GearpyError(f"{what} Nobody can be asked here whether to go on: say --yes")
    # Not click.confirm: it writes a space to standard output, where only the report belongs.
    click.echo(f"{what} Go on? [y/N] ", nl=False, err=True)
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            note("")  # whatever the terminal shows next begins a line
    if answer.strip().lower() not in ("y", "yes"):
        raise GearpyError("nothing was done")


def _count(client: Client, selection: Selection, most: int | None) -> int:
    number = 0
    offset: int | None = 0
    while offset is not None and (most is None or number < most):
        answer = client.operate("count", offset=offset, **selection)
        number += answer["count"]
        offset = answer["next"]
    return number if most is None else min(number, most)


def _tell(deed: Deed, number: int, skipped: int, as_json: bool) -> None:
    if as_json:
        show_json({"count": number} | ({"skipped": skipped} if deed is RETRY else {}))
        return
    click.echo(f"{deed.done.capitalize()} {counted(number, 'job')}.")
    if skipped:
        note(f"Left out {counted(skipped, 'job')}: an unfinished job has the same unique.")


class _Progress:
    """How many jobs it was done with, on one line of standard error if that is a terminal."""

    def __init__(self, deed: Deed) -> None:
        self.number = 0
        self.skipped = 0
        self._deed = deed
        self._seen = sys.stderr.isatty()
        self._shown = False

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._shown:
            click.echo(_CLEAR, nl=False, err=True)
        if kind is not None and self.number:
            note(f"gearpy: cut short after {counted(self.number, 'job')} {self._deed.done}")

    @property
    def met(self) -> int:
        """Those that were skipped, too."""
        return self.number + self.skipped

    def add(self, number: int, skipped: int) -> None:
        """So many more."""
        self.number += number
        self.skipped += skipped
        if self._seen:
            click.echo(f"{_CLEAR}{self.number:,} {self._deed.done}", nl=False, err=True)
            self._shown = True
