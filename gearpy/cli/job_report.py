"""One job in words: a cell of a list, or a whole page."""

from typing import Any, Final

import click

from gearpy.cli.tables import (
    age,
    cell,
    counted,
    excerpt,
    facts,
    moment,
    printable,
    seconds,
    show,
    size,
    table,
    yes_or_no,
)
from gearpy.engine.job import DEAD, DELAYED, FINISHED, RETRYING
from gearpy.protocol.codec import decoded
from gearpy.protocol.content import read_content

_ERROR_CHARACTERS: Final = 60  # in a list
_SHOWN_CHARACTERS: Final = 2_000  # of a payload or result; --json has more
_SHOWN_LINES: Final = 40
_ENDED: Final = (*FINISHED, DEAD)

Job = dict[str, Any]  # as the server describes it


def attempts(job: Job) -> str:
    """How many it had, and how many it may have: "2 of 5"."""
    allowed = job["attempts_max"]
    return str(job["attempts"]) if allowed is None else f"{job['attempts']} of {allowed}"


def details(job: Job, now_s: float) -> str:
    """What else is worth a look, on one line."""
    parts = []
    if "due_s" in job:
        parts.append(f"due in {age(job['due_s'] - now_s)}")
    if "worker" in job:
        parts.append(f"at {job['worker']}")
        parts += filter(None, [progress(job)])
    parts += [job["reason"]] if "reason" in job else []
    if "error" in job:
        parts.append(excerpt(job["error"], _ERROR_CHARACTERS))
    parts += [labels(job)] if "labels" in job else []
    return "; ".join(parts)


def progress(job: Job) -> str:
    """How far it is: "3 of 10, reading pages"; empty if its worker said nothing."""
    parts = []
    if "denominator" in job:
        parts.append(f"{job['numerator']} of {job['denominator']}")
    if "text" in job:
        parts.append(job["text"])
    return ", ".join(parts)


def labels(job: Job) -> str:
    """Its labels as they are given: "customer=4711, user=ann"."""
    return ", ".join(f"{name}={value}" for name, value in job.get("labels", {}).items())


def usage(attempt: dict[str, Any]) -> str:
    """What an attempt cost: "cpu 1.200 s, memory 80.0 MB"; empty if its worker did not tell."""
    parts = []
    if attempt.get("cpu_s") is not None:
        parts.append(f"cpu {seconds(attempt['cpu_s'])}")
    if attempt.get("memory_bytes") is not None:
        parts.append(f"memory {size(attempt['memory_bytes'])}")
    return ", ".join(parts)


def content(job: Job, name: str) -> str | None:
    """The payload or the result as text, as ``decoded`` has it; None if it is not known."""
    data = read_content(name, job)
    return None if data is None else decoded(data)


def show_job(job: Job, now_s: float) -> None:
    """Prints everything about a job."""
    show(facts(_facts(job, now_s)), "")
    if job.get("log"):
        _heading("Attempts")
        _show_log(job["log"], now_s)
    if "error" in job:
        _heading("Error")
        _show_text(job["error"])
    if job.get("payload_on_disk"):
        _heading("Payload: on disk only, until its turn comes; sqlite3 can read it in the journal:")
        click.echo("  SELECT payload FROM jobs WHERE handle = '...'")
    else:
        _show_content(job, "payload")
    if "result_bytes" in job:
        _show_content(job, "result")


def _callback(job: Job) -> str:
    """What follows its end."""
    callback = job.get("callback", "")
    return callback if isinstance(callback, str) else f"a job of {callback['function']}"


def _facts(job: Job, now_s: float) -> list[tuple[str, str]]:
    state = f"{job['state']}, for {age(now_s - job['since_s'])}"
    if job["state"] in _ENDED:
        state = f"{job['state']}, {_ago(job['since_s'], now_s)}"
    waiting = counted(job["waiting"], "submission")
    rows = [
        ("Job", job["handle"]),
        ("Function", job["function"]),
        ("Unique", job["unique"]),
        ("State", state),
        ("Reason", job.get("reason", "")),
        ("Priority", job["priority"]),
        ("Submitted", _ago(job["created_s"], now_s)),
        ("Background", yes_or_no(job["background"])),
        ("Waited for by", waiting if job["waiting"] else ""),
        ("Due", _ahead(job, "due_s", now_s) if job["state"] in (DELAYED, RETRYING) else ""),
        ("Expires", _ahead(job, "expire_s", now_s) if job["state"] not in _ENDED else ""),
        ("Attempts", attempts(job)),
        ("Lost", _losses(job)),
        ("Worker", job.get("worker", "")),
        ("Progress", progress(job)),
        ("Key", job.get("key", "")),
        ("Labels", labels(job)),
        ("Followed by", _callback(job)),
    ]
    return [(name, value) for name, value in rows if value]


def _losses(job: Job) -> str:
    if "losses" not in job:
        return ""
    return (
        f"{counted(job['losses'], 'time')}: its worker was lost or timed out, or the server ended"
    )


def _ago(time_s: float, now_s: float) -> str:
    return f"{moment(time_s)}, {age(now_s - time_s)} ago"


def _ahead(job: Job, field: str, now_s: float) -> str:
    if field not in job:
        return ""
    return f"{moment(job[field])}, in {age(job[field] - now_s)}"


def _show_log(log: list[dict[str, Any]], now_s: float) -> None:
    used = ("Used",) if any(map(usage, log)) else ()
    headings = ("Attempt", "Started", "Took", *used, "Worker", "Outcome", "Error")
    report = table(*headings, right=("Attempt",))
    for each in log:
        ended_s = each["ended_s"]
        took = seconds((now_s if ended_s is None else ended_s) - each["started_s"])
        report.add_row(
            str(each["attempt"]),
            moment(each["started_s"], brief=True),
            took if ended_s is not None else f"{took} by now",
            *([usage(each)] if used else []),
            cell(each["worker"]),
            cell(each["outcome"] or "running"),
            cell(excerpt(each["error"], _ERROR_CHARACTERS)),
        )
    show(report, "")


def _show_content(job: Job, name: str) -> None:
    text = content(job, name)
    size_bytes = job.get(f"{name}_bytes")
    if text is None or size_bytes is None:
        return
    kind = ", not text" if f"{name}_base64" in job else ""
    _heading(f"{name.capitalize()} ({size(size_bytes)}{kind})")
    if text:
        _show_text(text)


def _show_text(text: str) -> None:
    shown = text[:_SHOWN_CHARACTERS]
    lines = shown.rstrip("\n").split("\n")
    for line in lines[:_SHOWN_LINES]:
        click.echo(f"  {printable(line)}")
    if len(shown) < len(text) or len(lines) > _SHOWN_LINES:
        click.echo("  ... (--json shows more)")


def _heading(words: str) -> None:
    click.echo(f"\n{words}")
