"""Jobs and their rules, without packets, sockets or clocks.

``Engine`` is an object with verbs: submit, grab, sleep, complete, fail, cancel, lose, advance.  A
caller gets its answer as the return value; third parties (a waiting client, a sleeping worker,
the journal) are told through the ports in ``ports``, after the engine's own state is settled.

Read in this order:

    job          a job, and the moves between its states; ``life`` is what only some jobs have
    ports        what the engine asks of others
    peers        what is known of a client and of a worker
    queue        the jobs of one function
    rules        what an operator decides about all jobs, and checks of names
    policy       what is decided for a function: retries, limits, how long its history is kept;
                 ``policy_book`` says which policy counts for which function
    options      the same for one job
    callbacks    what follows a job when it has ended
    stock        which payloads are in memory
    dispatch     who is given which job next, and who is woken for it
    archive      what stays of jobs that ended
    course       what happens to a job after it was accepted
    records      what is made durable; ``ledger`` makes records of jobs, and jobs of records
    functions    which functions there are, and what is decided about them
    followups    has jobs followed by others
    engine       the verbs

Beside them: ``timers`` (what happens when), ``cron`` (jobs that are submitted again and again),
``schedule`` (times as clients write them), ``payloads`` (payloads in JSON), ``selection`` (which
jobs an operator means), ``statistics`` and ``snapshots`` (what reports read).
"""
