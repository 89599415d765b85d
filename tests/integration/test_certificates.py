"""The certificates that vendors show, told by the daemon: of a websocket and of REST, each over real TLS."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import frozen
from websockets.asyncio.server import ServerConnection, serve

from ordernpay.certificates import of_peer
from ordernpay.client import connect
from ordernpay.clock import rfc3339
from ordernpay.config import ConfigError
from ordernpay.rpc.condition import session_json
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support import kiosk, toml
from tests.support.daemons import daemon_inside, session, tables
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until
from tests.vendors.peer import answering, peer

SOON = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
LATE = dt.datetime(2041, 1, 1, tzinfo=dt.UTC)
TEVALIS = {"vendor": "tevalis", "site_id": 812, "company_id": 4021, "dev_id": "d", "guid": "g", "guid2": "g"}
DOSHII = {"vendor": "doshii", "location_id": "l", "client_id": "c", "client_secret": "s"}


@frozen
class Authority:
    """Whose certificates the daemon is to trust."""

    folder: Path
    ca: trustme.CA

    @property
    def ca_file(self) -> str:
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return str(path)

    def files(self, ends: dt.datetime) -> tuple[Path, Path]:
        leaf = self.ca.issue_cert("127.0.0.1", "localhost", not_after=ends)
        certificate, key = self.folder / f"{ends.year}.pem", self.folder / f"{ends.year}.key"
        leaf.cert_chain_pems[0].write_to_path(str(certificate))
        leaf.private_key_pem.write_to_path(str(key))
        return certificate, key

    def context(self, ends: dt.datetime) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.files(ends))
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, trustme.CA())


async def told(artifacts: Path, table: dict[str, Any]) -> Any:
    """The end of its vendor's certificate, once the daemon has seen all that it shall see."""
    async with daemon_inside(tables(artifacts, {"bar": table})) as daemon:
        bar = daemon.gateway.sessions["bar"]
        return await until(lambda: session_json(bar)["state"] == "up" and session_json(bar)["certificate_expires"])


async def test_of_a_till_that_is_dialled(artifacts: Path, authority: Authority) -> None:
    certificate, key = authority.files(SOON)
    async with simulator.serve(Shop(), certificate=certificate, key=key) as pos:
        expires = await told(artifacts, session(url=pos.url, ca_file=authority.ca_file))
    assert expires == rfc3339(SOON.timestamp())


async def test_of_a_rest_vendor(artifacts: Path, authority: Authority) -> None:
    async with peer(answering(), authority.context(SOON)) as vendor:
        table = TEVALIS | {"base_url": f"https://127.0.0.1:{vendor.port}", "ca_file": authority.ca_file}
        assert await told(artifacts, table) == rfc3339(SOON.timestamp())


@contextlib.asynccontextmanager
async def socket(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def hold(link: ServerConnection) -> None:
        async for _ in link:
            await link.send("{}")

    async with serve(hold, "127.0.0.1", 0, ssl=context) as served:
        yield next(iter(served.sockets)).getsockname()[1]


async def test_of_a_vendor_with_two_hosts_the_first_to_end(artifacts: Path, authority: Authority) -> None:
    async with (
        peer(answering(), authority.context(LATE)) as vendor,
        socket(authority.context(SOON)) as port,
    ):
        urls = {"base_url": f"https://127.0.0.1:{vendor.port}", "socket_url": f"wss://localhost:{port}"}
        table = DOSHII | urls | {"ca_file": authority.ca_file}
        assert await told(artifacts, table) == rfc3339(SOON.timestamp())


# What the daemon shows itself


def own(artifacts: Path, authority: Authority, ends: dt.datetime) -> None:
    """Put a certificate and its key where the daemon reads its own."""
    for file, name in zip(authority.files(ends), ("own.pem", "own.key"), strict=True):
        file.rename(artifacts / name)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca_file)


async def shown(port: int) -> float:
    """The end of the certificate that a new caller sees."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = of_peer(writer.get_extra_info("ssl_object"))
    writer.close()
    assert certificate is not None
    return certificate.expires


async def test_our_own_is_shown_anew_by_a_reload_and_no_connection_breaks_for_it(
    artifacts: Path, authority: Authority
) -> None:
    own(artifacts, authority, SOON)
    port = free_port()
    files = {"tls_certificate": str(artifacts / "own.pem"), "tls_key": str(artifacts / "own.key")}
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port, **files))
    file = toml.write(artifacts / "ordernpay.toml", config)
    base = f"https://127.0.0.1:{port}"
    async with daemon_inside(config, file) as daemon, connect(config["rpc"]["socket"]) as client:

        async def told() -> tuple[Any, Any, float]:
            status: Any = await client.call("daemon.status")
            page = (await daemon.exposition.text()).decode()
            [line] = [one for one in page.splitlines() if one.startswith("ordernpay_certificate_shown_")]
            return status["inbound"]["certificate_expires"], status["inbound"]["error"], float(line.split()[1])

        async with simulator.dial(Shop(), base, kiosk.CREDENTIALS, tls=trusting(authority)):
            await kiosk.up(config["rpc"]["socket"])
            assert await shown(port) == SOON.timestamp()
            own(artifacts, authority, LATE)
            assert await told() == (rfc3339(SOON.timestamp()), None, SOON.timestamp())  # the one that is shown
            await daemon.reload()
            assert await shown(port) == LATE.timestamp()
            assert await told() == (rfc3339(LATE.timestamp()), None, LATE.timestamp())
            (artifacts / "own.key").write_text("half of a k")
            with pytest.raises(ConfigError, match=r"inbound\.tls_key: expected the key of tls_certificate"):
                await daemon.reload()
            assert await shown(port) == LATE.timestamp()
            expires, error, metric = await told()
            assert (expires, metric) == (rfc3339(LATE.timestamp()), LATE.timestamp())
            assert error.startswith("inbound.tls_key: ")  # with which the next start fails
            bar = daemon.gateway.sessions["bar"].status()
            assert (bar.state, bar.counters["connections"]) == ("up", 1)
