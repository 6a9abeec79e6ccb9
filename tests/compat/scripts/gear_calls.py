"""Calls of the package gear: gear_calls.py HOST PORT.  It asks about jobs that nobody does."""

import sys

import gear


def rows(client: gear.Client, request: gear.AdminRequest) -> str:
    connection = client.getConnection()
    connection.sendAdminRequest(request)
    response: bytes = request.response
    return response.decode().rstrip("\n").replace("\t", " ")


def main(host: str, port: int) -> None:
    client = gear.Client("gear-client")
    client.addServer(host, port)
    client.waitForServer()
    print("option:", client.setOption("exceptions"))

    first, second = (gear.TextJob("later", "x", unique=unique) for unique in ("key 1", "key 2"))
    client.submitJob(first, background=True)
    client.submitJob(second, background=True, precedence=gear.PRECEDENCE_HIGH)
    handles = {first.handle.decode(): "FIRST", second.handle.decode(): "SECOND"}

    def named(text: str) -> str:
        for handle, name in handles.items():
            text = text.replace(handle, name)
        return " | ".join(sorted(text.split("\n")))

    print("version:", rows(client, gear.VersionAdminRequest()))
    print("status:", named(rows(client, gear.StatusAdminRequest())))
    print("show jobs:", named(rows(client, gear.ShowJobsAdminRequest())))
    print("show unique jobs:", named(rows(client, gear.ShowUniqueJobsAdminRequest())))
    print("cancel job:", rows(client, gear.CancelJobAdminRequest(first.handle)))
    print("cancel it again:", rows(client, gear.CancelJobAdminRequest(first.handle)))
    print("status:", named(rows(client, gear.StatusAdminRequest())))
    client.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
