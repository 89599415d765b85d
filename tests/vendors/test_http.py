"""What can have happened at the other end is told apart, and nothing goes out once its time is over."""

import asyncio
import gzip
import socket
import ssl
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
import trustme
from attrs import evolve

from ordernpay import __version__
from ordernpay.clock import SystemClock
from ordernpay.vendors import http as module
from ordernpay.vendors import unpacking
from ordernpay.vendors.http import Answered, Call, Http, NoAnswer, NotSent, Result
from ordernpay.vendors.reading import MOST_NODES
from ordernpay.vendors.tls import ClientTls
from tests.support.wait import until
from tests.vendors.given import HandClock, in_time, serving
from tests.vendors.peer import Peer, answer, answering, peer, reset

POST = Call("POST", "", {"Content-Type": "application/json"}, b'{"a":1}')


async def ask(url: str, call: Call = POST, *, seconds: float = 20.0, http: Http | None = None, **more: Any) -> Result:
    """One request, over a client of its own."""
    client = http or Http(SystemClock(), **more)
    async with serving(client.run):
        await until(lambda: client._tasks is not None)
        return await client.send(evolve(call, url=url), in_time(seconds))


def why(result: Result, kind: type[NotSent | NoAnswer]) -> str:
    assert type(result) is kind, result
    return result.why


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


# What a request carries


async def test_what_a_request_proves_itself_with_is_told_before_it_is_sent() -> None:
    carried: list[str] = []
    async with peer(answering(200, b"{}")) as there:
        await ask(there.url, carried=carried.append)
        assert carried == []
        await ask(there.url, evolve(POST, headers={"Authorization": "Bearer t"}), carried=carried.append)
    assert carried == ["Bearer t"]


# Certainly not sent


