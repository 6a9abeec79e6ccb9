"""The log: one line an event, as text or JSON, to stderr, a file or syslog."""

import json
import logging
import logging.handlers
import sys
from typing import Final

from gearpy.errors import SettingError
from gearpy.server.settings import Settings

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
        handler.setFormatter(logging.Formatter("gearpy-server[%(process)d]: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("gearpy")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(_LEVELS[settings.verbose])


def reopen() -> None:
    """The log file was moved away: goes on in a new one."""
    for handler in logging.getLogger("gearpy").handlers:
        if isinstance(handler, logging.handlers.WatchedFileHandler):
            handler.reopenIfNeeded()


def _handler(settings: Settings) -> logging.Handler:
    if settings.syslog:
        try:
            return logging.handlers.SysLogHandler("/dev/log")
        except OSError as error:
            raise SettingError(f"--syslog: can't reach syslog: {error.strerror}") from None
    if settings.log_file == "stderr":
        return logging.StreamHandler(sys.stderr)
    if settings.log_file == "none":
        return logging.NullHandler()
    try:
        return logging.handlers.WatchedFileHandler(settings.log_file, encoding="utf-8")
    except OSError as error:
        raise SettingError(
            f"--log-file: can't write to {settings.log_file}: {error.strerror}"
        ) from None
