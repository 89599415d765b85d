"""A process for which the kernel has no memory left.

With control groups of version 2 the service's own `MemoryMax=` is lowered. Where memory is still a controller of version
1, systemd cannot reach it from inside of the box and would not hear of the kill: then the process alone is put into a
group that is too small for it. The killer is the kernel in both cases.
"""

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.systemd.machine import SERVICE, run, show, systemctl

SOCKET: Final = "/run/ordernpay/ordernpay.sock"
MIB: Final = 1024 * 1024
PLACE: Final = Path("/run/memory-controller")


def is_delegated() -> bool:
    """Whether systemd can limit the memory of a unit here."""
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    return controllers.exists() and "memory" in controllers.read_text().split()


TOLD: Final = "Failed with result 'oom-kill'" if is_delegated() else "Failed with result 'signal'"
"""What systemd says of it: it hears of the kernel's reason from version 2 alone."""


@contextlib.contextmanager
def scarce_for(pid: int) -> Iterator[Callable[[], int]]:
    """Leave the process next to no memory; gives how often the kernel has killed for that."""
    with _by_systemd() if is_delegated() else _by_a_group_of_its_own(pid) as kills:
        yield kills


@contextlib.contextmanager
def _by_systemd() -> Iterator[Callable[[], int]]:
    group = Path("/sys/fs/cgroup") / show(SERVICE, "ControlGroup").lstrip("/")
    events = os.open(group / "memory.events", os.O_RDONLY)

    def kills() -> int:
        with contextlib.suppress(OSError):  # the group went with the process
            return int(dict(line.split() for line in os.pread(events, 4096, 0).decode().splitlines())["oom_kill"])
        return 1

    try:
        systemctl("set-property", "--runtime", SERVICE, "MemoryMax=16M").done()
        yield kills
    finally:
        os.close(events)
        shutil.rmtree(f"/run/systemd/system.control/{SERVICE}.d", ignore_errors=True)
        systemctl("daemon-reload").done()


@contextlib.contextmanager
def _by_a_group_of_its_own(pid: int) -> Iterator[Callable[[], int]]:
    PLACE.mkdir(exist_ok=True)
    run("mount", "-t", "cgroup", "-o", "memory", "cgroup", str(PLACE)).done()
    group = PLACE / f"ordernpay-{pid}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(2 * MIB))
        (group / "cgroup.procs").write_text(str(pid))

        def kills() -> int:
            told = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())
            return int(told["oom_kill"])

        yield kills
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # whatever happened: the group can go only when nobody is in it
        with contextlib.suppress(OSError):
            group.rmdir()
        run("umount", str(PLACE)).done()


def ask_for_much() -> None:
    """Say so much to the daemon that it needs memory, and read nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.settimeout(2)
            with contextlib.suppress(OSError):
                sock.connect(SOCKET)
                sock.sendall(b'{"' + b"x" * (MIB - 64))