async def test_a_refused_connection_has_sent_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await ask(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert why(result, NotSent).startswith("ConnectError")


async def test_a_name_that_nobody_knows_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert why(await ask("http://pos.invalid/"), NotSent) == "ConnectError: Name or service not known"


async def test_a_certificate_of_a_stranger_is_refused_before_a_byte_of_the_request(authority: trustme.CA) -> None:
    async with peer(answering(), tls(authority)) as vendor:
        result = await ask(vendor.url.replace("http:", "https:"))
        assert vendor.requests == []
    assert why(result, NotSent).startswith("TLS certificate not accepted: ")


async def test_a_certificate_for_another_host_is_refused(authority: trustme.CA, ca_file: str) -> None:
    async with peer(answering(), tls(authority, "other.example")) as vendor:
        result = await ask(vendor.url.replace("http:", "https:"), tls=ClientTls(ca_file))
        assert vendor.requests == []
    assert why(result, NotSent).startswith("TLS certificate not accepted: ")


async def test_of_the_certificates_last_seen_the_first_to_end_is_told(authority: trustme.CA, ca_file: str) -> None:
    soon, late = datetime(2040, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
    http = Http(SystemClock(), ClientTls(ca_file))
    for host, ends in (("127.0.0.1", late), ("localhost", soon), ("localhost", late)):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(host, not_after=ends).configure_cert(context)
        async with peer(answering(), context) as vendor:
            await ask(vendor.url.replace("http:", "https:").replace("127.0.0.1", host), http=http)
        assert http.certificate_expires == ends.timestamp()


async def test_without_tls_no_certificate_is_told() -> None:
    http = Http(SystemClock())
    async with peer(answering()) as vendor:
        await ask(vendor.url, http=http)
    assert http.certificate_expires is None


async def test_no_tls_at_all_has_sent_nothing() -> None:
    async def plain(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(plain) as vendor:
        assert isinstance(await ask(vendor.url.replace("http:", "https:")), NotSent)


async def test_a_reset_before_the_headers_has_sent_nothing() -> None:
    async def cut(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer)

    async with peer(cut) as vendor:
        assert isinstance(await ask(vendor.url.replace("http:", "https:")), NotSent)
        assert vendor.connections == 1


async def test_an_address_that_is_none_has_sent_nothing() -> None:
    assert why(await ask("http://[::1"), NotSent) == "InvalidURL"
    assert why(await ask("ftp://127.0.0.1/"), NotSent) == "UnsupportedProtocol"


@pytest.mark.parametrize("value", ["ü", "a\r\nX: y", " a", "a ", "\x7f"])
async def test_a_header_that_cannot_be_sent_harms_nothing_else(value: str) -> None:
    async with peer(answering()) as vendor:
        result = await ask(vendor.url, evolve(POST, headers={"DevID": value}))
        assert vendor.connections == 0
    assert why(result, NotSent) == "the header DevID has characters that no header can have"


async def test_a_session_that_is_closed_sends_nothing() -> None:
    http = Http(SystemClock())
    assert await http.send(POST, in_time()) == NotSent("the session is closed")


async def test_a_deadline_that_is_over_opens_no_connection() -> None:
    async with peer(answering()) as vendor:
        assert await ask(vendor.url, seconds=0) == NotSent("no time left")
        assert vendor.connections == 0


@pytest.mark.parametrize("patient", [True, False])
async def test_a_request_not_sent_by_its_deadline_is_never_sent_afterwards(
    patient: bool,  # noqa: FBT001 - a case
    authority: trustme.CA,
    ca_file: str,
) -> None:
    """The handshake stands still until the deadline is over; then the vendor would be ready, and hears nothing."""
    go, ended, context, plain = asyncio.Event(), asyncio.Event(), tls(authority), bytearray()

    async def slow(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        try:
            await writer.start_tls(context)
            plain.extend(await reader.read())
        finally:
            ended.set()

    late: list[Answered] = []
    async with peer(slow) as vendor:
        http = Http(SystemClock(), ClientTls(ca_file))
        async with serving(http.run):
            await until(lambda: http._tasks is not None)
            call = evolve(POST, url=vendor.url.replace("http:", "https:"))
            result = await http.send(call, in_time(1.5), late.append if patient else None)
            assert vendor.connections == 1
            go.set()
            await asyncio.wait_for(ended.wait(), 10)
    assert result == NotSent("no connection in time")
    assert not plain
    assert late == []


# Sent, and not answered


async def test_a_reset_after_the_request_is_no_answer() -> None:
    async def cut(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        reset(writer)

    async with peer(cut) as vendor:
        assert isinstance(await ask(vendor.url), NoAnswer)
        assert len(vendor.requests) == 1


async def test_a_reset_at_once_may_have_taken_the_request_with_it() -> None:
    async def cut(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with peer(cut) as vendor:
        assert isinstance(await ask(vendor.url), NoAnswer)


async def test_a_close_after_the_request_is_no_answer() -> None:
    async def close(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)

    async with peer(close) as vendor:
        assert "hung up without a word" in why(await ask(vendor.url), NoAnswer)


async def test_junk_for_an_answer_is_no_answer() -> None:
    async def junk(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    async with peer(junk) as vendor:
        assert isinstance(await ask(vendor.url), NoAnswer)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_half_an_answer_that_would_be_good_is_no_answer(status: int) -> None:
    body = b'{"UID":' if status != 204 else b""
    handle = answering(status, body, length=1_000 if status != 204 else 0)
    async with peer(handle) as vendor:
        result = await ask(vendor.url)
    if status == 204:
        assert result == Answered(204, b"", {"content-length": "0"})
    else:
        assert why(result, NoAnswer).startswith("the answer broke off: RemoteProtocolError")


@pytest.mark.parametrize("status", [300, 400, 401, 409, 500, 503])
async def test_half_an_answer_that_refuses_is_the_refusal(status: int) -> None:
    async with peer(answering(status, b'{"message":', length=1_000)) as vendor:
        result = await ask(vendor.url)
    assert isinstance(result, Answered)
    assert (result.status, result.body, result.json(), result.ok) == (status, b'{"message":', None, False)


async def test_an_answer_that_cannot_be_unpacked_is_no_answer() -> None:
    async with peer(answering(200, b"no gzip", Content_Encoding="gzip")) as vendor:
        assert isinstance(await ask(vendor.url), NoAnswer)


@pytest.mark.parametrize(("size", "fits"), [(64, True), (65, False)])
async def test_the_size_of_an_answer_has_a_bound(size: int, fits: bool) -> None:  # noqa: FBT001 - a case
    body = b'"' + b"a" * (size - 2) + b'"'
    async with peer(answering(200, body)) as vendor:
        result = await ask(vendor.url, most_bytes=64)
    if fits:
        assert isinstance(result, Answered)
        assert result.body == body
    else:
        assert why(result, NoAnswer) == "an answer of more than 64 bytes (HTTP 200)"


async def test_the_bound_holds_for_what_is_unpacked() -> None:
    async with peer(answering(200, gzip.compress(b"0" * 10_000), Content_Encoding="gzip")) as vendor:
        assert why(await ask(vendor.url, most_bytes=1_000), NoAnswer) == "an answer of more than 1000 bytes (HTTP 200)"


async def test_an_answer_to_a_change_has_a_bound_of_its_own_since_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mark() -> None:
        """Nothing to write down."""

    monkeypatch.setattr(module, "MOST_KEPT", 64)
    async with peer(answering(200, b'"' + b"a" * 64 + b'"')) as vendor:
        assert isinstance(await ask(vendor.url), Answered)
        http = Http(SystemClock())
        async with serving(http.run):
            await until(lambda: http._tasks is not None)
            result = await http.send(evolve(POST, url=vendor.url), in_time(), sending=mark)
    assert why(result, NoAnswer) == "an answer of more than 64 bytes (HTTP 200)"
    assert isinstance(result, NoAnswer)
    assert result.final


def _bomb(layers: int) -> bytes:
    body = b"\0" * (1 << 22)
    for _ in range(layers):
        body = gzip.compress(body, 9)
    return body


@pytest.mark.parametrize(
    ("body", "encoding", "what"),
    [
        (_bomb(1), "gzip", "more than 1048576 bytes"),
        (_bomb(2), "gzip, gzip", "not asked for"),
        (_bomb(2), "gzip,identity,x-gzip", "not asked for"),
        (b"x", "br", "not asked for"),
        (b"x", "zstd", "not asked for"),
        (gzip.compress(b"") * 100, "gzip", "more than 64 members"),
        (gzip.compress(b'{"a": 1}')[:-9], "gzip", "broke off"),
        (b"no gzip", "gzip", "not packed as it says"),
    ],
    ids=["bomb", "two layers", "three names", "brotli", "zstandard", "members", "cut", "plain"],
)
async def test_what_is_packed_otherwise_than_asked_or_too_large_is_not_taken(
    body: bytes, encoding: str, what: str
) -> None:
    async with peer(answering(200, body, Content_Encoding=encoding)) as vendor:
        result = await ask(vendor.url, most_bytes=1 << 20)
    assert what in why(result, NoAnswer)
    assert isinstance(result, NoAnswer)
    assert result.final


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP, identity", "deflate", "raw deflate"])
async def test_what_is_packed_as_asked_is_unpacked(encoding: str) -> None:
    body = b'{"a": "' + b"x" * 700_000 + b'"}'
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = gzip.compress(body[:9]) + gzip.compress(body[9:]) + b"\0"
    packed = {"deflate": zlib.compress(body), "raw deflate": raw.compress(body) + raw.flush()}.get(encoding, packed)
    async with peer(answering(200, packed, Content_Encoding=encoding.removeprefix("raw "))) as vendor:
        result = await ask(vendor.url)
    assert isinstance(result, Answered)
    assert result.json() == {"a": "x" * 700_000}


async def test_an_answer_in_too_many_pieces_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crumbs(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 500)
        await reader.read()

    monkeypatch.setattr(unpacking, "MOST_PIECES", 100)
    async with peer(crumbs) as vendor:
        assert why(await ask(vendor.url), NoAnswer) == "an answer in more than 100 pieces (HTTP 200)"


@pytest.mark.parametrize("body", [b"[" + b"[]," * MOST_NODES + b"1]", b"[" * 90 + b"]" * 90, b"[" * 90_000], ids=len)
async def test_an_answer_of_too_many_values_or_too_deep_is_not_taken(body: bytes) -> None:
    async with peer(answering(200, body)) as vendor:
        result = await ask(vendor.url)
    assert "more than 250000 values" in why(result, NoAnswer)
    assert isinstance(result, NoAnswer)
    assert result.final


@pytest.mark.parametrize("secure", [False, True])
async def test_an_endless_head_has_an_end_and_holds_nobody_up(
    secure: bool,  # noqa: FBT001 - a case
    authority: trustme.CA,
    ca_file: str,
) -> None:
    async def go_on(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)
            await writer.drain()

    async with peer(go_on, tls(authority) if secure else None) as vendor:
        url = vendor.url.replace("http:", "https:") if secure else vendor.url
        result = await asyncio.wait_for(ask(url, seconds=60, tls=ClientTls(ca_file)), 50)
    assert why(result, NoAnswer) == "a head of more than 65536 bytes"
    assert isinstance(result, NoAnswer)
    assert result.final


async def test_a_request_says_who_asks_and_what_packing_it_takes() -> None:
    async with peer(answering()) as vendor:
        await ask(vendor.url)
        [request] = vendor.requests
    assert f"user-agent: ordernpay/{__version__}\r\n".encode() in request.lower()
    assert b"accept-encoding: gzip, deflate\r\n" in request.lower()


@pytest.mark.parametrize(
    "path", ["/a/../b", "/..", "/a/%2e%2E/b", "/a/.", "/a%2f..%2fb", "/a/%252e%252e/b", "/a\\..\\b"]
)
def test_a_path_that_climbs_is_no_request(path: str) -> None:
    with pytest.raises(ValueError, match="dots"):
        Call("GET", f"http://127.0.0.1:1{path}")
    Call("GET", "http://127.0.0.1:1/a/..b/.c/d...?x=/../")


# Marked as sent


async def test_a_change_is_marked_when_the_connection_stands_and_before_its_first_byte() -> None:
    marked = asyncio.Event()
    go = asyncio.Event()

    async def mark() -> None:
        marked.set()
        await go.wait()

    heard: list[bytes] = []

    async def listens(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await served.request(reader))
        writer.write(answer(200, b"{}"))

    http = Http(SystemClock())
    async with peer(listens) as vendor, serving(http.run), asyncio.TaskGroup() as tasks:
        await until(lambda: http._tasks is not None)
        sent = tasks.create_task(http.send(evolve(POST, url=vendor.url), in_time(), sending=mark))
        await asyncio.wait_for(marked.wait(), 10)
        await until(lambda: vendor.connections == 1)
        assert heard == []
        go.set()
        assert isinstance(await sent, Answered)
        assert len(heard) == 1


async def test_what_cannot_be_reached_is_not_marked() -> None:
    marks: list[int] = []

    async def mark() -> None:
        marks.append(1)

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        http = Http(SystemClock())
        async with serving(http.run):
            await until(lambda: http._tasks is not None)
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            assert isinstance(await http.send(evolve(POST, url=url), in_time(), sending=mark), NotSent)
    assert marks == []


async def test_where_the_mark_cannot_be_made_nothing_goes_out_and_its_error_is_the_callers() -> None:
    async def mark() -> None:
        raise OSError(28, "No space left on device")

    heard: list[bytes] = []

    async def listens(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    http = Http(SystemClock())
    async with peer(listens) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        with pytest.raises(OSError, match="No space"):
            await http.send(evolve(POST, url=vendor.url), in_time(), sending=mark)
        await until(lambda: heard)
    assert heard == [b""]


async def test_a_deadline_that_passes_while_the_mark_is_made_lets_nothing_out() -> None:
    async def mark() -> None:
        await asyncio.sleep(3600)

    heard: list[bytes] = []

    async def listens(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    http = Http(SystemClock())
    async with peer(listens) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        result = await http.send(evolve(POST, url=vendor.url), in_time(0.5), sending=mark)
        await until(lambda: heard)
    assert result == NotSent("no connection in time")
    assert heard == [b""]


async def test_a_refusal_stays_one_however_long_it_is() -> None:
    async with peer(answering(400, b"a" * 1_000)) as vendor:
        result = await ask(vendor.url, most_bytes=64)
    assert isinstance(result, Answered)
    assert result.status == 400
    assert len(result.body) <= 64


async def test_a_session_that_closes_leaves_no_request_unanswered() -> None:
    async def silent(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await reader.read()

    results: list[Result] = []
    http = Http(SystemClock())
    async with peer(silent) as vendor, anyio.create_task_group() as tasks:

        async def send() -> None:
            results.append(await http.send(evolve(POST, url=vendor.url), in_time()))

        async with serving(http.run):
            await until(lambda: http._tasks is not None)
            tasks.start_soon(send)
            await until(lambda: vendor.requests)
    assert results == [NoAnswer("no answer in time")]


# Answered too late


@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_after_the_deadline_is_handed_to_late(status: int) -> None:
    go = asyncio.Event()

    async def slow(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await go.wait()
        writer.write(answer(status, b'{"late":true}'))

    late: list[Answered] = []
    http = Http(SystemClock())
    async with peer(slow) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        result = await http.send(evolve(POST, url=vendor.url), in_time(1.0), late.append)
        assert result == NoAnswer("no answer in time")
        assert late == []
        go.set()
        await until(lambda: late)
        assert len(vendor.requests) == 1
    assert [(told.status, told.json()) for told in late] == [(status, {"late": True})]


async def test_half_an_answer_after_the_deadline_is_none() -> None:
    go, gone = asyncio.Event(), asyncio.Event()

    async def slow(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await go.wait()
        writer.write(answer(200, b"{", length=2))
        writer.write_eof()
        await reader.read()
        gone.set()

    late: list[Answered] = []
    http = Http(SystemClock())
    async with peer(slow) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        assert isinstance(await http.send(evolve(POST, url=vendor.url), in_time(1.0), late.append), NoAnswer)
        go.set()
        await asyncio.wait_for(gone.wait(), 10)
        assert late == []


async def test_an_answer_in_time_is_not_told_twice() -> None:
    late: list[Answered] = []
    http = Http(SystemClock())
    async with peer(answering()) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        result = await http.send(evolve(POST, url=vendor.url), in_time(), late.append)
    assert isinstance(result, Answered)
    assert late == []


async def test_a_late_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.2)
    closed = asyncio.Event()

    async def silent(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await reader.read()
        closed.set()

    late: list[Answered] = []
    http = Http(SystemClock())
    async with peer(silent) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        await http.send(evolve(POST, url=vendor.url), in_time(1.0), late.append)
        await asyncio.wait_for(closed.wait(), 10)
    assert late == []


async def test_only_so_many_late_answers_are_waited_for_at_once_and_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LATE", 2)
    go, closed = asyncio.Event(), []

    async def slow(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = (await served.request(reader))[-1:]
        going, ending = asyncio.create_task(go.wait()), asyncio.create_task(reader.read())
        await asyncio.wait({going, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not go.is_set():
            closed.append(number)
        writer.write(answer(200, number))
        going.cancel()
        ending.cancel()

    late: list[Answered] = []
    http = Http(SystemClock())
    async with peer(slow) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        calls = [evolve(POST, url=vendor.url, body=str(number).encode()) for number in range(5)]
        for call in calls[:2]:
            assert await http.send(call, in_time(1.0), late.append) == NoAnswer("no answer in time")
        await asyncio.gather(*(http.send(call, in_time(1.0), late.append) for call in calls[2:]))
        await until(lambda: len(closed) == 3)
        go.set()
        await until(lambda: len(late) == 2)
    assert {b"0", b"1"} < set(closed)


async def test_where_nobody_wants_a_late_answer_the_connection_ends_with_the_deadline() -> None:
    closed = asyncio.Event()

    async def silent(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await reader.read()
        closed.set()

    http = Http(SystemClock())
    async with peer(silent) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        assert await http.send(evolve(POST, url=vendor.url), in_time(1.0)) == NoAnswer("no answer in time")
        await asyncio.wait_for(closed.wait(), 10)


async def test_a_request_half_out_at_its_deadline_never_becomes_whole() -> None:
    go, size, came = asyncio.Event(), 32 * 1024 * 1024, bytearray()
    ended = asyncio.Event()

    async def deaf(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        try:
            while part := await reader.read(1_000_000):
                came.extend(part)
        finally:
            ended.set()

    http = Http(SystemClock())
    late: list[Answered] = []
    async with peer(deaf) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        call = Call("POST", vendor.url, {}, b"x" * size)
        assert await http.send(call, in_time(1.0), late.append) == NoAnswer("no answer in time")
        go.set()
        await asyncio.wait_for(ended.wait(), 20)
    assert len(came) < size
    assert late == []


@pytest.mark.parametrize("patient", [True, False])
async def test_a_caller_that_is_gone_leaves_a_request_behind_only_for_its_late_answer(
    patient: bool,  # noqa: FBT001 - a case
) -> None:
    go, closed = asyncio.Event(), asyncio.Event()

    async def slow(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        going = asyncio.create_task(go.wait())
        ending = asyncio.create_task(reader.read())
        await asyncio.wait({going, ending}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            closed.set()
        writer.write(answer())
        going.cancel()
        ending.cancel()

    late: list[Answered] = []
    http = Http(SystemClock())
    async with peer(slow) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        call = evolve(POST, url=vendor.url)
        sending = asyncio.create_task(http.send(call, in_time(), late.append if patient else None))
        await until(lambda: vendor.requests)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        if patient:
            go.set()
            await until(lambda: late)
        else:
            await asyncio.wait_for(closed.wait(), 10)


# Answered


async def test_an_answer_comes_whole_with_its_headers_in_lower_case() -> None:
    async with peer(answering(201, b'{"n":6.00}', Retry_After="30")) as vendor:
        result = await ask(vendor.url)
        [request] = vendor.requests
    assert isinstance(result, Answered)
    assert result.ok
    assert (result.status, result.body, result.headers["retry-after"]) == (201, b'{"n":6.00}', "30")
    assert str(result.json()) == "{'n': Decimal('6.00')}"
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in head
    assert body == POST.body


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with peer(answering(200)) as elsewhere, peer(answering(307, b"", Location=elsewhere.url)) as vendor:
        result = await ask(vendor.url)
        assert isinstance(result, Answered)
        assert (result.status, result.ok) == (307, False)
        assert (vendor.connections, elsewhere.connections) == (1, 0)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(answering(403)) as proxy, peer(answering(200)) as vendor:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        result = await ask(vendor.url)
        assert isinstance(result, Answered)
        assert (result.status, vendor.connections, proxy.connections) == (200, 1, 0)


async def test_each_request_has_a_connection_of_its_own() -> None:
    async with peer(answering()) as vendor:
        http = Http(SystemClock())
        async with serving(http.run):
            await until(lambda: http._tasks is not None)
            for _ in range(3):
                assert isinstance(await http.send(evolve(POST, url=vendor.url), in_time()), Answered)
        assert vendor.connections == 3


# Trust


async def test_an_authority_of_the_ca_file_is_trusted(authority: trustme.CA, ca_file: str) -> None:
    async with peer(answering(), tls(authority)) as vendor:
        assert isinstance(await ask(vendor.url.replace("http:", "https:"), tls=ClientTls(ca_file)), Answered)


async def test_the_systems_authorities_are_trusted_beside_the_ca_file(
    authority: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with peer(answering(), tls(authority)) as vendor:
        url = vendor.url.replace("http:", "https:")
        assert isinstance(await ask(url, tls=ClientTls(str(other))), Answered)


async def test_a_ca_file_that_is_gone_is_told_and_nothing_is_sent(authority: trustme.CA, tmp_path: Path) -> None:
    async with peer(answering(), tls(authority)) as vendor:
        result = await ask(vendor.url.replace("http:", "https:"), tls=ClientTls(str(tmp_path / "none.pem")))
        assert vendor.connections == 0
    assert "none.pem: cannot be used (No such file or directory)" in why(result, NotSent)


async def test_a_new_ca_file_counts_after_a_while(authority: trustme.CA, ca_file: str) -> None:
    clock = HandClock()
    trustme.CA().cert_pem.write_to_path(ca_file)
    http = Http(clock, ClientTls(ca_file))
    async with peer(answering(), tls(authority)) as vendor, serving(http.run):
        await until(lambda: http._tasks is not None)
        call = evolve(POST, url=vendor.url.replace("http:", "https:"))
        assert isinstance(await http.send(call, clock.now() + 20), NotSent)
        authority.cert_pem.write_to_path(ca_file)
        assert isinstance(await http.send(call, clock.now() + 20), NotSent)
        clock.monotonic += module.TRUST_SECONDS + 1
        assert isinstance(await http.send(call, clock.now() + 20), Answered)


# Reading


@pytest.mark.parametrize(
    ("body", "value"), [(b"", None), (b"<html>", None), (b"\xff", None), (b"[" * 100_000, None), (b'{"a":1}', {"a": 1})]
)
def test_a_body_that_is_no_json_reads_as_nothing(body: bytes, value: object) -> None:
    assert Answered(200, body).json() == value


def test_a_body_is_read_once() -> None:
    there = Answered(200, b'{"a": [1.50]}')
    assert there.json() is there.json()
    assert there == Answered(200, b'{"a": [1.50]}')
