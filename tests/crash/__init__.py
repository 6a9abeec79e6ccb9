"""The real server, killed under load, with the receipts kept on paper.

Clients and workers are processes of their own.  A client writes each receipt down before it counts
it; a worker writes each assignment down before it begins, and each ending before it sends it.  So
whatever is on paper must be true of the journal, at whatever moment the server dies.
"""
