"""Each session's way to its vendor, against real servers: name, connection, TLS and time."""

import asyncio
import contextlib
import datetime as dt
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from ordernpay.cli.doctor import probing
from ordernpay.cli.doctor.findings import Finding
from ordernpay.cli.doctor.vendors import Endpoint, endpoints_of, look_at_endpoint, look_at_vendors
from ordernpay.config import addresses
from ordernpay.vendors.tls import ClientTls
from tests.cli.doctor.given import one, situation, verdicts
from tests.support.daemons import session
from tests.support.venues import listening
from tests.vendors.peer import Handle, Peer, answering, peer

NOW = dt.datetime.now(dt.UTC)
DAYS = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="The POS' own authority")


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "DEADLINE", 2.0)


def tls(authority: trustme.CA, name: str = "localhost", **times: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, common_name=name, **times).configure_cert(context)
    return context


def at(seconds: float = 0) -> str:
    """The header Date of a server whose clock is so many seconds ahead."""
    return format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds), usegmt=True)


async def look(served: Peer, ca_file: str | None = None, *, secure: bool = True) -> list[Finding]:
    return await look_at_endpoint(Endpoint("bar", "localhost", served.port, secure, ClientTls(ca_file)))


@contextlib.asynccontextmanager
async def server(context: ssl.SSLContext | None, handle: Handle | None = None) -> AsyncIterator[Peer]:
    async with peer(handle or answering(Date=at()), context) as served:
        yield served


# TLS


async def test_a_vendor_as_it_should_be(authority: trustme.CA, ca_file: str) -> None:
    async with server(tls(authority, not_after=NOW + 90 * DAYS)) as served:
        findings = await look(served, ca_file)
        [request] = served.requests
    assert [(finding.check, finding.verdict) for finding in findings] == [
        ("dns", "ok"),
        ("reach", "ok"),
        ("tls", "ok"),
        ("clock", "ok"),
    ]
    assert {finding.subject for finding in findings} == {f"bar, localhost:{served.port}"}
    assert one(findings, "tls").found.startswith("the certificate is good for 89 more days, until ")
    assert request.split(b"\r\n")[0] == b"HEAD / HTTP/1.1"


@pytest.mark.parametrize(("days", "verdict"), [(22, "ok"), (20, "doubtful"), (1, "doubtful")])
async def test_a_certificate_that_ends_soon_is_doubtful(
    authority: trustme.CA, ca_file: str, days: int, verdict: str
) -> None:
    async with server(tls(authority, not_after=NOW + days * DAYS + DAYS / 2)) as served:
        finding = one(await look(served, ca_file), "tls")
    assert (finding.verdict, finding.found.split(", ")[0]) == (verdict, f"the certificate is good for {days} more days")


async def test_a_certificate_that_has_expired_is_wrong_and_the_clock_is_still_compared(
    authority: trustme.CA, ca_file: str
) -> None:
    ended = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    context = tls(authority, not_before=ended - 90 * DAYS, not_after=ended)
    async with server(context, answering(Date=at(60))) as served:
        findings = await look(served, ca_file)
    finding = one(findings, "tls")
    assert (finding.verdict, finding.found) == ("wrong", "the certificate has expired (on 2026-01-02)")
    assert one(findings, "clock").verdict == "wrong"


