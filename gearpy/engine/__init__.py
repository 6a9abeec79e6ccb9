"""Jobs and their rules, without packets, sockets or clocks.

``Engine`` is an object with verbs: submit, grab, sleep, complete, fail, cancel, lose, advance.  A
caller gets its answer as the return value; third parties (a waiting client, a sleeping worker,
the journal) are told through the ports in ``ports``, after the engine's own state is settled.

Read in this order: ``job`` (a job and the moves between its states), ``queue`` (the jobs of one
function), ``peers`` (what is known of a client and of a worker), ``ports``, ``policy``,
``engine``.
"""
