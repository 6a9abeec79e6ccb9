"""The Gearman protocol without I/O: bytes to packets and packets to bytes.

Read in this order: ``packets`` (the table), ``parser`` (a stream cut into packets), ``codec`` (a
body split into fields, fields put into a packet), ``admin`` (the text protocol), ``reference``
(the same protocol once more, declared for people and tests).  ``content`` is how payloads stand in
the JSON of gearpy's own packets.

Nothing here opens a socket, reads a clock or knows what a job is.
"""
