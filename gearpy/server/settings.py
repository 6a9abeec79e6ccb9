"""Every setting, declared once.

A field of ``Settings`` is a flag of ``gearpy-server``, a key of the TOML file and a ``GEARPY_*``
variable: ``job_retries`` is ``--job-retries``, ``job-retries`` and ``GEARPY_JOB_RETRIES``.  A
flag counts before a variable, a variable before the file.  The help text and the README's table
are made from here.  Only policies and schedules stand in the file alone: its tables
``[function."NAME"]`` and ``[schedule.NAME]``.
"""

import dataclasses
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

from gearpy.address import PORT
from gearpy.callbacks import secret_key
from gearpy.engine.cron import Schedule
from gearpy.engine.options import read_options
from gearpy.engine.policy import Policy
from gearpy.engine.rules import HANDLE_BYTES_MAX, TimeoutUnit
from gearpy.errors import InvalidArgument, SettingError
from gearpy.server.tables import POLICIES, SCHEDULES, read_policies, read_schedules

T = TypeVar("T")
Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is known of a setting beside its name, type and default.

    ``read`` makes the value of what was given (text, or a TOML value) and raises ValueError with
    the words behind "it must be".  ``ignored`` says why a setting is accepted and does nothing.
    """

    flags: tuple[str, ...]
    says: str
    read: Reader
    metavar: str | None
    repeatable: bool
    ignored: str | None

    @property
    def switch(self) -> bool:
        """Whether the flag takes no value."""
        return self.metavar is None


def setting(
    default: T,
    flags: str,
    says: str,
    read: Reader,
    metavar: str | None = None,
    repeatable: bool = False,
    ignored: str | None = None,
) -> T:
    """A field of Settings."""
    declaration = Declaration(tuple(flags.split()), says, read, metavar, repeatable, ignored)
    value: T = field(default=default, metadata={"setting": declaration})
    return value


def whole(low: int, high: int = 2**31 - 1) -> Reader:
    """Whole numbers from ``low`` to ``high``."""

    def read(value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            number = low - 1
        if isinstance(value, bool) or not low <= number <= high:
            limit = f"from {low} to {high}" if high < 2**31 - 1 else f"of at least {low}"
            raise ValueError(f"a whole number {limit}")
        return number

    return read


_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(low: int, high: int = 2**32 - 1) -> Reader:
    """Sizes in bytes, with K, M or G for powers of 1024."""

    def read(value: Any) -> int:
        match = re.fullmatch(r"(\d+)\s*([kmg]?)(?:i?b)?", str(value).strip().lower())
        number = int(match[1]) * _UNITS[match[2]] if match else -1
        if not low <= number <= high:
            raise ValueError(f"a size from {low} to {high} bytes, like 65536, 64K or 64M")
        return number

    return read


def seconds(value: Any) -> float:
    """Seconds, fractions included."""
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number < 1e9:
        raise ValueError("a number of seconds, like 10 or 0.5")
    return number


def some_seconds(value: Any) -> float:
    """Seconds, but not none."""
    number = seconds(value)
    if not number:
        raise ValueError("a number of seconds above 0, like 10 or 0.5")
    return number


def choice(*values: str) -> Reader:
    """One of a few words, in any case."""

    def read(value: Any) -> str:
        for allowed in values:
            if str(value).lower() == allowed.lower():
                return allowed
        raise ValueError(" or ".join(values))

    return read


_YES: Final = {"1", "true", "yes", "on"}
_NO: Final = {"0", "false", "no", "off"}


def yes_or_no(value: Any) -> bool:
    """A switch."""
    word = str(value).lower()
    if word not in _YES | _NO:
        raise ValueError("true or false")
    return word in _YES


def text(value: Any) -> str:
    """Any text without line ends."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("text")
    return value


def secret(value: Any) -> str:
    """What nobody can guess."""
    try:
        secret_key(text(value))
    except InvalidArgument as error:
        raise ValueError(f"a secret: {error}") from None
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    """One text, several of them, or several separated by commas."""
    values = value.split(",") if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        raise ValueError("text, or a list of texts")
    return tuple(text(one.strip() if isinstance(one, str) else one) for one in values)


