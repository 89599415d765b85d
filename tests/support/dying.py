"""A daemon that dies around a write of its journal: ``python -m tests.support.dying run …``.

``ORDERNPAY_TEST_DIE=publish:after:3`` kills the process with SIGKILL once the third call of that operation is durable and
before anybody knows; ``before`` kills it when it was asked for, and nothing was written.
"""

import asyncio
import os
import signal
import sys
from typing import Any

from ordernpay.journal import Journal
from tests.support.daemons import DaemonProcess, unmeasured
from tests.support.toml import write


class DyingDaemon(DaemonProcess):
    """A daemon process whose first life ends at such a write."""

    async def start_to_die(self, at: str, *options: str) -> None:
        """Start it, with these options, until it serves; it dies by itself, unless `at` is empty."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = write(self.directory / "ordernpay.toml", self.tables)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.support.dying", "run", "--config", str(config), *options),
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                env=unmeasured(ORDERNPAY_TEST_DIE=at),
            )
        async with asyncio.timeout(20):
            while not await self._answers():
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)


def arm(at: str) -> None:
    """Have the journal's operation end this process."""
    name, moment, *count = at.split(":")
    operation, left = getattr(Journal, name), int(count[0]) if count else 1

    async def dying(*args: Any, **named: Any) -> Any:
        nonlocal left
        if name != "publish" or named.get("once") or (len(args) > 3 and args[3] is not None):
            left -= 1
        if left == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await operation(*args, **named)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(Journal, name, dying)


if __name__ == "__main__":
    from ordernpay.cli import main

    if os.environ["ORDERNPAY_TEST_DIE"]:
        arm(os.environ["ORDERNPAY_TEST_DIE"])
    main()
