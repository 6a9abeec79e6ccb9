"""What can be done from the page: how it asks first, which verbs of the operator do it, and what
it says afterwards."""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple, final

from gearpy.durations import read_duration
from gearpy.engine.job import CANCELLABLE, PURGEABLE, RETRIABLE, WAITING, JobState
from gearpy.engine.policy_book import is_pattern
from gearpy.errors import InvalidArgument
from gearpy.web import policy_form, schedule_form, slices
from gearpy.web.desk import Desk, Table

Fields = Sequence[tuple[str, str]]  # of a form, in its order; a name may be there several times


class Action(NamedTuple):
    """The operator's verb, how it is asked for, and what is said once it is done.

    Of jobs and functions ``done`` is what was done to them: "{what} was {done}".
    """

    do: str
    question: str
    yes: str
    done: str
    destroys: bool = False


ACTIONS: Final[dict[str, Action]] = {
    "cancel": Action(
        "cancel",
        "This ends {what}; whoever waits hears that it failed.",
        "yes, cancel",
        "cancelled",
        destroys=True,
    ),
    "retry": Action(
        "retry",
        "This runs {what} again, with all attempts anew.",
        "yes, run again",
        "queued again",
    ),
    "purge": Action(
        "purge", "This forgets {what} for good.", "yes, forget", "purged", destroys=True
    ),
    "pause": Action(
        "pause", "No job of {what} is given out until you resume it.", "yes, pause it", "paused"
    ),
    "drain": Action(
        "drain", "No new job of {what} is taken until you resume it.", "yes, drain it", "drained"
    ),
    "resume": Action(
        "resume", "Jobs of {what} are taken and given out again.", "yes, resume it", "resumed"
    ),
    "clear": Action("cancel", "This cancels {what}.", "yes, cancel", "cancelled", destroys=True),
    "drop-worker": Action(
        "drop-worker",
        "This closes the connection of the worker at {what}; what it holds is given to others.",
        "yes, drop it",
        "The worker at {peer} was dropped.",
        destroys=True,
    ),
    "run-schedule": Action(
        "run-schedule",
        "This submits the job of {what} now.",
        "yes, run it now",
        "The job {handle} of {name} was submitted.",
    ),
    "pause-schedule": Action(
        "pause-schedule",
        "The schedule {what} fires no more until you resume it.",
        "yes, pause it",
        "The schedule {name} was paused.",
    ),
    "resume-schedule": Action(
        "resume-schedule",
        "The schedule {what} fires from its next tick on.",
        "yes, resume it",
        "The schedule {name} was resumed.",
    ),
    "set-schedule": Action(
        "set-schedule",
        "From now on the schedule {what} is: {setting}",
        "yes, set it",
        "The schedule {name}",
    ),
    "set-policy": Action(
        "set-policy",
        "From now on this policy counts for {what}: {setting}",
        "yes, set it",
        "The policy for {function}",
    ),
}

_ON_JOBS: Final[dict[str, tuple[JobState, ...]]] = {
    "cancel": CANCELLABLE,
    "retry": RETRIABLE,
    "purge": PURGEABLE,
}
_ON_FUNCTIONS: Final = frozenset({"pause", "drain", "resume"})
# Of a search, and how they are said.
AGES: Final = {"older_than_s": "older", "younger_than_s": "younger"}


class NothingToDo(Exception):
    """There is nothing that is meant; the words say so."""


def possible(state: str) -> frozenset[str]:
    """What can be done with a job in this state."""
    return frozenset(verb for verb, states in _ON_JOBS.items() if state in states)


