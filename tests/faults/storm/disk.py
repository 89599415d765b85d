"""The shim's side of the test: compile it, and tell it what to do. See `shim.c`."""

import ctypes
import errno
import functools
import mmap
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).with_name("shim.c")
WRITE, SYNC, TRUNCATE, READ, NAMES = 1, 2, 4, 8, 16
CHANGES: Final = WRITE | SYNC | TRUNCATE | NAMES
DAY: Final = 86_400
ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EROFS)


class _Control(ctypes.Structure):
    """`struct control` of the shim."""

    _fields_ = (
        ("clock_step", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("slow_ms", "slow_on", "error", "error_on", "error_after", "error_left")),
        ("half_writes", ctypes.c_int32),
        *((name, ctypes.c_int32) for name in ("recording", "failed", "slowed", "halved", "syncs")),
        ("log", ctypes.c_char * 512),
    )


@functools.cache
def library() -> Path:
    """The compiled shim; skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here (apt install gcc libc6-dev): the disk and the clock cannot be played with")
    built = Path(tempfile.mkdtemp(prefix="onp-shim-")) / "shim.so"
    command = [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(built), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the shim cannot be compiled here (apt install gcc libc6-dev): {done.stderr[-500:]}")
    return built


class Shim:
    """A disk and a clock for the processes that are started with `environ`."""

    def __init__(self, place: Path, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._file = place / "shim.control"
        self._file.write_bytes(bytes(ctypes.sizeof(_Control)))
        with self._file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.control = _Control.from_buffer(self._map)
        self.environ = {
            "LD_PRELOAD": str(library()),
            "ORDERNPAY_SHIM": str(self._file),
            "ORDERNPAY_SHIM_DIR": str(directory),
        }

    def slow(self, milliseconds: int, on: int = SYNC) -> None:
        """Each of these calls takes so long from now on; 0 for no longer."""
        self.control.slow_on = on if milliseconds else 0
        self.control.slow_ms = milliseconds

    def fail(self, code: int, on: int = CHANGES, times: int = -1, after: int = 0) -> None:
        """So many of these calls fail with an errno, once so many have succeeded; below 0: all."""
        self.control.error = 0
        self.control.error_on, self.control.error_left, self.control.error_after = on, times, after
        self.control.error = code

    def halve(self, writes: int) -> None:
        """So many writes write half of what they are given."""
        self.control.half_writes = writes

    def heal(self) -> None:
        """A sound disk."""
        self.control.error = self.control.error_on = self.control.slow_on = self.control.half_writes = 0

    def step(self, days: float) -> None:
        """The wall clock is so many days off from now on."""
        self.control.clock_step = int(days * DAY * 1_000_000_000)

    def record(self, log: Path | None) -> None:
        """Write down what happens to the files from now on, or no longer."""
        self.control.recording = 0
        if log is not None:
            self.control.log = str(log).encode()
            self.control.recording = 1
