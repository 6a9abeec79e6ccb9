"""How long to leave a server alone that did not answer."""

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def pause_s(failures: int, chance: float) -> float:
    """The pause after so many failures in a row, from 1 on: half a second, then twice as long each
    time, up to half a minute.

    ``chance`` is a random number from 0 to 1, and takes up to a quarter off: those who lost one
    server together are not to come back to it together.
    """
    # Beyond ten doublings nothing changes any more, and far beyond them floats end.
    whole_s = min(FIRST_S * 2.0 ** min(failures - 1, 10), LONGEST_S)
    return whole_s * (1 - chance / 4)
