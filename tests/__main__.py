"""Everything that has to hold, in one command: ``python -m tests [arguments for pytest]``.

Checks of the source come first, since they are quick; then every test under coverage, but for the processes of daemons
that it starts; then the floors that coverage must not fall below. The first failure ends the run.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
OVERALL: Final = 90
WORKERS: Final = "5"
"""More than the two cores that are expected: most tests wait for daemons, timeouts and flushes."""

ROOM: Final = 2 * 2**30

WHOLE: Final = (
    "ordernpay/vendors/order_n_pay/exchange.py",
    "ordernpay/vendors/order_n_pay/wire.py",
    "ordernpay/vendors/ros/wire.py",
    "ordernpay/vendors/tevalis/wire.py",
    "ordernpay/vendors/doshii/wire.py",
    "ordernpay/rpc/jsonrpc.py",
    "ordernpay/journal/states.py",
)
"""Files in which no branch may go untested."""


def python(module: str, *arguments: str) -> list[str]:
    """A command of this interpreter's own environment."""
    return [sys.executable, "-m", module, *arguments]


def measured(*arguments: str) -> list[str]:
    """A run of pytest under coverage."""
    return python("coverage", "run", "-m", "pytest", *arguments)


Step = tuple[str, list[str]]


def source() -> list[Step]:
    """What needs no running: quick, and first."""
    return [
        ("ruff check", python("ruff", "check")),
        ("ruff format", python("ruff", "format", "--check")),
        ("mypy", python("mypy")),
        ("import-linter", [str(Path(sys.executable).with_name("lint-imports"))]),
    ]


def in_the_box(which: str, for_pytest: list[str]) -> list[str]:
    """Tests of the service under a real systemd, on a machine of their own."""
    return python("tests.systemd", "-m", which, *for_pytest)


def side_by_side(place: Path, for_pytest: list[str]) -> Step:
    """Nearly all tests."""
    workers = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
    chosen = ("-m", "not (last or bench or box)", *for_pytest)
    return "pytest, side by side", measured(f"--basetemp={place / 't'}", *workers, *chosen)


def figures(for_pytest: list[str]) -> list[Step]:
    """What wants the machine to itself, and a real disk."""
    return [
        ("how fast it is", python("pytest", "-m", "bench and not box", *for_pytest)),
        ("how fast the service starts, in the box", in_the_box("box and bench", for_pytest)),
    ]


def afterwards(for_pytest: list[str]) -> list[Step]:
    """What looks at all that was written and measured."""
    return [
        ("pytest, what comes last", measured("-m", "last", *for_pytest)),
        ("coverage combine", python("coverage", "combine", "--quiet")),
        (f"coverage of at least {OVERALL} %", python("coverage", "report", f"--fail-under={OVERALL}")),
        (
            "every branch of the files that keep the promises",
            python("coverage", "report", f"--include={','.join(WHOLE)}", "--fail-under=100"),
        ),
    ]


def run(steps: list[Step], environ: dict[str, str]) -> int:
    """Each step in order; the exit status of the first that fails, else 0."""
    for name, command in steps:
        print(f"== {name}", flush=True)
        status = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
        if status != 0:
            return failed(name, command, status)
    return 0


def failed(name: str, command: list[str], status: int) -> int:
    """Say so; the status."""
    print(f"\nFAILED: {name} (exit status {status}): {' '.join(command)}", flush=True)
    return status


def all_tests(place: Path, for_pytest: list[str], environ: dict[str, str]) -> int:
    """Nearly all tests, and beside them those in the box, which mostly wait for their machine."""
    name, box = "the service under a real systemd, in the box", in_the_box("box and not bench", for_pytest)
    with (place / "box.log").open("w+") as log:
        beside = subprocess.Popen(
            box, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        status = run([side_by_side(place, for_pytest)], environ)
        if status != 0:
            os.killpg(beside.pid, signal.SIGTERM)
        ended = beside.wait()
        log.seek(0)
        print(f"== {name}\n{log.read()}", flush=True)
    if status == 0 and ended != 0:
        return failed(name, box, ended)
    return status


def in_memory() -> str | None:
    """Where there is memory to spare, a folder in it: there nobody else's writing holds up a flush, and a kill is a kill."""
    place = Path("/dev/shm")
    roomy = place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > ROOM
    return str(place) if roomy else None


def main(for_pytest: list[str]) -> int:
    """Run everything; the exit status of the first step that fails, else 0. Nothing that is measured or written stays."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="onp-", dir=in_memory()) as place,
        tempfile.TemporaryDirectory(prefix="ordernpay-tests-") as disk,
    ):
        artifacts = Path(place) / "artifacts"
        environ = os.environ | {
            "ORDERNPAY_TEST_ARTIFACTS": str(artifacts),
            "COVERAGE_FILE": str(Path(place) / "coverage"),
        }
        status = (
            run(source(), environ)
            or all_tests(Path(place), for_pytest, environ)
            or run(figures(for_pytest), environ | {"ORDERNPAY_TEST_ARTIFACTS": disk})
        )
        if status == 0:
            shutil.copytree(disk, artifacts / "figures")
            status = run(afterwards(for_pytest), environ)
    if status == 0:
        print(f"\nPASSED: lint, types, floors, tests and coverage, in {time.monotonic() - began:.0f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
