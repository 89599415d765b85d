"""Two daemons on one socket or one journal: the second refuses with exit 1 and says why, the first lives on."""
# ruff: noqa: ASYNC240 - it looks at small files

from pathlib import Path
from typing import Any

import pytest

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.venues import free_port, inbound


def second(config: dict[str, Any], shared: str, folder: Path) -> dict[str, Any]:
    """Another daemon's configuration that shares one thing with the first."""
    other = tables(folder, config["sessions"])
    match shared:
        case "socket":
            other["rpc"] = config["rpc"]
        case "journal":
            other["daemon"] = config["daemon"]
        case _:
            other["inbound"] = config["inbound"]
    return other


@pytest.mark.parametrize(
    ("shared", "text"),
    [
        ("socket", "another daemon holds"),
        ("journal", "in use by another ordernpay; stop that one first"),
        ("inbound", "cannot listen on 127.0.0.1:"),
    ],
)
async def test_the_second_refuses_and_the_first_lives(shared: str, text: str, artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts / "1", {"bar": session(url=pos.url)}, inbound=inbound(free_port()))
        async with daemon_process(artifacts / "1", config) as first, kiosk.kiosk(first.socket) as loyal:
            await loyal.result("order.create", kiosk.create("before"))
            late = DaemonProcess(artifacts / "2", second(config, shared, artifacts / "2"))
            await late.start(ready=False)
            assert await late.wait() == 1
            said = late.log.read_text()
            assert text in said
            assert "Traceback" not in said
            assert len(said.strip().splitlines()) == 1

            await loyal.result("order.create", kiosk.create("after"))
            assert (await kiosk.ask(first.socket, "order.create", kiosk.create("after")))["result"]
            assert len(shop.acts) == 2
            assert pos.connections == 1


async def test_a_socket_left_behind_by_a_kill_is_taken_over(artifacts: Path) -> None:
    config = tables(artifacts, {})
    async with daemon_process(artifacts, config) as daemon:
        await daemon.kill()
        left = Path(daemon.socket)
        assert left.is_socket()
        await daemon.start()
        assert (await kiosk.ask(daemon.socket, "daemon.status"))["result"]["sessions"] == []
        assert await daemon.terminate() == 0
        assert not left.exists()


async def test_what_stands_at_the_path_and_is_no_socket_stays(artifacts: Path) -> None:
    config = tables(artifacts, {})
    Path(config["rpc"]["socket"]).write_text("somebody's notes")
    daemon = DaemonProcess(artifacts, config)
    await daemon.start(ready=False)
    assert await daemon.wait() == 1
    assert "not a socket" in daemon.log.read_text()
    assert Path(config["rpc"]["socket"]).read_text() == "somebody's notes"
