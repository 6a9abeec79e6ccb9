"""``gearpy-server``: the command line around a server."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from gearpy.errors import CannotListen, SettingError
from gearpy.server import log
from gearpy.server.collector import tune_collector
from gearpy.server.server import ServeBeside, Server
from gearpy.server.settings import (
    FIELDS,
    NONE,
    Declaration,
    Settings,
    key_of,
    load,
    variable_of,
)
from gearpy.stores.sqlite import SqliteStore
from gearpy.version import version_and_form

if TYPE_CHECKING:
    from gearpy.tracing.server import Spans

EXIT_CANNOT_LISTEN: Final = 1
EXIT_BAD_SETTING: Final = 2


def _option(name: str, declaration: Declaration) -> click.Option:
    return click.Option(
        [name, *declaration.flags],
        is_flag=declaration.switch,
        multiple=declaration.repeatable,
        metavar=declaration.metavar,
        default=None,
        help=declaration.says,
    )


class ServeCommand(click.Command):
    """The options are made from the declarations of the settings."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        own: list[click.Parameter] = [
            click.Option(
                ["--config-file"],
                metavar="FILE",
                help="Read settings from this TOML file, by their long names.",
            ),
            click.Option(
                ["-V", "--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Print the version and exit.",
            ),
        ]
        super().__init__(
            "gearpy-server",
            callback=callback,
            params=[*(_option(name, item) for name, item in FIELDS.items()), *own],
            help="A Gearman job server.",
            epilog=(
                "Every option can also stand in the TOML file, as"
                f" {key_of('job_retries')} = 3, or in a variable, as"
                f" {variable_of('job_retries')}=3. An option counts before a variable, a variable"
                " before the file."
            ),
            context_settings={"help_option_names": ["-h", "--help"]},
        )


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"gearpy-server {version_and_form()}")
        context.exit()


def serve(config_file: str | None, **flags: Any) -> None:
    """Reads the settings, serves, and exits with the server's code."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    try:
        settings = load(given, os.environ, config_file or os.environ.get("GEARPY_CONFIG_FILE"))
        report = _detach() if settings.daemon else _Report()
    except SettingError as error:
        _fail(str(error), EXIT_BAD_SETTING)
    try:
        log.set_up(settings)
        tune_collector()
        code = _run(_serve(settings, report))
    except SettingError as error:
        report.failed(str(error), EXIT_BAD_SETTING)
    except CannotListen as error:
        report.failed(str(error), EXIT_CANNOT_LISTEN)
    sys.exit(code)


async def _serve(settings: Settings, report: "_Report") -> int:
    store = None
    if settings.journal_file:
        store = SqliteStore(settings.journal_file, synced=settings.durability != NONE)
    spans = _spans(settings.otlp) if settings.otlp else None
    serve_http = _http() if settings.http else None
    server = Server(settings, store, serve_http=serve_http, observer=spans)
    try:
        return await server.run(report.started)
    finally:
        if spans is not None:
            spans.close()


def _spans(url: str) -> "Spans":
    """Imports what tracing takes.  Raises SettingError if it is not there."""
    try:
        from gearpy.tracing.server import Spans
    except ModuleNotFoundError as error:
        raise SettingError(
            f"--otlp takes what gearpy[otel] brings, and there is no {error.name}:"
            " pip install 'gearpy[otel]'"
        ) from None
    return Spans(url)


def _http() -> ServeBeside:
    """Imports what HTTP takes, which nobody else needs.  Raises SettingError if it is not there."""
    try:
        from gearpy.web.serving import serve_http
    except ModuleNotFoundError as error:
        raise SettingError(
            f"--http takes what gearpy[web] brings, and there is no {error.name}:"
            " pip install 'gearpy[web]'"
        ) from None
    return serve_http


def _run(main: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:  # asyncio's own loop does, at half the speed
        return asyncio.run(main)
    return uvloop.run(main)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"gearpy-server: {sentence}", err=True)
    sys.exit(code)


class _Report:
    """Tells whoever started the server how that went."""

    def started(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(line, flush=True)

    def failed(self, sentence: str, code: int) -> NoReturn:
        _fail(sentence, code)


class _DaemonReport(_Report):
    """The same from a daemon: its parent waits at the other end of a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def started(self, line: str) -> None:
        self._tell(0, line)

    def failed(self, sentence: str, code: int) -> NoReturn:
        self._tell(code, f"gearpy-server: {sentence}")
        sys.exit(code)

    def _tell(self, code: int, sentence: str) -> None:
        os.write(self._pipe, f"{code} {sentence}".encode())
        os.close(self._pipe)


def _detach() -> _Report:
    """Goes on in a daemon.

    The process that was started waits until the daemon serves or failed, says so, and exits.  So a
    script knows that the server is there when the command returns.
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with open(reader, "rb") as pipe:
            code, _, sentence = pipe.read().partition(b" ")
        failed = code != b"0"
        click.echo(sentence.decode() or "gearpy-server: the daemon died at once", err=failed)
        os._exit(int(code or 1))
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    return _DaemonReport(writer)


def _open_standard_streams() -> None:
    """Puts /dev/null where a standard stream is closed: else a socket would get its number."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)


command = ServeCommand(serve)


def main() -> None:
    """The program ``gearpy-server``."""
    _open_standard_streams()
    command.main(prog_name="gearpy-server")


if __name__ == "__main__":
    main()
