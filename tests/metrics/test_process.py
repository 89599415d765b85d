"""The process itself, also where the service's sandbox hides most of /proc."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ordernpay.clock import SystemClock
from ordernpay.metrics.process import SELF, Process


def told(directory: Path = SELF) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(Process(SystemClock(), directory))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_what_the_kernel_says_of_us() -> None:
    page = told()
    with (SELF / "statm").open() as file:
        pages = int(file.read().split()[1])
    assert page["process_resident_memory_bytes"] == pytest.approx(pages * resource.getpagesize(), rel=0.1)
    assert page["process_virtual_memory_bytes"] > page["process_resident_memory_bytes"]
    assert page["process_open_fds"] == pytest.approx(len(os.listdir(SELF / "fd")), abs=2)  # noqa: PTH208
    assert page["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert page["process_cpu_seconds_total"] == pytest.approx(time.process_time(), rel=0.1, abs=0.1)


def test_the_start_is_told_in_wall_time() -> None:
    before = time.time()
    script = "from tests.metrics.test_process import told; print(told()['process_start_time_seconds'])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert before - 0.1 <= float(ran.stdout) <= time.time()


def test_a_hidden_proc_is_no_error(tmp_path: Path) -> None:
    assert told(tmp_path) == {}
    for name in ("stat", "fd"):
        (tmp_path / name).symlink_to(SELF / name)
    assert told(tmp_path).keys() == told().keys()  # neither /proc/stat nor anything else of the machine is needed