_DESCRIPTORS_MIN: Final = 64  # for the event loop, the log, the listeners and a few connections


def descriptors(value: Any) -> int:
    """How many file descriptors."""
    number: int = whole(0)(value)
    if 0 < number < _DESCRIPTORS_MIN:
        raise ValueError(f"0 or a whole number of at least {_DESCRIPTORS_MIN}")
    return number


PREFIX_BYTES_MAX: Final = HANDLE_BYTES_MAX - 1 - 20  # a colon and the longest number


def handle_prefix(value: Any) -> str:
    """What a handle may begin with."""
    prefix = text(value)
    if len(prefix.encode()) > PREFIX_BYTES_MAX or " " in prefix:
        raise ValueError(f"text without spaces of at most {PREFIX_BYTES_MAX} bytes")
    return prefix


def queue_type(value: Any) -> str:
    """gearmand's persistent queues: a server that would not keep jobs must not say that it does."""
    kinds = {"builtin": "builtin", "libsqlite3": "libsqlite3", "sqlite": "libsqlite3"}
    kind = kinds.get(str(value).lower())
    if kind is None:
        raise ValueError(
            "builtin (in memory, or in the file of --journal) or libsqlite3 (in that of"
            " --libsqlite3-db): another queue would lose what you trust to it"
        )
    return kind


