"""The log: one line an event, as text or JSON, to stderr, a file or syslog."""

import contextlib
import json
import logging
import logging.handlers
import os
import socket
import sys
from typing import Final

from gearpy.errors import SettingError
from gearpy.server.settings import Settings

_SYSLOG: Final = "/dev/log"

# gearmand's names for levels, by how much they let through.
_LEVELS: Final = {
    "FATAL": logging.CRITICAL,
    "ALERT": logging.CRITICAL,
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "NOTICE": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
}


class LogFile(logging.handlers.WatchedFileHandler):
    """A log file that may be moved away.  Whether it can be written is not its writer's trouble."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def reopen(self) -> None:
        """Goes on in a new file, if the old one is gone."""
        with contextlib.suppress(OSError):
            self.reopenIfNeeded()


class JsonFormatter(logging.Formatter):
    """A line of JSON: time in seconds since the epoch, level, logger, message, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time_s": round(record.created, 6),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(settings: Settings) -> None:
    """Sends what gearpy logs to where the settings say.  Raises SettingError."""
    handler = _handler(settings)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter())
    elif settings.syslog:
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.raiseExceptions = False  # a log that can't be written must not fill stderr either
    for name in ("gearpy", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(_LEVELS[settings.verbose])


def reopen() -> None:
    """The log file was moved away: goes on in a new one."""
    for handler in logging.getLogger("gearpy").handlers:
        if isinstance(handler, LogFile):
            handler.reopen()


def _handler(settings: Settings) -> logging.Handler:
    if settings.syslog:
        return _syslog()
    if settings.log_file == "stderr":
        return logging.StreamHandler(sys.stderr)
    if settings.log_file == "none":
        return logging.NullHandler()
    try:
        return LogFile(settings.log_file, encoding="utf-8")
    except OSError as error:
        raise SettingError(
            f"--log-file: can't write to {settings.log_file}: {error.strerror}"
        ) from None


def _syslog() -> logging.Handler:
    # SysLogHandler itself does not say when nobody listens.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_SYSLOG)
        except OSError as error:
            raise SettingError(
                f"--syslog: can't reach syslog at {_SYSLOG}: {error.strerror}"
            ) from None
    handler = logging.handlers.SysLogHandler(_SYSLOG)
    handler.ident = f"gearpy-server[{os.getpid()}]: "
    return handler
