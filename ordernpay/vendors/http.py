"""HTTP to a vendor, told apart by what can have happened at the other end.

| result     | what it means                                                                                     |
|------------|---------------------------------------------------------------------------------------------------|
| `NotSent`  | certainly nothing: no address, refused, no TLS, or no byte of the request had gone at the deadline |
| `Answered` | the vendor's status, and its body                                                                 |
| `NoAnswer` | bytes went out and no whole answer came: it may have acted                                        |

A change is marked as sent when the connection stands, right before its first byte: what waits for a vendor that cannot
be reached was certainly not sent, also after a restart. What a vendor may answer is bounded, as it comes and unpacked.

An answer that comes after the deadline is not thrown away: who asked may leave word what to do with it. Each request
has a connection of its own, since one that was kept alive can be closed by the vendor at the very moment of sending,
and nobody could tell whether it had read the request.
"""

import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Final, Literal

import anyio
import anyio.abc
import httpx
from attrs import define, field, frozen

from ordernpay import __version__, crash
from ordernpay.certificates import of_peer
from ordernpay.clock import Clock
from ordernpay.jsontext import JsonValue, TooManyValues
from ordernpay.vendors.paths import inside
from ordernpay.vendors.reading import DEEPEST, MOST_NODES, TooDeep, charset_of, tolerant
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.unpacking import ACCEPTED, Unusable, apart, unpack

LATE_SECONDS: Final = 120.0
"""How long after its deadline an answer is still waited for."""

MOST_LATE: Final = 256
"""Requests of a session whose answer is waited for after their deadline; the one that waits longest is given up for
another, since each holds a connection."""

PLAUSIBLE: Final = frozenset(bytes([first]) for first in b'{["-0123456789tfn') | {b""}
"""What JSON begins with; nothing at all is an answer, too."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of an answer that is read and not kept: a menu, a catalogue."""

MOST_KEPT: Final = 1024 * 1024
"""Bytes of an answer to a change, which the journal keeps."""

MOST_SAID: Final = 256 * 1024
"""Bytes of a refusal; what is beyond them is not read."""

HEAD_PART: Final = 2048
MOST_HEAD: Final = 64 * 1024
"""Bytes of an answer before its body, with all that is said before it (1xx)."""

OURS: Final = {"User-Agent": f"ordernpay/{__version__}", "Accept-Encoding": ACCEPTED}
CONNECT_SECONDS: Final = 10.0
TRUST_SECONDS: Final = 600.0


@frozen
class Call:
    """A request to a vendor."""

    method: str
    url: str = field(validator=inside)
    headers: dict[str, str] = field(factory=dict)
    body: bytes | None = None


@frozen
class Answered:
    """The vendor's answer, whole."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def readable(self) -> bool:
        """Whether this can be the vendor's own answer: JSON, or nothing; not what something on the way says."""
        return not self.body.strip() or self._read[1] == "json"

    @property
    def dear(self) -> bool:
        """Whether it holds more values than any answer does, or nests deeper, and is not read."""
        return self._read[1] == "dear"

    @property
    def own(self) -> bool:
        """Whether an error is the vendor's own word: in JSON, as an object, or nothing but when to come back.

        A page of HTML, plain text or nothing at all is as likely that of a gateway, which may have passed the request on.
        """
        return isinstance(self.json(), dict) or (not self.body.strip() and "retry-after" in self.headers)

    @property
    def plausible(self) -> bool:
        """The same at a glance, for what nobody reads: a catalogue of megabytes is not taken apart for that."""
        return self.body.lstrip()[:1] in PLAUSIBLE

    def json(self) -> JsonValue:
        """The body as JSON; None where it is none."""
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[JsonValue, Literal["json", "dear", "none"]]:
        """The value, and what the body is."""
        try:
            return tolerant(self.body, charset_of(self.headers.get("content-type", ""))), "json"
        except (TooManyValues, TooDeep, RecursionError):
            return None, "dear"
        except ValueError:
            return None, "none"


@frozen
class NotSent:
    """Nothing reached the vendor. `hurried`: since its caller's time was over, which says nothing of the vendor."""

    why: str
    hurried: bool = field(default=False, eq=False)


