"""Transcripts of a shell: commands, and what they print.

# a remark
& a command that goes on beside the others
$ a command
| a line of its output; tabs and carriage returns are written ^I and ^M
|~ a last line that does not end
! a line of its stderr
= its exit code, if that is not 0
"""

from collections.abc import Callable, Iterator

from .processes import Finished


def replay(
    text: str, run: Callable[[str], Finished], start: Callable[[str], object]
) -> Iterator[str]:
    """Runs the commands of a transcript, and yields the lines that it should have."""
    for line in text.splitlines():
        match line.split(" ", 1):
            case ["$", command]:
                yield line
                yield from _written(run(command))
            case ["&", command]:
                yield line
                start(command)
            case ["#", *_] | [""]:
                yield line
            case _:
                pass  # what was printed when the transcript was written


def _written(finished: Finished) -> Iterator[str]:
    yield from _lines("|", finished.stdout)
    yield from _lines("!", finished.stderr)
    if finished.exit_code:
        yield f"= {finished.exit_code}"


def _lines(mark: str, printed: bytes) -> Iterator[str]:
    *lines, last = printed.decode().replace("\t", "^I").replace("\r", "^M").split("\n")
    for line in lines:
        yield f"{mark} {line}"
    if last:
        yield f"{mark}~ {last}"
