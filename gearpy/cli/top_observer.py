"""Who looks at a server again and again, be it a gearpy-server or another one."""

import time

from gearpy.address import Address
from gearpy.cli.operating import ONLOOKER_TIMEOUT_S, is_gearpy_server, listed
from gearpy.cli.reports import ask_report
from gearpy.cli.top_looks import Look, function_of, plain_function_of, rated
from gearpy.client.sync import Client
from gearpy.errors import ConnectionLost, GearpyError
from gearpy.protocol import admin


class Observer:
    """Looks at a server.  After it went away it may be another one, so it is asked anew."""

    def __init__(self, server: Address) -> None:
        self._server = server
        self._extended: bool | None = None
        self._client: Client | None = None
        self._before: Look | None = None

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def look(self) -> Look:
        """The server as it is now.  Raises GearpyError if it does not say so."""
        try:
            if self._extended is None:
                self._extended = is_gearpy_server(self._server)
            look = self._look_closely() if self._extended else self._look_from_afar()
        except GearpyError:
            self._forget()
            raise
        look, self._before = rated(look, self._before), look
        return look

    def _look_closely(self) -> Look:
        if self._client is None:
            self._client = Client(str(self._server), timeout=ONLOOKER_TIMEOUT_S)
        facts = self._client.operate("server")
        rows = listed(self._client, "functions", "functions", None, {}).rows
        return Look(
            list(map(function_of, rows)),
            time.monotonic(),
            facts["version"],
            facts["pid"],
            facts["journal_full"],
        )

    def _look_from_afar(self) -> Look:
        try:
            rows = admin.read_status(ask_report(self._server, b"status"))
        except ValueError as error:
            raise ConnectionLost(
                f"what {self._server} answered to 'status' is not a Gearman server's report"
            ) from error
        return Look(list(map(plain_function_of, rows)), time.monotonic())

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._extended = None