async def test_a_certificate_that_is_not_valid_yet_points_to_the_clock(authority: trustme.CA, ca_file: str) -> None:
    begins = dt.datetime(2037, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    async with server(tls(authority, not_before=begins, not_after=begins + DAYS)) as served:
        finding = one(await look(served, ca_file), "tls")
    assert finding.found == "the certificate is not valid yet (it begins on 2037-01-02)"
    assert finding.remedy is not None
    assert "clock is most likely behind" in finding.remedy


async def test_a_certificate_for_another_name_is_wrong_and_says_for_which(authority: trustme.CA, ca_file: str) -> None:
    async with server(tls(authority, "elsewhere.example.net")) as served:
        finding = one(await look(served, ca_file), "tls")
    assert finding.verdict == "wrong"
    assert finding.found == (
        "the certificate is not for localhost; it is for elsewhere.example.net, by The POS' own authority"
    )


async def test_a_certificate_of_an_unknown_authority_is_wrong_and_says_whose(authority: trustme.CA) -> None:
    async with server(tls(authority)) as served:
        finding = one(await look(served), "tls")
    assert (finding.verdict, finding.found) == (
        "wrong",
        (
            "the certificate is from an authority that this machine does not know; it is for localhost, "
            "by The POS' own authority"
        ),
    )
    assert finding.remedy is not None
    assert "as ca_file" in finding.remedy


async def test_the_systems_own_store_counts(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with server(tls(authority)) as served:
        assert "wrong" not in verdicts(await look(served))


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_wrong(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    async with server(None) as served:
        finding = (await look(served, str(path)))[-1]
    assert (finding.check, finding.verdict) == ("tls", "wrong")
    assert finding.found.startswith(f"ca_file {path}: cannot be used")


async def test_a_server_without_tls_is_wrong(ca_file: str) -> None:
    async def plain(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with server(None, plain) as served:
        finding = (await look(served, ca_file))[-1]
    assert (finding.check, finding.verdict) == ("tls", "wrong")
    assert finding.found.startswith("no TLS that this machine understands (")


@pytest.mark.parametrize("closes", [True, False])
async def test_a_server_that_says_nothing_to_our_hello_is_wrong_in_time(
    monkeypatch: pytest.MonkeyPatch,
    ca_file: str,
    closes: bool,  # noqa: FBT001 - a case
) -> None:
    monkeypatch.setattr(probing, "DEADLINE", 0.3)

    async def silent(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not closes:
            await reader.read(-1)

    async with server(None, silent) as served:
        finding = (await asyncio.wait_for(look(served, ca_file), 10))[-1]
    assert (finding.check, finding.verdict) == ("tls", "wrong")
    assert finding.found == ("the connection was closed at once" if closes else "no TLS within 0.3 s")


# The clock


@pytest.mark.parametrize(
    ("seconds", "verdict", "how"),
    [
        (0, "ok", "within 5 s of this machine's"),
        (-4, "ok", "within 5 s of this machine's"),
        (-12, "doubtful", "ahead"),
        (12, "doubtful", "behind"),
        (-3600, "wrong", "ahead"),
        (90, "wrong", "behind"),
    ],
)
async def test_the_clock_is_compared_with_the_peers(seconds: int, verdict: str, how: str) -> None:
    async with server(None, answering(404, Date=at(seconds))) as served:
        finding = one(await look(served, secure=False), "clock")
    assert finding.verdict == verdict
    assert finding.found.endswith(how)
    told = re.search("clock is ([0-9]+) s", finding.found)
    assert told is None if verdict == "ok" else told is not None and abs(int(told[1]) - abs(seconds)) <= 1


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 10:00:00 GMT", "\xff"])
async def test_a_peer_that_tells_no_time_is_no_fault(date: str) -> None:
    async def told(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nDate: " + date.encode("latin-1") + b"\r\n\r\n")

    async with server(None, told) as served:
        finding = one(await look(served, secure=False), "clock")
    assert (finding.verdict, finding.found.split(",")[0]) == ("ok", "it tells no time")


async def test_a_peer_that_never_answers_http_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "DEADLINE", 0.3)

    async def deaf(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with server(None, deaf) as served:
        assert "wrong" not in verdicts(await asyncio.wait_for(look(served, secure=False), 10))


async def test_a_peer_that_floods_us_ends() -> None:
    async def flood(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with server(None, flood) as served:
        assert one(await asyncio.wait_for(look(served, secure=False), 10), "clock").verdict == "ok"


# Names and connections


async def test_a_name_that_nobody_knows_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    [finding] = await look_at_endpoint(Endpoint("bar", "pos.invalid", 443, True, ClientTls()))
    assert (finding.check, finding.verdict, finding.found) == ("dns", "wrong", "Name or service not known")
    assert finding.remedy is not None
    assert "resolvectl query pos.invalid" in finding.remedy


async def test_a_resolver_that_hangs_does_not_hold_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        hanging.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(probing, "DEADLINE", 0.2)
    [finding] = await asyncio.wait_for(look_at_endpoint(Endpoint("bar", "pos.invalid", 443, True, ClientTls())), 10)
    hanging.set()
    assert (finding.verdict, finding.found) == ("wrong", "no answer from DNS within 0.2 s")


async def test_a_closed_port_is_wrong_and_says_that_the_machine_is_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        [finding] = await look_at_endpoint(Endpoint("bar", "127.0.0.1", unused.getsockname()[1], True, ClientTls()))
    assert (finding.check, finding.verdict, finding.found) == ("reach", "wrong", "Connection refused")
    assert finding.remedy is not None
    assert finding.remedy.startswith("that machine is there")


async def test_a_machine_that_is_off_is_wrong_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(anyio, "connect_tcp", never)
    monkeypatch.setattr(probing, "DEADLINE", 0.2)
    [finding] = await asyncio.wait_for(look_at_endpoint(Endpoint("bar", "127.0.0.1", 9, True, ClientTls())), 10)
    assert (finding.verdict, finding.found) == ("wrong", "no answer within 0.2 s")
    assert finding.remedy is not None
    assert "firewall" in finding.remedy


async def test_of_several_addresses_one_that_answers_is_enough() -> None:
    async with server(None) as served:
        assert await probing.reach(["127.0.0.2", "127.0.0.1"], served.port) == "127.0.0.1"
        with pytest.raises(probing.NoWay, match="Connection refused"):
            await probing.reach(["127.0.0.2", "127.0.0.3"], served.port)


# Which addresses


def test_every_address_of_every_vendor_is_looked_at(tmp_path: Path) -> None:
    given = situation(
        tmp_path,
        {
            "bar": session(url="wss://pos.example.net/x"),
            "terrace": listening(),
            "courier": ROS,
            "hotel": TEVALIS,
            "cafe": DOSHII,
        },
    )
    assert given.config is not None, given.faults
    assert [(end.session, end.host, end.port, end.secure) for end in endpoints_of(given)] == [
        ("bar", "pos.example.net", 443, True),
        ("courier", "auth.powerepos.cloud", 443, True),
        ("hotel", "api.tevalis.com", 443, True),
        ("cafe", "sandbox.doshii.co", 8443, True),
        ("cafe", "socket.sandbox.doshii.co", 443, True),
    ]
    assert addresses(given.config.sessions["terrace"]) == {}


async def test_a_session_that_waits_has_no_address_and_says_so(tmp_path: Path) -> None:
    [finding] = await look_at_vendors(situation(tmp_path, {"terrace": listening()}))
    assert (finding.subject, finding.verdict) == ("terrace", "ok")
    assert finding.found == "waits for the POS to dial [inbound], 127.0.0.1:8710"


async def test_all_are_looked_at_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = 0
    everybody = anyio.Event()

    async def together(*_: object) -> Any:
        nonlocal waiting
        waiting += 1
        if waiting == 3:
            everybody.set()
        await everybody.wait()
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(anyio, "connect_tcp", together)
    sessions = {name: session(url=f"ws://127.0.0.{number}/") for number, name in enumerate(("a", "b", "c"), start=1)}
    findings = await look_at_vendors(situation(tmp_path, sessions))
    assert [(finding.subject, finding.found) for finding in findings] == [
        ("a, 127.0.0.1:80", "Connection refused"),
        ("b, 127.0.0.2:80", "Connection refused"),
        ("c, 127.0.0.3:80", "Connection refused"),
    ]


ROS = {
    "vendor": "ros", "organisation": "DEMOORG", "client_id": "c", "client_secret": "s",
    "outlet_id": "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02", "provider_id": 4711, "provider_name": "DemoEats",
}  # fmt: skip
TEVALIS = {
    "vendor": "tevalis", "site_id": 812, "company_id": 4021, "dev_id": "d", "guid": "g", "guid2": "g",
}  # fmt: skip
DOSHII = {
    "vendor": "doshii", "base_url": "https://sandbox.doshii.co:8443/partner/v3", "location_id": "l", "client_id": "c",
    "socket_url": "wss://socket.sandbox.doshii.co/app/socket/v3", "client_secret": "s",
}  # fmt: skip
