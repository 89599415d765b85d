"""A disk that fails: an I/O error is no damage, a read-only disk is read, and what the journal knows is told meanwhile.

The failing disk is a library loaded before the C library; for root, a file system mounted read-only stands beside it.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, session, tables
from tests.support.wait import until

FAILING: Final = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int refused(int file) {
    char link[64], path[4096];
    const char *flag = getenv("DISK_FAILS");
    ssize_t length;
    if (!flag || access(flag, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "journal.sqlite3") != NULL;
}

ssize_t pread64(int file, void *data, size_t size, off64_t at) {
    if (refused(file)) { errno = EIO; return -1; }
    return ((ssize_t (*)(int, void *, size_t, off64_t)) dlsym(RTLD_NEXT, "pread64"))(file, data, size, at);
}

ssize_t pread(int file, void *data, size_t size, off_t at) { return pread64(file, data, size, at); }

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    if (refused(file)) { errno = EIO; return -1; }
    return ((ssize_t (*)(int, const void *, size_t, off64_t)) dlsym(RTLD_NEXT, "pwrite64"))(file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return pwrite64(file, data, size, at); }
"""


def failing_library(folder: Path) -> Path:
    """A library by which every read and write of the journal fails while a file is there."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "failing.c", folder / "failing.so"
    source.write_text(FAILING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def logged(daemon: DaemonProcess, event: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in daemon.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


async def test_a_start_waits_for_a_disk_that_answers_with_errors_and_nothing_is_moved(artifacts: Path) -> None:
    flag, shop = artifacts / "failing", Shop()
    environ = {"LD_PRELOAD": str(failing_library(artifacts)), "DISK_FAILS": str(flag)}
    async with simulator.serve(shop) as pos:
        daemon = DaemonProcess(artifacts, tables(artifacts, {"bar": session(url=pos.url)}), environ)
        try:
            await daemon.start()
            await kiosk.up(daemon.socket)
            first = await kiosk.insist(daemon.socket, "order.create", kiosk.create("before"))
            await daemon.kill()
            flag.touch()
            await daemon.start()
            asked = asyncio.create_task(kiosk.ask(daemon.socket, "order.create", kiosk.create("before")))
            await until(lambda: logged(daemon, "journal_waited_for"))
            assert not asked.done()
            flag.unlink()
            answer = (await asked)["result"]
            assert (answer["command_id"], answer["result"]) == (first["command_id"], first["result"])
            assert len(shop.acts) == 1
            assert logged(daemon, "journal_damaged") == []
            assert list((artifacts / "state").glob("*damaged*")) == []
        finally:
            await daemon.kill()


async def test_a_start_that_waits_for_its_disk_can_be_stopped(artifacts: Path) -> None:
    flag = artifacts / "failing"
    environ = {"LD_PRELOAD": str(failing_library(artifacts)), "DISK_FAILS": str(flag)}
    daemon = DaemonProcess(artifacts, tables(artifacts, {}), environ)
    try:
        await daemon.start()
        await daemon.kill()
        flag.touch()
        await daemon.start()
        await until(lambda: logged(daemon, "journal_waited_for"))
        assert await daemon.terminate() == 0
    finally:
        await daemon.kill()


async def test_while_the_disk_fails_a_key_is_told_what_became_of_it(artifacts: Path) -> None:
    flag, shop = artifacts / "full", Shop()
    environ = {"LD_PRELOAD": str(failing_library(artifacts)), "DISK_FAILS": str(flag)}
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url)})
        daemon = DaemonProcess(artifacts, config, environ)
        try:
            await daemon.start()
            await kiosk.up(daemon.socket)
            done = await kiosk.insist(daemon.socket, "order.create", kiosk.create("done"))
            acts = len(shop.acts)
            pos.faults.plan(Fault.LATE, seconds=1.5)
            under_way = asyncio.create_task(kiosk.ask(daemon.socket, "order.create", kiosk.create("under-way")))
            await until(lambda: len(shop.acts) > acts)
            flag.touch()
            joined = asyncio.create_task(kiosk.ask(daemon.socket, "order.create", kiosk.create("under-way")))
            said = (await kiosk.ask(daemon.socket, "order.create", kiosk.create("new")))["error"]
            assert said["code"] == -32002
            again = (await kiosk.ask(daemon.socket, "order.create", kiosk.create("done"))).get("result")
            if again is not None:  # the page with it may have to be read, which fails as well
                assert again["command_id"] == done["command_id"]
            flag.unlink()
            first, second = await under_way, await joined
            assert first["result"]["command_id"] == second["result"]["command_id"]
            assert len(shop.acts) == acts + 1
        finally:
            await daemon.kill()


@contextlib.contextmanager
def own_file_system(place: Path) -> Iterator[None]:
    """A directory on a file system of its own."""
    place.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", place], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """The directory on a file system of its own, which is read-only meanwhile."""
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)


@pytest.mark.parametrize("ended", ["stopped", "killed"])
async def test_a_start_on_a_read_only_disk_serves_what_is_there_and_writes_once_it_can(
    ended: str, artifacts: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    state, shop = artifacts / "state", Shop()
    with own_file_system(state):
        async with simulator.serve(shop) as pos:
            daemon = DaemonProcess(artifacts, tables(artifacts, {"bar": session(url=pos.url)}))
            try:
                await daemon.start()
                await kiosk.up(daemon.socket)
                done = await kiosk.insist(daemon.socket, "order.create", kiosk.create("done"))
                await (daemon.terminate() if ended == "stopped" else daemon.kill())
                with read_only(state):
                    await daemon.start()
                    again = (await kiosk.ask(daemon.socket, "order.create", kiosk.create("done")))["result"]
                    assert (again["command_id"], again["result"]) == (done["command_id"], done["result"])
                    other = await kiosk.ask(
                        daemon.socket, "order.create", kiosk.create("other") | {"idempotency_key": "done"}
                    )
                    assert other["error"]["code"] == -32005
                    assert other["error"]["data"]["command_id"] == done["command_id"]
                    said = (await kiosk.ask(daemon.socket, "order.create", kiosk.create("new")))["error"]
                    assert (said["code"], "nothing was sent" in said["message"]) == (-32002, True)
                    by_key = {"session": "bar", "idempotency_key": "done"}
                    row = (await kiosk.ask(daemon.socket, "command.get", by_key))["result"]
                    assert row["command_id"] == done["command_id"]
                    assert (await kiosk.ask(daemon.socket, "event.list"))["result"]["events"]
                    assert await kiosk.rows(daemon.socket)
                    status = (await kiosk.ask(daemon.socket, "daemon.status"))["result"]["journal"]
                    assert status["error"]
                    assert len(shop.acts) == 1
                answer = await kiosk.insist(daemon.socket, "order.create", kiosk.create("new"))
                assert answer["state"] == "succeeded"
                assert len(shop.acts) == 2
                assert {row["idempotency_key"] for row in await kiosk.rows(daemon.socket)} == {"done", "new"}
            finally:
                await daemon.kill()


async def test_a_clean_stop_leaves_one_file(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        daemon = DaemonProcess(artifacts, tables(artifacts, {"bar": session(url=pos.url)}))
        try:
            await daemon.start()
            await kiosk.up(daemon.socket)
            await kiosk.insist(daemon.socket, "order.create", kiosk.create("one"))
            status = (await kiosk.ask(daemon.socket, "daemon.status"))["result"]["journal"]
            there = sum(file.stat().st_size for file in (artifacts / "state").glob("journal.sqlite3*"))
            assert (status["bytes"], status["wal_bytes"] > 0) == (there, True)
            assert await daemon.terminate() == 0
            assert sorted(file.name for file in (artifacts / "state").iterdir()) == ["journal.lock", "journal.sqlite3"]
        finally:
            await daemon.kill()
