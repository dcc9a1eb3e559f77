"""What a container may use, by either version of cgroups."""

from pathlib import Path

import pytest

from perennial_serving.usage import Usage

CPU, MEMORY = "perennial_cpu_limit_cores", "perennial_memory_limit_bytes"
V2 = ("cpu.max", "memory.max")
V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "memory/memory.limit_in_bytes")


def told(folder: Path, **files: str) -> dict[str, float]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content + "\n")
    return dict(Usage(folder).read())


@pytest.mark.parametrize(
    ("names", "contents", "limits"),
    [
        (V2, ("50000 100000", "268435456"), {CPU: 0.5, MEMORY: 268435456}),
        (V2, ("max 100000", "268435456"), {MEMORY: 268435456}),
        (V2, ("200000 100000", "max"), {CPU: 2.0}),
        (V1, ("50000", "100000", "268435456"), {CPU: 0.5, MEMORY: 268435456}),
        (V1, ("-1", "100000", "9223372036854771712"), {}),
        ((), (), {}),
    ],
)
def test_limits(tmp_path: Path, names: tuple[str, ...], contents: tuple[str, ...], limits: dict[str, float]) -> None:
    found = told(tmp_path, **dict(zip(names, contents, strict=True)))
    assert {name: value for name, value in found.items() if "limit" in name} == limits
    assert {name for name in found if "limit" not in name} == {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    }


def test_a_limit_that_changes_while_the_pod_runs_is_told(tmp_path: Path) -> None:
    usage = Usage(tmp_path)
    for quota, cores in (("50000 100000", 0.5), ("100000 100000", 1.0)):
        (tmp_path / "cpu.max").write_text(quota)
        assert dict(usage.read())[CPU] == cores


def test_without_proc_memory_is_not_told(tmp_path: Path) -> None:
    assert "process_resident_memory_bytes" not in dict(Usage(tmp_path, tmp_path / "statm").read())
