"""What a container leaves to a process, read from a tree like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from talm_core.system import cgroup

GIB = 2**30


def tree(root: Path, files: dict[str, str]) -> Path:
    """Files below `root/fs`; what this process is in stands in `root/own`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root / "fs"


def test_version_2_the_lowest_limit_on_the_way_up(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "own": "0::/pod/box",
            "fs/memory.max": "max",
            "fs/pod/memory.max": str(8 * GIB),
            "fs/pod/memory.current": str(5 * GIB),
            "fs/pod/memory.stat": f"anon 1\ninactive_file {2 * GIB}\nactive_file 7",
            "fs/pod/cpu.max": "250000 100000",
            "fs/pod/box/memory.max": str(16 * GIB),
            "fs/pod/box/memory.current": str(GIB),
            "fs/pod/box/cpu.max": "max 100000",
        },
    )
    assert cgroup.memory(root, tmp_path / "own") == (3 * GIB, 8 * GIB)
    assert cgroup.cores(root, tmp_path / "own") == 3


def test_version_1_in_a_container_that_sees_only_itself(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "own": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/x",
            "fs/memory/memory.limit_in_bytes": str(4 * GIB),
            "fs/memory/memory.usage_in_bytes": str(GIB),
            "fs/memory/memory.stat": f"total_inactive_file {GIB // 2}",
            "fs/cpu/cpu.cfs_quota_us": "50000",
            "fs/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup.memory(root, tmp_path / "own") == (GIB // 2, 4 * GIB)
    assert cgroup.cores(root, tmp_path / "own") == 1


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"own": "0::/"},
        {"own": "0::/", "fs/memory.max": "max", "fs/cpu.max": "max 100000"},
        {"own": "nonsense", "fs/memory.max": "5"},
        {"own": "4:memory:/", "fs/memory/memory.limit_in_bytes": "9223372036854771712"},
        {"own": "4:cpu:/", "fs/cpu/cpu.cfs_quota_us": "-1", "fs/cpu/cpu.cfs_period_us": "100000"},
        {"own": "0::/", "fs/memory.max": "much", "fs/cpu.max": "1 0"},
    ],
)
def test_without_a_limit_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    root = tree(tmp_path, files)
    assert cgroup.memory(root, tmp_path / "own") is None
    assert cgroup.cores(root, tmp_path / "own") is None


def test_a_group_outside_of_what_is_seen_counts_as_the_top(tmp_path: Path) -> None:
    root = tree(tmp_path, {"own": "0::/../other", "fs/memory.max": "7", "fs/memory.current": "3"})
    assert cgroup.memory(root, tmp_path / "own") == (3, 7)


def test_this_machine_is_asked_without_an_error() -> None:
    told = cgroup.memory()
    assert told is None or told[0] >= 0
    count = cgroup.cores()
    assert count is None or count >= 1
