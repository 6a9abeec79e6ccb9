"""gearpy, as a program without much to do uses it: one background submit after the other."""

from typing import Final

from bench.libraries import gearpy_app
from bench.libraries.job import PAYLOAD, marks
from gearpy import Client

COMMAND: Final = gearpy_app.COMMAND


def submit(count: int) -> None:
    with Client() as client:
        for mark in marks(count):
            client.submit_background("noop", PAYLOAD + mark)
