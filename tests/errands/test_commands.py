"""Commands, as processes that are really there."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gearpy.errands import commands
from gearpy.errands.commands import Runner, read_allowed
from gearpy.errands.orders import Command, NotWell, Output
from gearpy.errors import BadErrand, FailJob, InvalidArgument
from tests.docstrings import run_examples
from tests.waiting import eventually

BYTES_MAX = 1 << 20
LIMIT_S = 30.0
HANDLE = "H:test:7"


async def run(
    *words: str, bytes_max: int = BYTES_MAX, timeout_s: float = LIMIT_S, **more: Any
) -> Output:
    """What a command gives that ends well."""
    runner = Runner({"it": words[:1]}, bytes_max)
    command = Command(name="it", arguments=words[1:], timeout_s=timeout_s, **more)
    return await runner.perform(command, HANDLE)


async def python(text: str, *arguments: str, **more: Any) -> Output:
    """The same for a program in Python."""
    return await run(sys.executable, "-c", text, *arguments, **more)


async def shell(text: str, *arguments: str, **more: Any) -> Output:
    """The same for one of the shell."""
    return await run("/bin/sh", "-c", text, "sh", *arguments, **more)


def is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended may still stand in a list."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state != b"Z"


class Note:
    """A file that says which processes there are."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def begin(self) -> None:
        """There are none so far."""
        self._path.touch()

    def pids(self) -> list[int]:
        """Those that have said so."""
        text = self._path.read_text() if self._path.exists() else ""
        return [int(line) for line in text.splitlines() if text.endswith("\n")]

    async def wait_for(self, number: int) -> list[int]:
        """All of them, once there are so many."""
        await asyncio.to_thread(eventually, lambda: len(self.pids()), number)
        return self.pids()

    def all_gone(self) -> bool:
        return not any(map(is_there, self.pids()))

    def wait_until_gone(self) -> None:
        eventually(self.all_gone, True, lambda: str(self.pids()))


@pytest.fixture
def note(tmp_path: Path) -> Iterator[Note]:
    """Nobody who stands in it is left at the end, whatever the test found."""
    made = Note(tmp_path / "pids")
    yield made
    for pid in filter(is_there, made.pids()):
        os.kill(pid, signal.SIGKILL)


def test_the_examples_in_its_docstrings_are_true() -> None:
    assert run_examples(commands).failed == 0


# ---- what it is given


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [""],
        ["", "", "a"],
        ["$HOME", "${HOME}", "~", "*", "?", "$(id)", "`id`"],
        ["a;b", "a&&b", "a|b", ">x", "<x", "#a", "!a", "&"],
        ["'", '"', "'a b'", '"a b"', "\\", "\\n", "a b", " "],
        ["a\nb", "\n", "\t", "\r\n", "\x1b[2J", "\x01"],
        ["größe", "\N{SNOWMAN}", "\udcff\udc80"],
        ["-c", "--", "-", "--help"],
        ["x" * 100_000],
        ["a"] * 1_000,
    ],
)
async def test_arguments_arrive_as_they_are(arguments: list[str]) -> None:
    text = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    given = await python(text, *arguments)
    assert given.stdout == b"\0".join(map(os.fsencode, arguments))


async def test_they_stand_behind_those_that_the_worker_knows() -> None:
    runner = Runner(read_allowed(["say=/bin/echo -n 'a  b' $HOME"]), BYTES_MAX)
    given = await runner.perform(Command(name="say", arguments=("c  d", "$HOME")), HANDLE)
    assert given.stdout == b"a  b $HOME c  d $HOME"


@pytest.mark.parametrize("data", [b"", b"text", bytes(range(256)) * 10_000])
async def test_it_can_read_what_it_was_given_to_its_end(data: bytes) -> None:
    given = await run("/bin/cat", stdin=data, bytes_max=len(data) + 1)
    assert given == Output(exit_code=0, stdout=data, stderr=b"")


async def test_it_need_not_read_it() -> None:
    assert (await shell("exec <&-; echo done", stdin=b"x" * (4 << 20))).stdout == b"done\n"
    assert (await shell("head -c 1; echo", stdin=b"x" * (4 << 20))).stdout == b"x\n"


async def test_it_finds_the_handle_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_WORD", "there")
    monkeypatch.setenv("GEARPY_CALLBACK_SECRET", "not for commands")
    given = await shell('echo "$GEARPY_HANDLE $TEST_WORD$GEARPY_CALLBACK_SECRET"')
    assert given.stdout == f"{HANDLE} there\n".encode()


# ---- what it gives


async def test_both_outputs_are_told_apart() -> None:
    given = await shell("printf out; printf err >&2; printf '\\377' ")
    assert given == Output(exit_code=0, stdout=b"out\xff", stderr=b"err")