def seconds(text: str) -> float:
    """A time span that somebody typed in.  Raises InvalidArgument if it is none."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


@final
class Wish:
    """Something that somebody wants done: one of ACTIONS, and what the page's form says of it."""

    def __init__(self, verb: str, fields: Fields) -> None:
        """Raises InvalidArgument if it is no job that it is to be done with."""
        self.verb = verb
        self.fields = fields
        self._action = ACTIONS[verb]
        self._form = dict(fields)
        handles = [value for name, value in fields if name == "handle"]
        self._handles = handles if verb in _ON_JOBS else []
        if verb in _ON_JOBS and not self._handles and "states" not in self._form:
            raise InvalidArgument("no job is marked")

    @property
    def confirmed(self) -> bool:
        """Whether its question has been answered with yes."""
        return self._form.get("confirmed") == "yes"

    @property
    def typed(self) -> bool:
        """Whether a form was filled in for it, which may be shown again."""
        return self.verb == "set-policy" or (self.verb == "set-schedule" and "cron" in self._form)

    @property
    def to_be_changed(self) -> bool:
        """Whether its question has been answered with another look at that form."""
        return self.typed and "change" in self._form

    @property
    def yes(self) -> str:
        """The words of the button."""
        return "yes, take it back" if self._takes_back() else self._action.yes

    @property
    def destroys(self) -> bool:
        """Whether a yes by mistake would be a pity."""
        return self._action.destroys or self._takes_back()

    async def question(self, desk: Desk) -> str:
        """What to ask before it is done.

        Raises NothingToDo, and what the operations have to say of the values alone: that is not
        worth a question.
        """
        self._check(desk)
        setting = "none, but for what the settings say"
        if self._sets and (table := self._setting()) is not None:
            setting = json.dumps(table, ensure_ascii=False)
        return self._action.question.format(what=await self._what(desk), setting=setting)

    def _check(self, desk: Desk) -> None:
        if self._handles:
            for handle in self._handles:
                desk.check(self._action.do, handle=handle)
        else:
            desk.check(self._action.do, **(self._meant() if self._is_for_all else self._thing()))

    async def _what(self, desk: Desk) -> str:
        form, handles = self._form, self._handles
        if len(handles) > 1:
            return f"{len(handles):,} jobs"
        if handles:
            return f"the job {handles[0]}"
        if self._is_for_jobs:
            return self._how_many(await slices.count(desk, self._meant()))
        return form.get("peer", "") or form.get("name", "") or form.get("function", "")

    def _how_many(self, counted: slices.Counted) -> str:
        form = self._form
        state = "" if self.verb == "clear" else f"{form['states']} "
        of_these = f"of {form.get('function', '')}"
        if form.get("unique"):
            of_these += f" with the unique {form['unique']}"
        ages = [f"{words} than {form[name]}" for name, words in AGES.items() if form.get(name)]
        if self.verb == "clear":
            of_these += " that wait"
        if ages:
            of_these += f" that are {' and '.join(ages)}"
        number, is_all = counted
        if not number and is_all:
            raise NothingToDo(f"Nothing was done: there are no {state}jobs {of_these}.")
        if not is_all:
            return f"all {state}jobs {of_these} (at least {number:,})"
        if number == 1:
            return f"the only {state}job {of_these}"
        return f"all {number:,} {state}jobs {of_these}"

    async def fulfil(self, desk: Desk) -> str:
        """Has it done, and says what was done.  Raises what the operations raise."""
        do = self._action.do
        if len(self._handles) > 1:
            return self._done_to_all(await slices.do_each(desk, do, self._handles))
        if self._handles:
            await desk.operate(do, handle=self._handles[0])
            return f"The job {self._handles[0]} was {self._action.done}."
        if self._is_for_all:
            return self._done_to_all(await slices.do_all(desk, do, self._meant()))
        return self._done(await desk.operate(do, **self._thing()))

    def _done_to_all(self, answer: Table) -> str:
        done, function = self._action.done, self._form.get("function", "")
        if "functions" in answer and not is_pattern(function.encode("utf-8", "surrogateescape")):
            sentence = f"The function {function} was {done}."
        elif "functions" in answer:
            sentence = f"{_counted(answer['functions'], 'function')} {done}."
        else:
            sentence = f"{_counted(answer.get('count', 0), 'job')} {done}."
        if answer.get("skipped"):
            sentence += (
                f" {_counted(answer['skipped'], 'job')} passed over: unfinished ones have the same"
                " unique."
            )
        if "next" in answer:
            sentence += " There may be more: the server began to stop."
        return sentence

    def _done(self, answer: Table) -> str:
        sentence = self._action.done.format(**{**self._form, **answer})
        if not self._sets:
            return sentence
        if not self._takes_back():
            return f"{sentence} was set."
        if not answer["changed"]:
            return f"{sentence} stays as it is: it was not set here."
        return f"{sentence} was taken back."

    def _meant(self) -> Table:
        form = self._form
        meant: Table = {"function": self._function()}
        if self.verb not in _ON_FUNCTIONS:
            meant["states"] = [*WAITING] if self.verb == "clear" else form["states"].split(",")
            if form.get("unique"):
                meant["unique"] = form["unique"]
            meant |= {name: seconds(form[name]) for name in AGES if form.get(name)}
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
    def _is_for_jobs(self) -> bool:
        return self.verb in _ON_JOBS or self.verb == "clear"

    @property
    def _is_for_all(self) -> bool:
        return self._is_for_jobs or self.verb in _ON_FUNCTIONS

    def _takes_back(self) -> bool:
        return self._sets and self._setting() is None

    @property
    def _sets(self) -> bool:
        return self.verb in ("set-policy", "set-schedule")

    def _setting(self) -> object:
        """The policy or the schedule of the form; None: what was set is to be taken back."""
        form = policy_form if self.verb == "set-policy" else schedule_form
        return form.read(self.fields)


def _counted(number: object, what: str) -> str:
    """
    >>> [_counted(number, "job") for number in (0, 1, 3001)]
    ['No job was', '1 job was', '3,001 jobs were']
    """
    if number in (0, 1):
        return f"{number or 'No'} {what} was"
    return f"{number:,} {what}s were"