@frozen
class NoAnswer:
    """The request may have reached the vendor. `final`: asked again it would answer the same, which we do not take."""

    why: str
    final: bool = field(default=False, eq=False)


Result = Answered | NotSent | NoAnswer

Mark = Callable[[], Awaitable[None]]
"""Writes down that a request is about to go out; durable when it returns."""


@define(eq=False)
class _Flight:
    done: anyio.Event = field(factory=anyio.Event)
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    sent: bool = False
    written: bool = False
    stream: anyio.abc.AsyncResource | None = None
    result: Result | None = None
    broke: Exception | None = None
    headed: bool = False
    head: int = 0


class Http:
    """Requests of one session; `run` owns those that go on after their caller gave up.

    Args:
        clock: for deadlines.
        tls: what the session brings along for TLS.
        carried: told of what each request proves itself with, which its answer may repeat.
        most_bytes: of an answer, as it comes and unpacked.
    """

    def __init__(
        self,
        clock: Clock,
        tls: ClientTls | None = None,
        *,
        carried: Callable[[str], None] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._clock = clock
        self._client_tls = tls or ClientTls()
        self._carried = carried
        self._most_bytes = most_bytes
        self._tasks: anyio.abc.TaskGroup | None = None
        self._tls: tuple[ssl.SSLContext, float] | None = None
        self._expiries: dict[str, float] = {}
        self._abandoned: dict[_Flight, None] = {}

    @property
    def certificate_expires(self) -> float | None:
        """Of the certificates last seen, one for each host, the first to end; None where none was."""
        return min(self._expiries.values(), default=None)

    def seen(self, host: str, connection: object) -> None:
        """Note whose certificate the other end of a connection has shown."""
        certificate = of_peer(connection)
        if certificate is not None:
            self._expiries[host] = certificate.expires

    async def run(self) -> None:
        """Own the requests, until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def send(
        self,
        call: Call,
        deadline: float,
        late: Callable[[Answered], None] | None = None,
        sending: Mark | None = None,
    ) -> Result:
        """Make a request.

        Args:
            call: what to send.
            deadline: on the clock; no byte goes out after it.
            late: told of an answer that comes after it.
            sending: of a change: awaited when the connection stands, before the first byte goes out; where it raises,
                nothing does.
        """
        if self._tasks is None:
            return NotSent("the session is closed")
        if deadline <= self._clock.now():
            return NotSent("no time left", hurried=True)
        if self._carried is not None and "Authorization" in call.headers:
            self._carried(call.headers["Authorization"])
        flight = _Flight()
        self._tasks.start_soon(self._fly, call, flight, late, sending)
        try:
            with anyio.move_on_after(deadline - self._clock.now()):
                await flight.done.wait()
        finally:
            if flight.result is None:
                await self._leave(flight, late)
        if flight.broke is not None:
            raise flight.broke
        return flight.result or NoAnswer("no answer in time")

    async def _leave(self, flight: _Flight, late: Callable[[Answered], None] | None) -> None:
        """Nobody waits any more: only a request that is out whole may go on, and only for its late answer."""
        if late is not None and flight.written:
            flight.scope.deadline = anyio.current_time() + LATE_SECONDS
            self._abandoned[flight] = None
            if len(self._abandoned) > MOST_LATE:
                oldest = next(iter(self._abandoned))
                del self._abandoned[oldest]
                oldest.scope.cancel()
            return
        flight.scope.cancel()
        with anyio.CancelScope(shield=True):
            await flight.done.wait()

    async def _fly(
        self, call: Call, flight: _Flight, late: Callable[[Answered], None] | None, sending: Mark | None
    ) -> None:
        try:
            with flight.scope:
                flight.result = await self._request(call, flight, sending)
        except Exception as error:  # noqa: BLE001 - it is the sender's: the journal's, above all
            flight.broke = error
        finally:
            if flight.result is None:
                nothing = NotSent("no connection in time", hurried=True)
                flight.result = NoAnswer("no answer in time") if flight.sent else nothing
            flight.done.set()
            abandoned = flight in self._abandoned
            self._abandoned.pop(flight, None)
        if abandoned and late is not None and isinstance(flight.result, Answered):
            late(flight.result)

    async def _request(self, call: Call, flight: _Flight, sending: Mark | None) -> Result:
        async def trace(event: str, info: Mapping[str, Any]) -> None:
            if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
                flight.stream = flight.stream or info["return_value"]
                _sip(info["return_value"], flight)
            elif event.endswith("receive_response_headers.complete"):
                flight.headed = True
            elif event.endswith("send_request_headers.started"):
                if sending is not None:
                    await _marked(sending, flight)
                flight.sent = True
            elif event.endswith("send_request_body.complete"):
                flight.written = True
                crash.point("written")

        unsendable = _unsendable(call)
        if unsendable is not None:
            return NotSent(unsendable)
        most = min(self._most_bytes, MOST_BYTES if sending is None else MOST_KEPT)
        try:
            tls = self._trust() if call.url.startswith("https:") else False
            limits = httpx.Limits(max_keepalive_connections=0)
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            async with httpx.AsyncClient(verify=tls, trust_env=False, limits=limits, timeout=timeout) as client:
                request = client.build_request(call.method, call.url, headers=OURS | call.headers, content=call.body)
                request.extensions["trace"] = trace
                response = await client.send(request, stream=True)
                self.seen(request.url.host, response.extensions["network_stream"].get_extra_info("ssl_object"))
                return await self._read(response, most)
        except Unusable as error:
            return NoAnswer(str(error), final=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            sent = flight.sent and sending is not None
            why = self._client_tls.reason(error, secure=call.url.startswith("https:"), sent=sent)
            return NoAnswer(why) if flight.sent else NotSent(why)
        finally:
            await _close(flight.stream)

    def _trust(self) -> ssl.SSLContext:
        """Whom to trust, read anew now and then, since authorities change while a daemon lives."""
        if self._tls is None or self._clock.now() - self._tls[1] > TRUST_SECONDS:
            self._tls = self._client_tls.context(), self._clock.now()
        return self._tls[0]

    async def _read(self, response: httpx.Response, most: int) -> Result:
        """Take an answer; of a refusal as much as there is, since it stays one however it breaks off."""
        status, refused = response.status_code, not response.is_success
        headers = {name.lower(): value for name, value in response.headers.items()}
        body, broke = bytearray(), NoAnswer("")
        try:
            packed = response.headers.get("content-encoding", "")
            await unpack(response.aiter_raw(), packed, body, min(most, MOST_SAID) if refused else most)
        except Unusable as error:
            broke = NoAnswer(f"{error} (HTTP {status})", final=True)
        except httpx.HTTPError as error:
            broke = NoAnswer(f"the answer broke off: {self._client_tls.reason(error, secure=True, sent=True)}")
        finally:
            await response.aclose()
        if broke.why and not refused:
            return broke
        answer = Answered(status, bytes(body[:most]), headers)
        if answer.plausible:
            await apart(answer.body, answer.json)
            if answer.dear and not refused:
                why = f"an answer of more than {MOST_NODES} values, or {DEEPEST} deep (HTTP {status})"
                return NoAnswer(why, final=True)
        return answer


def _sip(stream: Any, flight: _Flight) -> None:
    """Have the head of an answer read in parts and to a bound: 64 kB of `100 Continue` hold the loop, and have no end."""
    whole = stream.read

    async def read(max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's own
        if flight.headed:
            data: bytes = await whole(max_bytes, timeout)
            return data
        data = await whole(min(max_bytes, HEAD_PART), timeout)
        flight.head += len(data)
        if flight.head > MOST_HEAD:
            raise Unusable(f"a head of more than {MOST_HEAD} bytes")
        return data

    stream.read = read


async def _marked(sending: Mark, flight: _Flight) -> None:
    try:
        await sending()
    except Exception as error:  # whatever httpx would make of it, it is the sender's
        flight.broke = error
        raise


async def _close(stream: anyio.abc.AsyncResource | None) -> None:
    """Close a connection for good: httpcore forgets one whose TLS handshake is cancelled."""
    if stream is not None:
        with anyio.CancelScope(shield=True), contextlib.suppress(OSError, anyio.ClosedResourceError):
            await stream.aclose()


def _unsendable(call: Call) -> str | None:
    for name, value in call.headers.items():
        if not value.isascii() or not value.isprintable() or value != value.strip():
            return f"the header {name} has characters that no header can have"
    return None