@pytest.mark.parametrize("code", [1, 2, 42, 126, 127, 128, 255])
async def test_another_exit_code_than_0_is_told_with_what_it_wrote(code: int) -> None:
    text = "echo out; echo first >&2; printf ' no such\\033[2J photo \\n\\n' >&2; exit $1"
    with pytest.raises(NotWell) as caught:
        await shell(text, str(code))
    assert str(caught.value) == f"it ended with exit code {code}: no such [2J photo"
    report = caught.value.report
    assert isinstance(report, Output)
    assert (report.exit_code, report.stdout) == (code, b"out\n")
    assert report.stderr == b"first\n no such\x1b[2J photo \n\n"


async def test_one_that_says_nothing_has_no_reason() -> None:
    with pytest.raises(NotWell, match=r"^it ended with exit code 3$"):
        await shell("echo out; echo >&2; exit 3")


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "was ended by SIGKILL"),
        (signal.SIGTERM, "was ended by SIGTERM"),
        (signal.SIGSEGV, "was ended by SIGSEGV"),
        (signal.SIGRTMIN + 3, "ended with exit code -"),  # it has no name
    ],
)
async def test_one_that_a_signal_ends_is_told_with_its_number(number: int, how: str) -> None:
    with pytest.raises(NotWell) as caught:
        await shell("echo out; kill -$1 $$", str(int(number)))
    assert f"it {how}" in str(caught.value)
    assert caught.value.report == Output(exit_code=-number, stdout=b"out\n", stderr=b"")


async def test_much_output_is_cut_and_blocks_nobody() -> None:
    text = (
        "import sys\n"
        "for _ in range(64):\n"
        "    sys.stdout.write('o' * 100_000)\n"
        "    sys.stderr.write('e' * 100_000)\n"
    )
    given = await python(text, bytes_max=1000)
    assert (given.stdout, given.stderr) == (b"o" * 1000, b"e" * 1000)
    assert (given.stdout_cut, given.stderr_cut) == (True, True)
    given = await python("print('x' * 999)", bytes_max=1000)
    assert (len(given.stdout), given.stdout_cut, given.stderr_cut) == (1000, False, False)
    given = await python("print('x' * 1000)", bytes_max=1000)
    assert (len(given.stdout), given.stdout_cut, given.stderr_cut) == (1000, True, False)


async def test_one_that_closes_its_output_goes_on(tmp_path: Path) -> None:
    text = 'echo first; exec <&- >&- 2>&-; test -e "$1" || touch "$1"; exit 7'
    with pytest.raises(NotWell) as caught:
        await shell(text, str(tmp_path / "later"))
    assert caught.value.report == Output(exit_code=7, stdout=b"first\n", stderr=b"")
    assert (tmp_path / "later").exists()


async def test_many_at_a_time_are_not_mixed_up() -> None:
    given = await asyncio.gather(
        *(shell("cat; echo $1", str(n), stdin=b"%d " % n) for n in range(40))
    )
    assert [each.stdout for each in given] == [b"%d %d\n" % (n, n) for n in range(40)]


# ---- what it leaves behind


async def test_what_it_leaves_running_with_its_pipes_is_killed(note: Note) -> None:
    """And is not waited for: its output never ends."""
    given = await shell('sleep 1000 & echo $! >"$1"; echo done', str(note))
    assert given.stdout == b"done\n"
    note.wait_until_gone()


@pytest.mark.parametrize(
    "behind",
    [
        "sleep 1000 >/dev/null 2>&1 </dev/null &",
        "(trap '' TERM HUP INT; exec nohup sleep 1000) >/dev/null 2>&1 &",
        "timeout 1000 sleep 1000 &",  # which makes a group of its own
        "set -m; sleep 1000 & set +m",  # and so does this
    ],
)
async def test_what_it_leaves_running_is_killed_wherever_it_is(behind: str, note: Note) -> None:
    text = f'{behind}\necho $! >"$1"; while ! kill -0 $! 2>&1; do :; done; exit 3'
    with pytest.raises(NotWell):
        await shell(text, str(note))
    assert len(note.pids()) == 1
    note.wait_until_gone()


async def test_one_that_flees_with_its_pipes_holds_nobody_up(note: Note) -> None:
    """A daemon in a session of its own: it goes on, but the command has ended."""
    text = (
        "import os, sys, time\n"
        "print('begun', flush=True)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    with open(sys.argv[1], 'w') as note:\n"
        "        print(os.getpid(), file=note)\n"
        "    time.sleep(1000)\n"
        "while not os.path.getsize(sys.argv[1]):\n"
        "    time.sleep(0.01)\n"  # it asks, as it has no other way
    )
    note.begin()
    given = await python(text, str(note))
    assert given.stdout == b"begun\n"
    assert not note.all_gone()


# ---- when it has to be stopped

