"""The HTTP door: its certificate, its key, and who answers at its port."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from ordernpay.cli.doctor import inbound
from ordernpay.cli.doctor.inbound import look_at_certificate, look_at_inbound
from ordernpay.client import connect
from ordernpay.config import Inbound
from tests.cli.doctor.conftest import Becoming
from tests.cli.doctor.given import situation, verdicts
from tests.support.daemons import daemon_inside, tables
from tests.support.venues import free_port, listening
from tests.support.venues import inbound as table
from tests.vendors.peer import Peer, answering, peer

NOW = dt.datetime.now(dt.UTC)
DAYS = dt.timedelta(days=1)


class Files:
    """A certificate and its key, as files."""

    def __init__(self, directory: Path, days: float = 90) -> None:
        self.certificate, self.key = directory / "own.pem", directory / "own.key"
        self.issue(days)

    def issue(self, days: float) -> trustme.LeafCert:
        leaf = trustme.CA().issue_cert("till.test", not_before=NOW - 400 * DAYS, not_after=NOW + days * DAYS)
        self.certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.key.chmod(0o600)
        return leaf

    @property
    def door(self) -> Inbound:
        return Inbound(tls_certificate=str(self.certificate), tls_key=str(self.key))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# Certificate and key


@pytest.mark.parametrize(("days", "verdict"), [(90, "ok"), (20.5, "doubtful"), (-1, "wrong")])
def test_the_days_that_our_own_certificate_has_left(tmp_path: Path, days: float, verdict: str) -> None:
    certificate, key = look_at_certificate(Files(tmp_path, days).door)
    assert (certificate.verdict, key.verdict) == (verdict, "ok")
    if verdict != "ok":
        assert certificate.remedy == "renew it, then `systemctl reload ordernpay`"


def test_a_key_of_another_certificate_is_wrong(files: Files) -> None:
    files.key.write_bytes(trustme.CA().issue_cert("x.test").private_key_pem.bytes())
    key = look_at_certificate(files.door)[1]
    assert (key.verdict, key.found) == ("wrong", f"is not the key of {files.certificate}")


def test_a_key_that_everybody_may_read_is_wrong(files: Files) -> None:
    files.key.chmod(0o644)
    key = look_at_certificate(files.door)[1]
    assert (key.verdict, key.remedy) == ("wrong", f"chmod 640 {files.key}")


def test_a_key_that_this_user_may_not_read_is_no_fault(open_path: Path, as_nobody: Becoming) -> None:
    files = Files(open_path)
    with as_nobody():
        certificate, key = look_at_certificate(files.door)
    assert (certificate.verdict, key.verdict, key.found) == ("ok", "doubtful", "this user may not read it")


def test_files_that_are_not_there_or_not_what_they_should_be_are_wrong(files: Files) -> None:
    files.key.write_text("no key", encoding="utf-8")
    assert verdicts(look_at_certificate(files.door)) == ["ok", "wrong"]
    files.key.unlink()
    assert look_at_certificate(files.door)[1].found == "cannot be read: No such file or directory"
    files.certificate.write_text("no certificate", encoding="utf-8")
    assert verdicts(look_at_certificate(files.door)) == ["wrong"]
    files.certificate.unlink()
    [finding] = look_at_certificate(files.door)
    assert finding.found == "cannot be used: No such file or directory"


# The port


@pytest.fixture
async def taken() -> AsyncIterator[int]:
    async with peer(answering(body=b"hello")) as other:
        yield other.port


async def test_without_a_door_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    assert await look_at_inbound(situation(tmp_path)) == []


async def test_a_session_that_waits_has_a_door_without_its_own_table(tmp_path: Path) -> None:
    given = situation(tmp_path, {"terrace": listening()})
    assert given.inbound == Inbound()


async def test_any_free_port_is_nobodys_business(tmp_path: Path) -> None:
    [finding] = await look_at_inbound(situation(tmp_path, inbound={"port": 0}))
    assert finding.verdict == "ok"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_our_daemon_at_the_port_is_known_again(artifacts: Path, host: str) -> None:
    door = table(free_port()) | {"host": host}
    async with daemon_inside(tables(artifacts, {}, inbound=door)):
        [finding] = await look_at_inbound(situation(artifacts, inbound=door))
    assert (finding.verdict, finding.found) == ("ok", "our daemon answers")


async def test_a_certificate_that_was_renewed_and_is_not_in_force_is_doubtful(artifacts: Path) -> None:
    files = Files(artifacts)
    door = table(free_port()) | {"tls_certificate": str(files.certificate), "tls_key": str(files.key)}
    config = tables(artifacts, {}, inbound=door)
    async with daemon_inside(config), connect(config["rpc"]["socket"]) as client:
        assert verdicts(await look_at_inbound(situation(artifacts, inbound=door))) == ["ok", "ok", "ok"]
        told = (await client.call("daemon.status"))["inbound"]
        assert told == {"certificate_expires": f"{(NOW + 90 * DAYS):%Y-%m-%dT%H:%M:%S.000Z}", "error": None}
        files.issue(300)
        shown, finding = (await look_at_inbound(situation(artifacts, inbound=door)))[-2:]
    assert (shown.verdict, "9" in shown.found) == ("ok", True)  # 90 days, less a moment: of the one that callers see
    assert finding.verdict == "doubtful"
    assert finding.remedy == "`systemctl reload ordernpay` brings it into force"


async def test_nobody_at_the_port_is_wrong(tmp_path: Path) -> None:
    [finding] = await look_at_inbound(situation(tmp_path, inbound=table(free_port())))
    assert (finding.verdict, finding.found) == ("wrong", "nothing answers there")


async def test_something_else_at_the_port_is_wrong_and_says_how_to_find_it(tmp_path: Path, taken: int) -> None:
    [finding] = await look_at_inbound(situation(tmp_path, inbound=table(taken)))
    assert (finding.verdict, finding.found) == ("wrong", "taken by something else: it answers HTTP 200")
    assert finding.remedy is not None
    assert f"ss -ltnp 'sport = :{taken}'" in finding.remedy


async def test_something_without_tls_at_the_port_is_wrong(files: Files, tmp_path: Path) -> None:
    async def plain(_: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(plain) as other:
        door = table(other.port) | {"tls_certificate": str(files.certificate), "tls_key": str(files.key)}
        finding = (await look_at_inbound(situation(tmp_path, inbound=door)))[-1]
    assert (finding.verdict, finding.found) == ("wrong", "taken by something that speaks no TLS, unlike our daemon")


async def test_something_with_tls_at_a_plain_port_is_wrong(files: Files, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    async with peer(answering(), context) as other:
        [finding] = await look_at_inbound(situation(tmp_path, inbound=table(other.port)))
    assert (finding.verdict, finding.found[:8]) == ("wrong", "taken by")


async def test_something_that_never_answers_is_wrong_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "SECONDS", 0.3)

    async def deaf(_: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with peer(deaf) as other:
        [finding] = await look_at_inbound(situation(tmp_path, inbound=table(other.port)))
    assert (finding.verdict, finding.found) == ("wrong", "taken by something that does not answer as our daemon does")
