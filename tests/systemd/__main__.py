"""A venue's machine for the tests of the service: ``python -m tests.systemd [arguments for pytest]``.

Boots a throw-away machine with a real systemd (``venue-box``) and runs the tests with the mark ``box`` in it. Where that
cannot be had, it says what was not run and why; with ``ORDERNPAY_TEST_BOX=required`` that is a failure.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
SERVICE_PYTHON: Final = "/usr/bin/python3"
NOT_BOOTED: Final = 125
"""What `venue-box` says of a machine that did not come up."""
SECONDS: Final = "1800"
"""A machine that is still there then hangs; all tests take seven minutes on two busy cores, and twenty on crowded ones."""


def missing() -> str | None:
    """What this machine lacks to boot another, if so."""
    if os.geteuid() != 0:
        return "this is not root"
    if shutil.which("systemd-nspawn") is None:
        return "there is no systemd-nspawn: apt install systemd-container"
    if subprocess.run([SERVICE_PYTHON, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        return f"{SERVICE_PYTHON} cannot make environments: apt install python3-venv"
    return None


def build_wheels(place: Path) -> Path:
    """Everything that the service is installed from, as the operator of a machine without internet gets it."""
    environment, wheels = place / "environment", place / "wheels"
    subprocess.run([SERVICE_PYTHON, "-m", "venv", environment], check=True)
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--quiet", "--wheel-dir", wheels, ROOT, "hatchling"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        sys.exit(f"the wheels for the box could not be built:\n{built.stderr}")
    return wheels


def seen_from_the_box() -> Path:
    """A folder that the box sees too: not /tmp, which is empty there, and not what is mounted beside the root."""
    usual = Path("/var/tmp")
    return usual if usual.stat().st_dev == Path("/").stat().st_dev else ROOT


def main(for_pytest: list[str]) -> int:
    """Run the tests in the box; their exit status."""
    reason = missing()
    if reason is not None:
        print(f"NOT RUN: the tests of the service under a real systemd, since {reason}", flush=True)
        return int(os.environ.get("ORDERNPAY_TEST_BOX") == "required")
    with tempfile.TemporaryDirectory(prefix=".ordernpay-wheels-", dir=seen_from_the_box()) as place:
        wheels = build_wheels(Path(place))
        command: list[str | Path] = [HERE / "venue-box", HERE / "run-in-box", sys.executable, wheels, *for_pytest]
        environ = {"BOX_SECONDS": SECONDS} | os.environ
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        status = boot(command, environ)
        return boot(command, environ) if status == NOT_BOOTED else status


def boot(command: list[str | Path], environ: dict[str, str]) -> int:
    """Run a command that boots a machine; its exit status."""
    with subprocess.Popen(command, cwd=ROOT, env=environ) as box:
        try:
            return box.wait()
        finally:
            box.terminate()  # which takes its machine down, and waits for that


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
