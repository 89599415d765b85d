"""Every POS that dials us comes up, stays up and is served beside strangers that hold all they can.

``ORDERNPAY_TEST_SESSIONS=1000`` tries it with a thousand sessions, and asks for a machine that is not busy.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake

from ordernpay.client import connect as client_of
from ordernpay.simulator.order_n_pay import AUTH_PATH
from ordernpay.simulator.ros.notices import signature
from tests.support import planted, rest
from tests.support.daemons import DaemonProcess, daemon_process, tables
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until

SESSIONS = int(os.environ.get("ORDERNPAY_TEST_SESSIONS", "60"))
STRANGERS = 600
PATIENCE = 60 + SESSIONS * 0.3
KINDS = {
    "silent": b"",
    "half a head": b"POST /api/powerepos/v1/auth HTTP/1.1\r\nHost: x\r\nContent-Le",
    "half a hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


COURIER = {
    "vendor": "ros",
    "auth_url": "http://127.0.0.1:9/token",
    "organisation": "DEMOORG",
    "client_id": "cid-1",
    "client_secret": rest.ROS_SECRET,
    "webhook_secret": rest.ROS_WEBHOOK_SECRET,
    "outlet_id": rest.OUTLET,
    "provider_id": 4711,
    "provider_name": "DemoEats",
}


def table(number: int) -> dict[str, Any]:
    return listening() | {"provider_outlet_id": f"venue-{number}", "pos_remote_id": f"remote-{number}"}


async def stranger(port: int, said: bytes) -> None:
    """Hold a connection, and a new one whenever it is put out."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(said)
                await reader.read()
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.5)


async def come_up(number: int, port: int, context: ssl.SSLContext | None, http: httpx.AsyncClient) -> ClientConnection:
    """A POS that proves itself and dials, and tries again where it has to."""
    names = {"ProviderOutletID": f"venue-{number}", "POSRemoteID": f"remote-{number}"}
    while True:
        with contextlib.suppress(httpx.HTTPError, OSError, TimeoutError, InvalidHandshake):
            answer = await http.post(AUTH_PATH, json=names | {"AuthSecret": planted.AUTH_SECRET})
            token = answer.json()["AccessToken"]
            address = f"{'ws' if context is None else 'wss'}://127.0.0.1:{port}/?token={token}"
            return await connect(address, ssl=context, compression=None, proxy=None, open_timeout=PATIENCE)
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def beside(port: int, said: bytes) -> AsyncIterator[None]:
    strangers = [asyncio.create_task(stranger(port, said)) for _ in range(STRANGERS)]
    try:
        yield
    finally:
        for one in strangers:
            one.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


async def up(daemon: DaemonProcess) -> int:
    async with client_of(daemon.socket) as client:
        told: Any = await client.call("session.list")
    return sum(one["state"] == "up" for one in told["sessions"] if one["vendor"] == "order-n-pay")


@pytest.mark.slow
@pytest.mark.timeout(60 + 3 * PATIENCE)
@pytest.mark.parametrize(
    ("speaks", "kind"), [("plain", "silent"), ("plain", "half a head"), ("tls", "silent"), ("tls", "half a hello")]
)
async def test_all_come_up_stay_up_and_webhooks_are_heard(speaks: str, kind: str, artifacts: Path) -> None:
    port, bounds, context = free_port(), {}, None
    if speaks == "tls":
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1")
        leaf.cert_chain_pems[0].write_to_path(str(artifacts / "own.pem"))
        leaf.private_key_pem.write_to_path(str(artifacts / "own.key"))
        bounds = {"tls_certificate": str(artifacts / "own.pem"), "tls_key": str(artifacts / "own.key")}
        context = ssl.create_default_context()
        authority.configure_trust(context)
    sessions = {f"bar{number}": table(number) for number in range(SESSIONS)} | {"courier": COURIER}
    config = tables(artifacts, sessions, inbound=inbound(port, **bounds))
    base = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
    verify: Any = True if context is None else context
    async with (
        daemon_process(artifacts, config) as daemon,
        beside(port, KINDS[kind]),
        httpx.AsyncClient(base_url=base, verify=verify, trust_env=False, timeout=PATIENCE) as http,
    ):
        links = await asyncio.gather(*(come_up(number, port, context, http) for number in range(SESSIONS)))
        await until(lambda: all_up(daemon), PATIENCE)
        body = b'{"RemoteOrderID": "a", "ProviderOrderID": "b"}'
        signed = {"X-ROS-Signature": signature(body, rest.ROS_WEBHOOK_SECRET)}
        assert (await http.post("/webhooks/ros/courier", content=body, headers=signed)).status_code == 200
        await asyncio.sleep(3)  # strangers come and go, several times over
        assert await up(daemon) == SESSIONS
        await asyncio.gather(*(link.close() for link in links))


async def all_up(daemon: DaemonProcess) -> bool:
    return await up(daemon) == SESSIONS
