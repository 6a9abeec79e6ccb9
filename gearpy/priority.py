"""The three priorities of a job; one definition for both ends of the wire."""

from enum import IntEnum


class Priority(IntEnum):
    """How urgent a job is: a worker is given HIGH jobs before NORMAL before LOW ones.

    The order is global over everything that a worker can do (not only inside one function).
    """

    HIGH = 0
    NORMAL = 1
    LOW = 2
