"""How fast the server is: beside gearmand in one run (race), and its broker alone (broker).

``bench/README.md`` says what is measured, and how.
"""
