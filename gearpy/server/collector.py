"""How the cyclic garbage collector is set for a server."""

import gc

_YOUNG_OBJECTS = 100_000
_YOUNG_COLLECTIONS = 50
_MIDDLE_COLLECTIONS = 100


def tune_collector() -> None:
    """Makes collections rare.

    A job that ends leaves no cycle, so reference counting frees it, and the collector would only
    walk through all queued jobs again and again: pauses of tens of milliseconds, and a third of
    the time of a submit while a queue grows.  It stays on for what exceptions leave behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_COLLECTIONS, _MIDDLE_COLLECTIONS)
