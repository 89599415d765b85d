"""The power cut that the storm plays: what was flushed is there, what was not is gone, and a name needs its directory's flush."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.faults.storm.disk import Shim
from tests.faults.storm.power import Shadow

PROGRAM: Final = """
import os, sys
place = sys.argv[1]
directory = os.open(place, os.O_RDONLY)
os.rename(f"{place}/old", f"{place}/older")
kept = os.open(f"{place}/kept", os.O_RDWR | os.O_CREAT)
os.write(kept, b"a" * 1024); os.fsync(kept); os.fsync(directory)
os.write(kept, b"b" * 1024)
os.pwrite(kept, b"c", 0)
lost = os.open(f"{place}/lost", os.O_RDWR | os.O_CREAT)
os.write(lost, b"d" * 1024); os.fsync(lost)
os.unlink(f"{place}/gone")
print("done", flush=True)
os.read(0, 1)
"""


def killed(place: Path, program: str = PROGRAM) -> tuple[Shim, Shadow]:
    """A program that did all this, and was killed."""
    state = place / "state"
    shim = Shim(place, state)
    for name in ("old", "gone"):
        (state / name).write_text(name)
    shadow = Shadow(state, place / "writes")
    shadow.begin()
    shim.record(shadow.log)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(state)],
        env=os.environ | shim.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        process.kill()
    return shim, shadow


def content(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "state").iterdir()}


def test_only_what_was_flushed_survives(tmp_path: Path) -> None:
    _, shadow = killed(tmp_path)
    assert shadow.cut() == {"older": 0, "kept": 1025, "lost": 0}
    assert content(tmp_path) == {"older": b"old", "gone": b"gone", "kept": b"a" * 1024}


def test_any_part_of_the_rest_may_survive_torn_at_its_sectors(tmp_path: Path) -> None:
    seen = set()
    for seed in range(12):
        place = tmp_path / str(seed)
        place.mkdir()
        _, shadow = killed(place)
        shadow.cut(random.Random(seed))
        left = content(place)
        assert left["older"] == b"old"
        assert left["kept"][1:1024] == b"a" * 1023
        seen |= {left["kept"][:1], left["kept"][1024:1025], b"lost" if "lost" in left else b"no name"}
    assert {b"a", b"c", b"b", b"", b"lost", b"no name"} <= seen


@pytest.mark.parametrize("failing", ["fsync", "fdatasync"])
def test_what_a_failed_flush_was_to_write_is_gone_for_good(failing: str, tmp_path: Path) -> None:
    program = f"""
import ctypes, errno, mmap, os, sys
file = os.open(sys.argv[1] + "/old", os.O_RDWR)
os.write(file, b"new")
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.faults.storm.disk import _Control
with open(os.environ["ORDERNPAY_SHIM"], "r+b") as told:
    control = _Control.from_buffer(mmap.mmap(told.fileno(), 0))
control.error_on, control.error_left, control.error = 2, 1, errno.EIO
try:
    os.{failing}(file)
except OSError as error:
    assert error.errno == errno.EIO
os.{failing}(file)
print("done", flush=True)
os.read(0, 1)
"""
    _, shadow = killed(tmp_path, program)
    shadow.cut()
    assert content(tmp_path)["old"] == b"old"


def test_the_wall_clock_is_stepped_and_the_other_is_not(tmp_path: Path) -> None:
    shim = Shim(tmp_path, tmp_path / "state")
    shim.step(-40)
    program = "import time, datetime; print(time.time(), time.monotonic(), datetime.datetime.now().timestamp())"
    here = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | shim.environ, capture_output=True, text=True, check=True
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    stepped, monotonic, date = map(float, here.stdout.split())
    right, later, _ = map(float, there.stdout.split())
    assert 40 * 86_400 <= right - stepped < 40 * 86_400 + 60
    assert 0 <= later - monotonic < 60
    assert abs(date - stepped) < 60