def http_address(value: Any) -> str:
    """Where HTTP is served."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\s]+):(\d{1,5})", str(value))
    if match is None or int(match[2]) > 65535:
        raise ValueError("an address and a port, like 127.0.0.1:4780, [::1]:4780 or localhost:4780")
    return str(value)


def http_url(value: Any) -> str:
    """A URL of HTTP."""
    if not re.fullmatch(r"https?://[!-~]+", str(value)):
        raise ValueError("a URL like http://localhost:4318")
    return str(value)


HTTP_CONNECTIONS_MAX: Final = 256  # at a time

COMMIT: Final = "commit"
NONE: Final = "none"
_INTERVAL_MS_MAX: Final = 60_000


def durability(value: Any) -> str:
    """When a receipt may leave."""
    word = str(value).lower()
    interval = re.fullmatch(r"interval:(\d{1,5})", word)
    if word in (COMMIT, NONE) or (interval and 0 < int(interval[1]) <= _INTERVAL_MS_MAX):
        return word
    raise ValueError(f"commit, interval:MS with 1 to {_INTERVAL_MS_MAX:,} milliseconds, or none")


LogFormat = Literal["text", "json"]
LEVELS: Final = ("FATAL", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")

_keepalive_time = whole(-1, 32767)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a server.  Those of gearmand come first, in its order.

    ``given`` are the names of those that somebody gave a value.  ``policies`` are those of the
    file, by function name or shell pattern; ``schedules`` those of the file, by name.
    """

    given: frozenset[str] = frozenset()
    policies: Mapping[bytes, Policy] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    backlog: int = setting(
        1024, "-b --backlog", "Connections that may wait to be accepted.", whole(1, 65535), "N"
    )
    daemon: bool = setting(False, "-d --daemon", "Detach and run in the background.", yes_or_no)
    exceptions: bool = setting(
        False,
        "--exceptions",
        "Send WORK_EXCEPTION to every client, not only to those that ask for it.",
        yes_or_no,
    )
    file_descriptors: int = setting(
        0,
        "-f --file-descriptors",
        "File descriptors of the process, one for each connection; 0: as the system allows.",
        descriptors,
        "N",
    )
    job_retries: int = setting(
        -1,
        "-j --job-retries",
        "Attempts after a worker was lost with a job or ran out of time; -1: for ever, 0: none.",
        whole(-1),
        "N",
    )
    job_handle_prefix: str = setting(
        "",
        "--job-handle-prefix",
        "What handles begin with; default: H:<host name>.",
        handle_prefix,
        "PREFIX",
    )
    hashtable_buckets: int = setting(
        991,
        "--hashtable-buckets",
        "Accepted for gearmand's sake.",
        whole(1),
        "N",
        ignored="gearpy's tables grow by themselves",
    )
    keepalive: bool = setting(
        True, "--keepalive/--no-keepalive", "TCP keepalive on connections.", yes_or_no
    )
    keepalive_idle: int = setting(
        -1,
        "--keepalive-idle",
        "Seconds of silence before the first probe; -1: the system's.",
        _keepalive_time,
        "SECONDS",
    )
    keepalive_interval: int = setting(
        -1,
        "--keepalive-interval",
        "Seconds between probes; -1: the system's.",
        _keepalive_time,
        "SECONDS",
    )
    keepalive_count: int = setting(
        -1,
        "--keepalive-count",
        "Lost probes that end a connection; -1: the system's.",
        _keepalive_time,
        "N",
    )
    log_file: str = setting(
        "stderr", "-l --log-file", "File for the log; stderr, or none.", text, "FILE"
    )
    listen: tuple[str, ...] = setting(
        (),
        "-L --listen",
        "Address to listen on, with or without a port; may be given more than once. "
        "Default: every address of this machine, IPv4 and IPv6.",
        texts,
        "ADDRESS",
        repeatable=True,
    )
    pid_file: str = setting("", "-P --pid-file", "File to write the process id to.", text, "FILE")
    port: int = setting(
        PORT, "-p --port", "TCP port; 0: one that is free.", whole(0, 65535), "PORT"
    )
    queue_type: str = setting(
        "builtin",
        "-q --queue-type",
        "Where jobs are kept: builtin, in memory or in the journal; or libsqlite3, in the file of "
        "--libsqlite3-db.",
        queue_type,
        "TYPE",
    )
    round_robin: bool = setting(
        False,
        "-R --round-robin",
        "Accepted for gearmand's sake.",
        yes_or_no,
        ignored="a worker's functions are always served in turn",
    )
    syslog: bool = setting(False, "--syslog", "Log to syslog instead of the log file.", yes_or_no)
    threads: int = setting(
        4,
        "-t --threads",
        "Accepted for gearmand's sake.",
        whole(0),
        "N",
        ignored="gearpy serves all connections from one event loop",
    )
    user: str = setting("", "-u --user", "User to switch to once it listens.", text, "USER")
    verbose: str = setting(
        "INFO", "--verbose", f"Level of the log: {', '.join(LEVELS)}.", choice(*LEVELS), "LEVEL"
    )
    worker_wakeup: int = setting(
        0,
        "-w --worker-wakeup",
        "Sleeping workers to wake for each job; 0: one, and the next if it does not come.",
        whole(0),
        "N",
    )
    unix: str = setting("", "--unix", "Listen on this Unix socket, too.", text, "PATH")
    journal: str = setting(
        "",
        "--journal",
        "SQLite file that keeps background jobs, and what becomes of them; it is made if it is not "
        "there. Default: none, in memory only.",
        text,
        "FILE",
    )
    libsqlite3_db: str = setting(
        "", "--libsqlite3-db", "gearmand's name for --journal, with -q libsqlite3.", text, "FILE"
    )
    libsqlite3_table: str = setting(
        "",
        "--libsqlite3-table",
        "Accepted for gearmand's sake.",
        text,
        "NAME",
        ignored="the journal has tables of its own",
    )
    store_queue_on_shutdown: bool = setting(
        False,
        "--store-queue-on-shutdown",
        "Accepted for gearmand's sake.",
        yes_or_no,
        ignored="a job is in the journal before its submit is answered",
    )
    durability: str = setting(
        COMMIT,
        "--durability",
        "When a background submit is answered: commit, once its job is on the disk; interval:MS, "
        "at once, and the disk follows within so many milliseconds; none, at once, and the system "
        "writes when it likes.",
        durability,
        "WHEN",
    )
    memory_budget: int = setting(
        64 << 20,
        "--memory-budget",
        "Bytes of payloads of journalled jobs in memory; beyond it those far back in a queue are "
        "on the disk only, until their turn is near.",
        size(0, 2**40),
        "SIZE",
    )
    disk_reserve: int = setting(
        64 << 20,
        "--disk-reserve",
        "With less than this free on the journal's disk background jobs are refused, so that "
        "running ones can finish.",
        size(0, 2**40),
        "SIZE",
    )
    max_payload: int = setting(
        64 << 20,
        "--max-payload",
        "Largest packet that is taken, in bytes or like 64M.",
        size(1024),
        "SIZE",
    )
    max_connections: int = setting(
        10_000,
        "--max-connections",
        "Connections at a time; more are told so and closed.",
        whole(1),
        "N",
    )
    max_output: int = setting(
        256 << 20,
        "--max-output",
        "Bytes that may wait for a peer that does not read, before it is closed.",
        size(1024, 2**40),
        "SIZE",
    )
    stall_timeout: float = setting(
        60.0,
        "--stall-timeout",
        "Seconds in which a peer with output waiting must take some of it.",
        some_seconds,
        "SECONDS",
    )
    timeout_unit: TimeoutUnit = setting(
        "ms",
        "--timeout-unit",
        "What workers mean in CAN_DO_TIMEOUT: ms or s.",
        choice(*get_args(TimeoutUnit)),
        "UNIT",
    )
    strict: bool = setting(
        False,
        "--strict",
        "Answer late results with ERROR JOB_NOT_FOUND, as gearmand does.",
        yes_or_no,
    )
    allow_shutdown: bool = setting(
        False, "--allow-shutdown", "Let the text command shutdown stop the server.", yes_or_no
    )
    drain_timeout: float = setting(
        10.0,
        "--drain-timeout",
        "Seconds that running jobs get to finish when the server stops.",
        seconds,
        "SECONDS",
    )
    log_format: LogFormat = setting(
        "text",
        "--log-format",
        "Form of the log: text or json.",
        choice(*get_args(LogFormat)),
        "FORM",
    )

    otlp: str = setting(
        "",
        "--otlp",
        "Tell this OpenTelemetry collector (OTLP over HTTP, like http://localhost:4318) what "
        "became of jobs that carry a trace.  Takes what gearpy[otel] brings.",
        http_url,
        "URL",
    )
    http: str = setting(
        "",
        "--http",
        "Serve HTTP on this address, too: a page for people, an API in JSON, metrics.  Takes what "
        "gearpy[web] brings.",
        http_address,
        "HOST:PORT",
    )
    http_token: str = setting(
        "",
        "--http-token",
        "What HTTP requests must bring to be let in: as a bearer token, or as the password of any "
        "user.  Better in GEARPY_HTTP_TOKEN or the file: others can see a command line.",
        text,
        "TOKEN",
    )
    callback_secret: str = setting(
        "",
        "--callback-secret",
        "What the callbacks of jobs are signed with; who receives them must know it, too.  Better "
        "in GEARPY_CALLBACK_SECRET or the file: others can see a command line.",
        secret,
        "SECRET",
    )
    http_cert: str = setting(
        "",
        "--http-cert",
        "Serve HTTPS, with the certificate (chain) in this PEM file.",
        text,
        "FILE",
    )
    http_key: str = setting(
        "",
        "--http-key",
        "The key of that certificate, unless it is in the same file.",
        text,
        "FILE",
    )

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of settings that were given and have no meaning here."""
        return tuple(name for name in FIELDS if name in self.given and FIELDS[name].ignored)

    @property
    def journal_file(self) -> str:
        """The file of the journal, whichever way it was named; empty: there is none."""
        if self.queue_type == "libsqlite3":
            return self.journal or self.libsqlite3_db
        return self.journal

    @property
    def commit_interval_s(self) -> float:
        """How far commits are apart at least."""
        kind, _, interval_ms = self.durability.partition(":")
        return int(interval_ms) / 1000 if kind == "interval" else 0.0


FIELDS: Final[dict[str, Declaration]] = {
    item.name: item.metadata["setting"]
    for item in dataclasses.fields(Settings)
    if "setting" in item.metadata
}


def key_of(name: str) -> str:
    """The TOML key of a setting."""
    return name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return "GEARPY_" + name.upper()


def load(
    flags: Mapping[str, Any], environment: Mapping[str, str], config_file: str | None
) -> Settings:
    """The settings from what was given: flags, then variables, then the file, then defaults.

    ``flags`` holds only those that were given, by field name.  Raises SettingError whose sentence
    names the setting, where its value comes from, and what it must be.
    """
    given: dict[str, tuple[str, Any]] = {}
    policies: dict[bytes, Policy] = {}
    schedules: dict[str, Schedule] = {}
    if config_file is not None:
        table = _read_file(config_file)
        policies = read_policies(config_file, table.pop(POLICIES, {}))
        schedules = read_schedules(config_file, table.pop(SCHEDULES, {}))
        for name, value in _by_name(config_file, table).items():
            given[name] = (f"{key_of(name)} in {config_file}", value)
    for name in FIELDS:
        if variable_of(name) in environment:
            given[name] = (variable_of(name), environment[variable_of(name)])
    for name, value in flags.items():
        given[name] = (FIELDS[name].flags[-1].partition("/")[0], value)
    values: dict[str, Any] = {}
    for name, (where, value) in given.items():
        try:
            values[name] = FIELDS[name].read(value)
        except ValueError as error:
            if FIELDS[name].read is secret:  # which is nobody's business, nor a log's
                raise SettingError(f"{where} must be {error}") from None
            shown = value if isinstance(value, str) else repr(value)
            raise SettingError(f"{where} is {shown!r}; it must be {error}") from None
    settings = Settings(given=frozenset(values), policies=policies, schedules=schedules, **values)
    _check_together(settings)
    if settings.daemon and settings.log_file == "stderr" and not settings.syslog:
        # As a daemon it has no stderr; a server that says nothing is a trap, but so is one that
        # does not start where gearmand did.
        settings = dataclasses.replace(settings, log_file="none")
    return settings


def why_ignored(name: str) -> tuple[str, str]:
    """The flag of a setting that does nothing, and why."""
    declaration = FIELDS[name]
    return declaration.flags[-1], declaration.ignored or ""


def _check_together(settings: Settings) -> None:
    if settings.queue_type == "libsqlite3" and not settings.journal_file:
        raise SettingError(
            "--queue-type is libsqlite3, which needs a file: say --libsqlite3-db FILE, or --journal"
            " FILE"
        )
    if settings.libsqlite3_db and settings.queue_type != "libsqlite3":
        raise SettingError(
            "--libsqlite3-db is given without -q libsqlite3: say so too, or say --journal FILE"
        )
    if settings.journal and settings.libsqlite3_db not in ("", settings.journal):
        raise SettingError("--journal and --libsqlite3-db name two files; there can be one")
    if "durability" in settings.given and not settings.journal_file:
        raise SettingError(
            "--durability is given without --journal FILE: in memory only, no job is durable"
        )
    for name in ("http_token", "http_cert", "http_key"):
        if name in settings.given and not settings.http:
            raise SettingError(f"--{key_of(name)} is given without --http HOST:PORT")
    for name, schedule in settings.schedules.items():
        callback = read_options(schedule.options).callback
        if callback is not None and callback.url and not settings.callback_secret:
            raise SettingError(
                f"the schedule {name!r} has a URL for its callback, and there is no"
                " --callback-secret to sign it with"
            )
    if settings.http_key and not settings.http_cert:
        raise SettingError("--http-key is given without --http-cert FILE")
    if settings.http and not (settings.http_token or settings.http_cert):
        host = settings.http.rpartition(":")[0]
        if not is_loopback(host):
            raise SettingError(
                f"--http {settings.http} is open to other machines, and whoever reaches it could"
                " read and cancel all jobs: give --http-token TOKEN or --http-cert FILE, or listen"
                " on 127.0.0.1"
            )
    if settings.max_output < settings.max_payload:
        raise SettingError(
            f"--max-output is {settings.max_output:,} bytes and --max-payload"
            f" {settings.max_payload:,}: the largest packet must fit into what may wait for a peer"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on this host.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("localhost")
    (True, True, True)
    >>> is_loopback("0.0.0.0"), is_loopback("10.1.2.3"), is_loopback("localhost.example.org")
    (False, False, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_file(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"can't read the settings in {path}: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, thousands of digits
        raise SettingError(f"{path} is not a TOML file: {error}") from None
    except RecursionError:
        raise SettingError(f"{path} is not a TOML file: it is nested too deeply") from None


def _by_name(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    names = {key_of(name): name for name in FIELDS}
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise SettingError(f"{path} has a setting that nobody knows: {unknown[0]}")
    return {names[key]: value for key, value in table.items()}
