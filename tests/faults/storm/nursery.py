"""A process that has the daemon's modules loaded and forks one daemon a line: a start costs a tenth of a second, not one.

``python -m tests.faults.storm.nursery CONFIG LOG`` reads ``NAME=VALUE …`` a line, starts a daemon with that in its
environment, and writes ``started PID`` and later ``ended PID STATUS`` (below 0: the signal). It ends with its standard input.
"""

import importlib
import os
import select
import signal
import sys
import threading
from typing import Final, NoReturn

LOOK: Final = 0.01


def _daemon(config: str, log: str, environ: list[str]) -> NoReturn:
    from ordernpay import cli, crash  # noqa: PLC0415 - loaded by the parent

    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(descriptor, 2)
    for one in environ:
        name, _, value = one.partition("=")
        os.environ[name] = value
    importlib.reload(crash)  # which reads its environment when it is loaded
    sys.argv = ["ordernpay", "run", "--config", config]
    status = 1
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _bury() -> None:
    """Tell of those that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        os.write(1, f"ended {pid} {os.waitstatus_to_exitcode(status)}\n".encode())


def main() -> None:
    """Fork until standard input ends."""
    config, log = sys.argv[1:]
    for module in ("ordernpay.cli.run", "ordernpay.daemon"):
        importlib.import_module(module)
    assert threading.active_count() == 1, "a daemon has to be forked of one thread alone"
    waiting = b""
    while True:
        if select.select([0], [], [], LOOK)[0]:
            read = os.read(0, 65_536)
            if not read:
                return
            waiting += read
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                _daemon(config, log, line.decode().split())
            os.write(1, f"started {pid}\n".encode())
        _bury()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
