"""The race of libraries: jobs that do nothing, through one worker process of each.

``race`` starts servers, submitters and workers, and measures; each of the other modules is what a
user of that library would write: ``submit(count)``, the command of its worker, and, where its
users wait for results, ``round_trips(count)``.
"""
