"""``python -m bench.libraries.submitter APP submit 1000``: does it, and prints the seconds."""

import importlib
import sys
import time

if __name__ == "__main__":
    app, what, count = sys.argv[1:]
    do = getattr(importlib.import_module(f"bench.libraries.{app}"), what)
    do(1)  # what happens once only: connecting, importing
    started_s = time.perf_counter()
    do(int(count))
    print(time.perf_counter() - started_s)