FAMILY = """
echo $$ >>"$1"
sleep 1000 & echo $! >>"$1"
timeout 1000 sleep 1000 & echo $! >>"$1"
echo begun
wait
"""
STUBBORN = f"trap '' TERM INT HUP\n{FAMILY}\nwhile :; do sleep 1000; done"


async def test_one_that_takes_too_long_is_stopped_with_all_that_it_started(note: Note) -> None:
    with pytest.raises(NotWell, match=r"^it took longer than 2\.5 s, and was stopped$") as caught:
        await shell(FAMILY, str(note), timeout_s=2.5)
    assert isinstance(caught.value.report, Output)
    assert caught.value.report.stdout == b"begun\n"
    assert note.pids()
    note.wait_until_gone()


async def test_one_that_does_not_want_to_end_is_killed(note: Note) -> None:
    with pytest.raises(FailJob, match="took longer than 1 s"):
        await shell(STUBBORN, str(note), timeout_s=1)
    note.wait_until_gone()


async def test_one_that_can_tidy_up_may(tmp_path: Path) -> None:
    text = 'trap \'echo tidy >"$1"; exit 0\' TERM; echo $$ >"$2"; while :; do sleep 0.01; done'
    begun, tidied = Note(tmp_path / "begun"), tmp_path / "tidied"
    task = asyncio.create_task(shell(text, str(tidied), str(begun)))
    await begun.wait_for(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert tidied.read_text() == "tidy\n"


async def test_one_that_keeps_its_input_full_is_stopped_too(note: Note) -> None:
    with pytest.raises(FailJob, match="took longer"):
        await shell(FAMILY, str(note), stdin=b"x" * (8 << 20), timeout_s=1)
    note.wait_until_gone()


async def test_one_that_writes_for_ever_is_stopped_too(note: Note) -> None:
    with pytest.raises(FailJob, match="took longer"):
        await shell('echo $$ >"$1"; exec yes', str(note), timeout_s=1)
    note.wait_until_gone()


@pytest.mark.parametrize("text", [FAMILY, STUBBORN])
@pytest.mark.parametrize("times", [1, 2])
async def test_one_whose_job_is_cancelled_is_stopped_with_all_that_it_started(
    text: str, times: int, note: Note
) -> None:
    """Also where its worker has no time: then it is cancelled twice."""
    task = asyncio.create_task(shell(text, str(note)))
    await note.wait_for(3)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.wait([task])
    assert task.cancelled()
    note.wait_until_gone()


async def test_one_that_is_cancelled_at_any_moment_leaves_nothing(note: Note) -> None:
    text = 'echo $$ >>"$1"; sleep 1000 & echo $! >>"$1"; wait'
    for turns in range(20):
        for times in (1, 2):
            task = asyncio.create_task(shell(text, str(note)))
            for _ in range(turns):
                await asyncio.sleep(0)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            assert (await asyncio.wait([task], timeout=LIMIT_S))[0]
            assert task.cancelled()
    note.wait_until_gone()


# ---- what can't be run


async def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FailJob, match=r"^/nowhere/resize can't be started: .*No such file"):
        await run("/nowhere/resize", "a")
    program = tmp_path / "program"
    program.write_text("echo hello\n")
    with pytest.raises(FailJob, match=r"can't be started: .*Permission denied"):
        await run(str(program))
    program.chmod(0o755)
    with pytest.raises(FailJob, match=r"can't be started: .*Exec format error"):
        await run(str(program))
    with pytest.raises(FailJob, match=r"can't be started: .*Argument list too long"):
        await run("/bin/echo", *["x" * 100_000] * 200)


@pytest.mark.parametrize("name", ["other", "/bin/echo", "it ", "IT", "", "x" * 10_000, "\x1b[2J"])
async def test_what_is_not_allowed_is_not_run(name: str) -> None:
    with pytest.raises(BadErrand) as caught:
        await Runner({"it": ("/bin/echo",)}, BYTES_MAX).perform(Command(name=name), HANDLE)
    assert "is not allowed here" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


# ---- what is allowed


def test_what_is_allowed_may_have_words_of_its_own() -> None:
    assert read_allowed(["a=/bin/a", "b=b -x 'c d' e=f", "größe=ü"]) == {
        "a": ("/bin/a",),
        "b": ("b", "-x", "c d", "e=f"),
        "größe": ("ü",),
    }
    assert read_allowed([]) == {}


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["resize"], "'resize' is no command: write NAME=/path/to/program"),
        (["=/bin/a"], "'=/bin/a' is no command"),
        ([""], "'' is no command"),
        (["a="], "'a=' names no program: write a=/path/to/program"),
        (["a=  "], "names no program"),
        (["a='/bin/b"], "can't be split into words: No closing quotation"),
        (["a=/bin/a", "b=/bin/b", "a=/bin/c"], "the command 'a' is allowed twice"),
    ],
)
def test_what_can_not_be_allowed_is_a_sentence(texts: list[str], says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_allowed(texts)
    assert says in str(caught.value)
