"""How fast gearpy is: the server beside gearmand and others, alone, with a journal, as queues grow;
and its libraries beside other libraries.

``bench/README.md`` says what is measured, and how.
"""
