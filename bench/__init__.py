"""How fast the server is: beside gearmand in memory (race) and with a journal (durable), with a
very long queue (memory), and its broker alone (broker).

``bench/README.md`` says what is measured, and how.
"""
