"""The four priorities of a job; one definition for both ends of the wire."""

from enum import IntEnum


class Priority(IntEnum):
    """How urgent a job is: a worker is given CRITICAL jobs first, then HIGH, NORMAL and LOW ones.

    The order is global over everything that a worker can do (not only inside one function).
    Gearman's own packets know the last three; CRITICAL comes with gearpy's extension.
    """

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
