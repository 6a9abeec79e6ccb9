"""What is said of the disk below the journal."""

import os
from pathlib import Path

from bench import disk


def test_the_filesystem_of_a_folder_is_that_of_the_mount_above_it(tmp_path: Path) -> None:
    assert disk.filesystem(Path("/proc/self")) == "proc"
    assert disk.filesystem(tmp_path) not in ("proc", "unknown")


def test_syncs_are_timed_one_by_one_and_leave_no_file(tmp_path: Path) -> None:
    latencies = disk.time_syncs(tmp_path, 5)
    assert latencies.count == 5
    assert latencies.percentile_s(1) > 0
    assert os.listdir(tmp_path) == []


def test_the_kernel_counts_syncs_where_it_can(tmp_path: Path) -> None:
    before = disk.syncs(tmp_path)
    disk.time_syncs(tmp_path, 3)
    after = disk.syncs(tmp_path)
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after >= before


def test_it_counts_none_for_what_is_not_a_disk() -> None:
    assert disk.syncs(Path("/proc")) is None
