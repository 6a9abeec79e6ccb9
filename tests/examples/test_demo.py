"""``make demo``: what it makes, and that it stops what it starts however it ends."""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from examples.demo import DemoFailed, check_all
from tests.examples.programs import EXAMPLES, Demo, has_php, jpeg, need_php, run, size_of

PHOTOGRAPHS = EXAMPLES / "photographs"
NAMES = ["misty_forest.jpg", "mountain_lake.jpg", "starry_town.jpg", "sunset_sea.jpg"]


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """Photographs that keep who reads them waiting: the demonstration stays where it is."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    os.mkfifo(folder / "endless.jpg")
    return folder


def test_it_makes_a_thumbnail_of_each_photograph_and_leaves_no_process(tmp_path: Path) -> None:
    with Demo(PHOTOGRAPHS, tmp_path) as demo:
        assert demo.finish() == 0, demo.errors
        assert demo.members() == {}
    assert demo.errors == ""
    folders = ["python", "php"] if has_php() else ["python"]
    for folder in folders:
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == NAMES
        for name in NAMES:
            thumbnail = tmp_path / folder / name
            assert size_of(thumbnail.read_bytes()) == (320, 213)
            assert thumbnail.read_bytes() == (tmp_path / "python" / name).read_bytes()
            (line,) = (line for line in demo.output.splitlines() if str(thumbnail) in line)
            assert "320 x 213 pixels" in line
            assert f"{thumbnail.stat().st_size:,} bytes" in line
    for name in NAMES:
        assert f"  {name}: 4 of 4\n" in demo.output  # progress, as it happened
    assert "All of them are right" in demo.output
    need_php()
    assert "PHP got the same ones as Python" in demo.output


def test_a_broken_photograph_makes_it_fail_though_an_old_thumbnail_is_there(
    tmp_path: Path,
) -> None:
    photographs, old = tmp_path / "photographs", tmp_path / "python" / "broken.jpg"
    photographs.mkdir()
    old.parent.mkdir()
    old.write_bytes(jpeg(320, 213))
    (photographs / "broken.jpg").write_bytes(jpeg(900, 600)[:2000])
    with Demo(photographs, tmp_path) as demo:
        assert demo.finish() == 1
        assert demo.members() == {}
    assert "broken.jpg: failed: ValueError: these 2,000 bytes are no whole JPEG" in demo.output
    assert "The demonstration failed: " in demo.errors
    assert "submit_photographs.py exited with 1." in demo.errors
    assert not old.exists()


def no_thumbnail(path: Path) -> str:
    path.unlink()
    return "is missing"


def broken_thumbnail(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:800])
    return "is no JPEG"


def small_thumbnail(path: Path) -> str:
    path.write_bytes(jpeg(160, 107))
    return "has 160 x 107 pixels, not about 320 x 213"


def other_thumbnail(path: Path) -> str:
    path.write_bytes(path.read_bytes() + b"more")
    return "differs from that in"


@pytest.mark.parametrize(
    "spoil", [no_thumbnail, broken_thumbnail, small_thumbnail, other_thumbnail]
)
def test_a_wrong_thumbnail_is_told_of(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    folders = [tmp_path / "python", tmp_path / "php"]
    for folder in folders:
        folder.mkdir()
        for name in NAMES:
            (folder / name).write_bytes(jpeg(320, 213))
    check_all(PHOTOGRAPHS, folders)
    wrong = folders[1] / "starry_town.jpg"
    sentence = spoil(wrong)
    with pytest.raises(DemoFailed, match=re.escape(f"{wrong} {sentence}")):
        check_all(PHOTOGRAPHS, folders)


def test_a_dead_worker_ends_it(tmp_path: Path, endless: Path) -> None:
    with Demo(endless, tmp_path) as demo:
        demo.wait_line("2 workers do its jobs")
        os.kill(demo.workers(2)[0], signal.SIGKILL)
        assert demo.finish() == 1
        assert demo.members() == {}
    assert " exited with -9." in demo.errors


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="SIGTERM"),
    ],
)
def test_it_can_be_stopped(tmp_path: Path, endless: Path, stop: Callable[[int], None]) -> None:
    with Demo(endless, tmp_path) as demo:
        demo.wait_line("From Python")
        stop(demo.process.pid)
        assert demo.finish() == 1
        assert demo.members() == {}
    assert demo.errors.endswith("\nStopped.\n")


def test_the_photographs_are_what_cameras_make() -> None:
    assert sorted(path.name for path in PHOTOGRAPHS.glob("*.jpg")) == NAMES
    for name in NAMES:
        path = PHOTOGRAPHS / name
        assert 300_000 <= path.stat().st_size <= 600_000
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (2400, 1600))
            assert not image.getexif()


def test_a_photograph_can_be_drawn_again(tmp_path: Path) -> None:
    drawn = run(sys.executable, PHOTOGRAPHS / "draw.py", "--into", tmp_path, "starry_town")
    assert drawn.returncode == 0, drawn.stderr
    small = [
        Image.open(folder / "starry_town.jpg").resize((60, 40), Image.Resampling.BOX).tobytes()
        for folder in (PHOTOGRAPHS, tmp_path)
    ]
    # Not byte for byte: that is up to the version of the JPEG library.
    assert max(abs(old - new) for old, new in zip(*small, strict=True)) <= 3
