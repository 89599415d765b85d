"""The machine that the tests run on, in the words of its operator: commands, users, units, the system's log."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import frozen

T = TypeVar("T")

SERVICE: Final = "ordernpay.service"
SOCKET: Final = "ordernpay.socket"
COMMAND: Final = "ordernpay"
ENVIRON: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""As after a login: nothing of the tests' own environment may help what is installed."""


@frozen
class Ended:
    """How a command ended, and what it printed."""

    command: tuple[str, ...]
    status: int
    out: str
    err: str

    def done(self) -> "Ended":
        """Itself, if it ended well."""
        assert self.status == 0, f"{' '.join(self.command)} ended with {self.status}\n{self.out}\n{self.err}"
        return self

    def json(self) -> Any:
        """What it printed, if it ended well."""
        return json.loads(self.done().out)

    @property
    def error(self) -> dict[str, Any]:
        """The RPC error that `ordernpay call` printed below its sentence."""
        error: dict[str, Any] = json.loads(self.err[self.err.index("\n{") :])
        return error


def run(*command: str, stdin: str = "", seconds: float = 60, **environ: str) -> Ended:
    """A command of root, until it ends."""
    ended = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=ENVIRON | environ,
        cwd="/",
        check=False,
    )
    return Ended(command, ended.returncode, ended.stdout, ended.stderr)


def as_user(user: str, *command: str, **more: Any) -> Ended:
    """A command of a user, with all groups that it has now."""
    return run("runuser", "-u", user, "--", *command, **more)


def start_as(user: str, *command: str) -> subprocess.Popen[str]:
    """A command of a user that goes on beside the test, with pipes."""
    return subprocess.Popen(
        ["runuser", "-u", user, "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRON,
        cwd="/",
    )


def systemctl(*words: str, seconds: float = 60) -> Ended:
    """`systemctl WORDS…`."""
    return run("systemctl", "--no-pager", *words, seconds=seconds)


def show(unit: str, name: str) -> str:
    """A property of a unit."""
    return systemctl("show", "--property", name, "--value", unit).done().out.strip()


def main_pid() -> int:
    """The daemon's process; 0 while there is none."""
    return int(show(SERVICE, "MainPID"))


def is_active(unit: str = SERVICE) -> bool:
    """Whether a unit is up: for the service, whether it has said that it is ready."""
    return show(unit, "ActiveState") == "active"


def cursor() -> str:
    """Where the system's log ends now."""
    run("journalctl", "--sync").done()
    shown = run("journalctl", "--lines", "0", "--show-cursor").done().out
    return shown.split("cursor: ", 1)[1].strip()


def journal(unit: str = SERVICE, since: str | None = None, *matches: str) -> list[dict[str, Any]]:
    """The system's log of a unit, systemd's own lines about it too; from a `cursor()` on, if one is given.

    Args:
        unit: whose.
        since: where to begin.
        matches: fields that each line has, such as `PRIORITY=3`.
    """
    run("journalctl", "--sync").done()
    # Not --after-cursor: where the line at the cursor is another unit's, it leaves out the first line of this one.
    begin = [] if since is None else ["--cursor", since]
    told = run("journalctl", "--unit", unit, "--output", "json", "--all", *begin, *matches).done().out
    lines = [json.loads(line) for line in told.splitlines()]
    return [line for line in lines if line["__CURSOR"] != since]


def until(state: Callable[[], T], seconds: float = 20.0) -> T:
    """Poll until `state` is true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = state()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {value!r}"
        time.sleep(0.05)
