"""The POS over TLS, in both roles."""

import asyncio
import json
import ssl
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from ordernpay.simulator.order_n_pay import dial, serve
from ordernpay.simulator.shop import Shop
from tests.simulator.provider import CREDENTIALS, GoneError, provide
from tests.simulator.requests import frame, look_up, until

ISSUE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=pos.test"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*ISSUE.split(), *files], check=True, capture_output=True)
    return certificate, key


async def test_a_pos_that_listens(issued: tuple[Path, Path]) -> None:
    certificate, key = issued
    trust = ssl.create_default_context(cafile=certificate)
    async with serve(Shop(), certificate=certificate, key=key) as pos:
        assert pos.url.startswith("wss://")
        assert pos.base_url.startswith("https://")
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(pos.url, proxy=None)
        async with connect(pos.url, proxy=None, ssl=trust) as connection:
            await connection.send(frame(look_up("9071")))
            assert json.loads(await connection.recv())["ResultCode"] == 0
            pos.drop()
            await connection.wait_closed()
            assert connection.close_code == 1006


async def test_a_pos_that_dials(issued: tuple[Path, Path]) -> None:
    certificate, key = issued
    trust = ssl.create_default_context(cafile=certificate)
    async with provide(certificate=certificate, key=key) as provider, asyncio.timeout(10):
        async with dial(Shop(), provider.url, CREDENTIALS, reconnect_delay=0.01) as wary:
            await until(lambda: wary.failures > 0)
        async with dial(Shop(), provider.url, CREDENTIALS, tls=trust) as pos:
            peer = await provider.peers.get()
            await peer.send(look_up("9071"))
            assert json.loads(await peer.receive_text())["ResultCode"] == 0
            pos.drop()
            with pytest.raises(GoneError):
                await peer.receive_text()
