"""Long tables: plain columns, without rich's measuring of every cell.

With 20,000 functions ``gearpy status`` took 29 s of processor time and ``gearpy top --once`` 28 s,
nearly all of it in rich; so they take 1.7 s and 2.3 s.  Nobody looks at thousands of lines on a
narrow terminal: what is too wide for it is broken by the terminal, and not in here.
"""

from itertools import islice
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

LONG: Final = 300  # rows; up to here nobody notices that rich takes its time
_AT_A_TIME: Final = 500  # lines to write, so that whoever reads on gets the first ones soon


def print_long(console: Console, table: Table) -> None:
    """Prints a table of words, as ``console.print`` does where there is room for all of them."""
    gap = " " * table.padding[1]
    columns = list(map(_filled, table.columns))
    headings = [
        Text(words[0], getattr(column.header, "style", "") or "bold")
        for words, column in zip(columns, table.columns, strict=True)
    ]
    console.print(Text(gap).join(headings), no_wrap=True, overflow="ignore", crop=False)
    rows = map(gap.join, zip(*(words[1:] for words in columns), strict=True))
    while lines := list(islice(rows, _AT_A_TIME)):
        console.file.write("".join(f"{line}\n" for line in lines))
    console.file.flush()


def _filled(column: Column) -> list[str]:
    """A column's heading and its words, all as wide as the widest of them."""
    words = [str(column.header), *map(str, column.cells)]
    widths = [len(each) if each.isascii() else cell_len(each) for each in words]
    widest = max(widths)
    blanks = (" " * (widest - width) for width in widths)
    if column.justify == "right":
        return [f"{blank}{each}" for each, blank in zip(words, blanks, strict=True)]
    return [f"{each}{blank}" for each, blank in zip(words, blanks, strict=True)]
