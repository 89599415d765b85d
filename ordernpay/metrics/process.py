"""The process itself, under the names that every Prometheus dashboard knows.

prometheus_client has the same, but reads the machine's boot time in /proc/stat and is silent where that is hidden, as it
is from a service with ProcSubset=pid.
"""

import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ordernpay.clock import Clock

SELF: Final = Path("/proc/self")
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Process(Collector):
    """What the kernel says of this process; what it hides is left out."""

    def __init__(self, clock: Clock, directory: Path = SELF) -> None:
        self._clock = clock
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """Memory, processor time, start and file descriptors."""
        try:
            stat = (self._directory / "stat").read_text().rpartition(")")[2].split()  # proc(5), from the third field
            files = len(list((self._directory / "fd").iterdir()))
        except OSError:
            return
        user, system, began, size, pages = (int(stat[field]) for field in (11, 12, 19, 20, 21))
        age = self._clock.now() - began / TICKS  # both since boot
        yield CounterMetricFamily("process_cpu_seconds", "Processor time in all", (user + system) / TICKS)
        yield GaugeMetricFamily("process_start_time_seconds", "Start, since 1970", self._clock.wall() - age)
        yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory", size)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory", pages * resource.getpagesize())
        yield GaugeMetricFamily("process_open_fds", "Open file descriptors", files)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield GaugeMetricFamily("process_max_fds", "Most file descriptors allowed", limit)
