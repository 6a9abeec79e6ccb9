"""The worker that makes thumbnails, and the two programs that submit photographs to it."""

import socket
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from gearpy import Client, JobFailed
from gearpy.testing.process import ServerProcess
from tests.examples.programs import (
    EXAMPLES,
    PHP,
    PYTHON,
    WAIT_S,
    jpeg,
    need_php,
    resize_worker,
    run,
    size_of,
)


@pytest.fixture
def submit_program(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The program in the language that the test is about."""
    if request.param == "php":
        need_php()
        return PHP
    return PYTHON


both = pytest.mark.parametrize("submit_program", ["python", "php"], indirect=True)


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    ("width", "height", "expected", "steps"),
    [
        (2400, 1600, (320, 213), 4),
        (1600, 2400, (213, 320), 4),
        (5000, 40, (320, 2), 5),
        (700, 100, (320, 46), 3),
        (320, 240, (320, 240), 3),
        (40, 30, (40, 30), 3),
    ],
)
def test_progress_goes_step_by_step_to_a_thumbnail_of_the_right_size(
    server: ServerProcess, width: int, height: int, expected: tuple[int, int], steps: int
) -> None:
    told: list[tuple[int, int]] = []
    warnings: list[bytes] = []
    with resize_worker(server.address), Client(server.address) as client:
        job = client.submit(
            "resize",
            jpeg(width, height),
            on_progress=lambda done, of, _: told.append((done, of)),
            on_warning=warnings.append,
        )
        thumbnail = job.result(timeout=WAIT_S)
    got = size_of(thumbnail)
    assert max(got) == max(expected)
    assert all(abs(side - right) <= 1 for side, right in zip(got, expected, strict=True))
    assert told == [(done, steps) for done in range(steps + 1)]
    assert bool(warnings) == (max(width, height) < 320)


def test_a_photograph_taken_upright_stands_upright(server: ServerProcess) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be turned by 90 degrees
    photograph = BytesIO()
    Image.new("RGB", (600, 400)).save(photograph, "JPEG", exif=turned)
    with resize_worker(server.address), Client(server.address) as client:
        thumbnail = client.submit("resize", photograph.getvalue()).result(timeout=WAIT_S)
    assert size_of(thumbnail) == (213, 320)


def test_what_is_no_jpeg_is_an_exception_and_the_worker_goes_on(server: ServerProcess) -> None:
    with resize_worker(server.address), Client(server.address) as client:
        for payload in (b"", b"no picture", jpeg(800, 600)[:1500]):
            with pytest.raises(JobFailed, match=f"these {len(payload):,} bytes are no whole JPEG"):
                client.submit("resize", payload).result(timeout=WAIT_S)
        assert size_of(client.submit("resize", jpeg(800, 600)).result(timeout=WAIT_S)) == (320, 240)


@both
def test_all_photographs_of_a_folder_are_submitted_and_each_is_told_of(
    server: ServerProcess, tmp_path: Path, submit_program: tuple[str, str]
) -> None:
    into = tmp_path / "new" / "thumbnails"
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    (tmp_path / "small.jpg").write_bytes(jpeg(40, 30))
    (tmp_path / "large.jpg").write_bytes(jpeg(1600, 1200))
    with resize_worker(server.address):
        done = run(*submit_program, "--server", server.address, "--into", into, tmp_path)
    assert done.returncode == 1
    assert done.stderr == "1 of 3 photographs have no thumbnail.\n"
    assert size_of((into / "large.jpg").read_bytes()) == (320, 240)
    assert size_of((into / "small.jpg").read_bytes()) == (40, 30)
    assert not (into / "broken.jpg").exists()
    sizes = {name: (into / f"{name}.jpg").stat().st_size for name in ("small", "large")}
    told = done.stdout.splitlines()
    assert [line for line in told if "broken" in line] == [
        "  broken.jpg: failed: ValueError: these 6 bytes are no whole JPEG"
    ]
    assert [line for line in told if "small" in line] == [
        "  small.jpg: 0 of 3",
        "  small.jpg: 1 of 3",
        "  small.jpg: warning: it has only 40 x 30 pixels, so it stays as small as it is",
        "  small.jpg: 2 of 3",
        "  small.jpg: 3 of 3",
        f"  small.jpg: a thumbnail of {sizes['small']:,} bytes",
    ]
    assert [line for line in told if "large" in line] == [
        *(f"  large.jpg: {step} of 4" for step in range(5)),
        f"  large.jpg: a thumbnail of {sizes['large']:,} bytes",
    ]


@both
def test_a_folder_without_photographs_is_a_sentence(
    nowhere: str, tmp_path: Path, submit_program: tuple[str, str]
) -> None:
    done = run(*submit_program, "--server", nowhere, "--into", tmp_path, tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"There are no photographs (*.jpg) in {tmp_path}.\n"


@both
def test_a_server_that_is_not_there_is_a_sentence(
    nowhere: str, tmp_path: Path, submit_program: tuple[str, str]
) -> None:
    (tmp_path / "small.jpg").write_bytes(jpeg(40, 30))
    done = run(*submit_program, "--server", nowhere, "--into", tmp_path / "new", tmp_path)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert nowhere in sentence


def test_a_worker_without_a_server_says_so_and_waits_for_it(nowhere: str) -> None:
    command: list[str | Path] = [sys.executable, EXAMPLES / "resize_worker.py", "--server", nowhere]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        sentence = worker.stderr.readline()
        worker.terminate()
        assert worker.wait(60) == 0
    assert f"no Gearman server answers at {nowhere}" in sentence
    assert "this worker tries again until its server is there" in sentence


def test_a_worker_with_an_address_that_is_none_ends_with_a_sentence() -> None:
    done = run(sys.executable, EXAMPLES / "resize_worker.py", "--server", "1:2:3")
    assert done.returncode == 1
    assert done.stderr.startswith("resize worker: '1:2:3' has no port")
