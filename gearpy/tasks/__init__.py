"""Python functions as jobs: submitted with their arguments, done by workers that import them.

    tasks = Tasks("shop")

    @tasks.task(retries=5)
    def resize(path: str, width: int = 100) -> str: ...

    resize("a.jpg")                                   # a function like any other
    resize.submit("a.jpg", width=200).result()        # done by a worker
    resize.submit_background("a.jpg")                 # nobody waits

A worker does them with ``tasks.register(worker)``.  ``arguments`` is how arguments travel;
``tasks`` is the rest.  Needs msgspec: pip install 'gearpy[tasks]'.
"""

try:
    import msgspec as _msgspec  # noqa: F401  # looked for here, where there is a sentence for it
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "gearpy.tasks checks arguments with msgspec, which is not installed: pip install"
        " 'gearpy[tasks]'"
    ) from error

from gearpy.tasks.tasks import Task, TaskJob, Tasks, current_job

__all__ = ["Task", "TaskJob", "Tasks", "current_job"]
