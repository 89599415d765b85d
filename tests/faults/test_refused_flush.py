"""A disk that takes what is written and refuses to flush it: what a caller was told to be nothing stays nothing."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, session, tables

REFUSING: Final = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int refused(void) {
    const char *flag = getenv("FLUSHES_FAIL");
    return flag && access(flag, F_OK) == 0;
}

int fsync(int file) {
    if (refused()) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    if (refused()) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(file);
}
"""


def refusing_library(folder: Path) -> Path:
    """A library to be loaded before the C library: flushes fail while a file is there."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "refusing.c", folder / "refusing.so"
    source.write_text(REFUSING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


async def test_what_was_refused_as_not_flushed_is_not_sent_after_a_kill(artifacts: Path) -> None:
    flag, shop = artifacts / "failing", Shop()
    environ = {"LD_PRELOAD": str(refusing_library(artifacts)), "FLUSHES_FAIL": str(flag)}
    async with simulator.serve(shop) as pos:
        daemon = DaemonProcess(artifacts, tables(artifacts, {"bar": session(url=pos.url)}), environ)
        try:
            await daemon.start()
            await kiosk.up(daemon.socket)
            await kiosk.insist(daemon.socket, "order.create", kiosk.create("before"))
            flag.touch()
            error = (await kiosk.ask(daemon.socket, "order.create", kiosk.create("refused")))["error"]
            assert (error["code"], error["message"].endswith("nothing was sent")) == (-32002, True)
            await daemon.kill()
            flag.unlink()
            await daemon.start()
            await kiosk.up(daemon.socket)
            await kiosk.insist(daemon.socket, "order.create", kiosk.create("after"))
            assert [row["idempotency_key"] for row in await kiosk.rows(daemon.socket)] == ["after", "before"]
            assert [act.provider_order_id for act in shop.acts] == [
                kiosk.create(key)["order"]["reference"] for key in ("before", "after")
            ]
        finally:
            await daemon.kill()
