"""Errands: jobs that are a request over HTTP or a command, and the workers that do them.

orders.py     what stands in the payload of such a job, and in its result
hosts.py      where requests may go
requests.py   does a request
commands.py   does a command
worker.py     a worker for both, as ``gearpy worker --http --exec`` runs it

The server needs the orders only: callbacks are errands, too.  The rest runs where
``gearpy[http]`` is installed.
"""
