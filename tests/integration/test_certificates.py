"""The certificates that vendors show, told by the daemon: of a websocket and of REST, each over real TLS."""

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

from ordernpay.clock import rfc3339
from ordernpay.rpc.condition import session_json
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support.daemons import daemon_inside, session, tables
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
