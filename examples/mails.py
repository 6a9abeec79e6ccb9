"""Letters to many people, each sent once, and tried again where that fails.

    gearpy-server --journal jobs.db                          # in one terminal
    gearpy worker examples.mails:tasks --concurrency 8       # in another
    python examples/mails.py customers.csv --letter letter.txt

The file has the columns "address" and "name"; the letter may say {name}, and begins with its
subject.  SMTP_HOST, SMTP_PORT and MAIL_FROM say how the worker sends.  What can't be sent after
five tries is a dead letter: `gearpy dead list`, and `gearpy dead retry` when the mail server is
well again.
"""

import argparse
import csv
import os
import smtplib
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from rich.progress import track

from gearpy import GearpyError, JobFailed
from gearpy.tasks import TaskJob, Tasks, current_job

tasks = Tasks("mails")


@tasks.task(retries=4, timeout=60, backoff=[10, 60, 600, 3600])
def send(address: str, subject: str, text: str) -> str:
    """Sends one letter; returns what became of it."""
    letter = EmailMessage()
    letter["From"] = os.environ.get("MAIL_FROM", "shop@localhost")
    letter["To"] = address
    letter["Subject"] = subject
    letter.set_content(text)
    # The same at each try, so that a mail server that got it twice can tell.
    letter["Message-ID"] = f"<{current_job().unique or current_job().handle}@gearpy>"
    host, port = os.environ.get("SMTP_HOST", "localhost"), int(os.environ.get("SMTP_PORT", "25"))
    with smtplib.SMTP(host, port, timeout=30) as mail:
        try:
            mail.send_message(letter)
        except smtplib.SMTPRecipientsRefused as error:
            [(code, why)] = error.recipients.values()
            if code >= 500:
                return f"refused: {why.decode(errors='replace')}"
            raise  # it may take it later
    return "sent"


def submit(customers: Path, letter: str) -> Iterator[TaskJob[str]]:
    """A job for each customer; who runs this twice at a time sends nothing twice."""
    subject, _, text = letter.partition("\n")
    with customers.open(newline="") as file:
        for row in csv.DictReader(file):
            said = text.strip().format(name=row["name"])
            once = send.options(unique=f"{subject} {row['address']}")
            yield once.submit(row["address"], subject, said)


def main() -> None:
    """Submits all letters, and shows what becomes of them."""
    options = argparse.ArgumentParser(description="Sends a letter to many people.")
    options.add_argument("customers", type=Path, help="a CSV file with address and name")
    options.add_argument("--letter", type=Path, required=True, help="its first line is the subject")
    arguments = options.parse_args()
    try:
        jobs = list(submit(arguments.customers, arguments.letter.read_text()))
        for job in track(jobs, "sending"):
            try:
                print(job.result())
            except JobFailed as error:
                print(error)
    except (GearpyError, OSError, KeyError, ValueError) as error:
        sys.exit(f"mails: {error}")


if __name__ == "__main__":
    main()
