"""What can be done from the page: how it asks first, and which verbs of the operator do it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Final, NamedTuple, final

from gearpy.engine.job import CANCELLABLE, PURGEABLE, RETRIABLE, WAITING, JobState
from gearpy.errors import InvalidArgument, PeerError
from gearpy.web import policy_form, schedule_form
from gearpy.web.desk import Desk, Table

Fields = Sequence[tuple[str, str]]  # of a form, in its order; a name may be there several times


class Action(NamedTuple):
    """The operator's verb, and how it is asked for."""

    do: str
    question: str


ACTIONS: Final[dict[str, Action]] = {
    "cancel": Action("cancel", "This ends {what}; whoever waits hears that it failed."),
    "retry": Action("retry", "This runs {what} again, with all attempts anew."),
    "purge": Action("purge", "This forgets {what} for good."),
    "pause": Action("pause", "No job of {what} is given out until you resume it."),
    "drain": Action("drain", "No new job of {what} is taken until you resume it."),
    "resume": Action("resume", "Jobs of {what} are taken and given out again."),
    "clear": Action("cancel", "This cancels all jobs of {what} that wait."),
    "drop-worker": Action(
        "drop-worker",
        "This closes the connection of the worker at {what}; what it holds is given to others.",
    ),
    "run-schedule": Action("run-schedule", "This submits the job of {what} now."),
    "pause-schedule": Action(
        "pause-schedule", "The schedule {what} fires no more until you resume it."
    ),
    "resume-schedule": Action(
        "resume-schedule", "The schedule {what} fires from its next tick on."
    ),
    "set-schedule": Action("set-schedule", "From now on the schedule {what} is: {setting}"),
    "set-policy": Action("set-policy", "From now on this policy counts for {what}: {setting}"),
}

_ON_JOBS: Final[dict[str, tuple[JobState, ...]]] = {
    "cancel": CANCELLABLE,
    "retry": RETRIABLE,
    "purge": PURGEABLE,
}
_ON_FUNCTIONS: Final = frozenset({"pause", "drain", "resume"})


def possible(state: str) -> frozenset[str]:
    """What can be done with a job in this state."""
    return frozenset(verb for verb, states in _ON_JOBS.items() if state in states)


def seconds(text: str) -> float:
    """A number of seconds that somebody typed in.  Raises InvalidArgument if it is none."""
    try:
        return float(text)
    except ValueError:
        raise InvalidArgument(f"{text!r} is no number of seconds") from None


@final
class Wish:
    """Something that somebody wants done: one of ACTIONS, and what the page's form says of it."""

    def __init__(self, verb: str, fields: Fields) -> None:
        """Raises InvalidArgument if it is no job that it is to be done with."""
        self.verb = verb
        self.fields = fields
        self._action = ACTIONS[verb]
        self._form = dict(fields)
        self._handles = [value for name, value in fields if name == "handle"]
        if verb in _ON_JOBS and not self._handles and "states" not in self._form:
            raise InvalidArgument("no job is marked")

    @property
    def confirmed(self) -> bool:
        """Whether its question has been answered with yes."""
        return self._form.get("confirmed") == "yes"

    def question(self) -> str:
        """What to ask before it is done.

        Raises InvalidArgument for a setting that is none: it is not worth a question.
        """
        setting = "none, but for what the settings say"
        if self._sets and (table := self._setting()) is not None:
            setting = json.dumps(table, ensure_ascii=False)
        return self._action.question.format(what=self._what(), setting=setting)

    def _what(self) -> str:
        form, handles = self._form, self._handles
        if len(handles) > 1:
            return f"{len(handles)} jobs"
        if handles:
            return f"the job {handles[0]}"
        if self.verb not in _ON_JOBS:
            return form.get("peer", "") or form.get("name", "") or form.get("function", "")
        what = f"all {form['states']} jobs of {form.get('function', '')}"
        if form.get("unique"):
            what += f" with the unique {form['unique']}"
        if form.get("older_than_s"):
            what += f" that are older than {form['older_than_s']} s"
        return what

    async def fulfil(self, desk: Desk) -> None:
        """Has it done.  Raises what the operations raise."""
        if self._handles:
            await self._do_each(desk)
        elif self.verb in (*_ON_JOBS, "clear", *_ON_FUNCTIONS):
            await self._do_slices(desk)
        else:
            await desk.operate(self._action.do, **self._thing())

    async def _do_each(self, desk: Desk) -> None:
        """Does it to all of these jobs.  Those with which it can't be done are told at the end."""
        refused = None
        number = 0
        for handle in self._handles:
            try:
                await desk.operate(self._action.do, handle=handle)
            except PeerError as error:
                refused, number = error, number + 1
        if refused is not None and len(self._handles) > 1:
            raise InvalidArgument(f"not done with {number} of {len(self._handles)} jobs: {refused}")
        if refused is not None:
            raise refused

    async def _do_slices(self, desk: Desk) -> None:
        """Does it to everything that is meant, a slice at a time."""
        meant = self._meant()
        offset: object = 0
        while offset is not None and not desk.closing.is_set():
            answer = await desk.operate(self._action.do, **meant, offset=offset)
            offset = answer["next"]
            await asyncio.sleep(0)  # others have their turn between two slices

    def _meant(self) -> Table:
        form = self._form
        meant: Table = {"function": self._function()}
        if self.verb not in _ON_FUNCTIONS:
            meant["states"] = [*WAITING] if self.verb == "clear" else form["states"].split(",")
            if form.get("unique"):
                meant["unique"] = form["unique"]
            if form.get("older_than_s"):
                meant["older_than_s"] = seconds(form["older_than_s"])
        return meant

    def _thing(self) -> Table:
        """The one thing that is meant, and what is set of it."""
        if self.verb == "drop-worker":
            return {"peer": self._form.get("peer", "")}
        if self.verb == "set-policy":
            return {"function": self._function(), "policy": self._setting()}
        name: Table = {"name": self._form.get("name", "")}
        return {**name, "schedule": self._setting()} if self._sets else name

    def _function(self) -> str:
        function = self._form.get("function", "")
        if not function:
            raise InvalidArgument("no function is named; * stands for all of them")
        return function

    @property
    def _sets(self) -> bool:
        return self.verb in ("set-policy", "set-schedule")

    def _setting(self) -> object:
        """The policy or the schedule of the form; None: what was set is to be taken back."""
        form = policy_form if self.verb == "set-policy" else schedule_form
        return form.read(self.fields)
