"""HTTP to a vendor, told apart by what can have happened at the other end.

| result     | what it means                                                                                     |
|------------|---------------------------------------------------------------------------------------------------|
| `NotSent`  | certainly nothing: no address, refused, no TLS, or no byte of the request had gone at the deadline |
| `Answered` | the vendor's status, and its body                                                                 |
| `NoAnswer` | bytes went out and no whole answer came: it may have acted                                        |

An answer that comes after the deadline is not thrown away: who asked may leave word what to do with it. Each request
has a connection of its own, since one that was kept alive can be closed by the vendor at the very moment of sending,
and nobody could tell whether it had read the request.
"""

import contextlib
import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

import anyio
import anyio.abc
import httpx
from attrs import define, field, frozen

from ordernpay import crash
from ordernpay.certificates import of_peer
from ordernpay.clock import Clock
from ordernpay.jsontext import JsonValue
from ordernpay.vendors.reading import tolerant

LATE_SECONDS: Final = 120.0
"""How long after its deadline an answer is still waited for."""

MOST_LATE: Final = 256
"""Requests of a session whose answer is waited for after their deadline; the one that waits longest is given up for
another, since each holds a connection."""

PLAUSIBLE: Final = frozenset(bytes([first]) for first in b'{["-0123456789tfn') | {b""}
"""What JSON begins with; nothing at all is an answer, too."""

MOST_BYTES: Final = 16 * 1024 * 1024
CONNECT_SECONDS: Final = 10.0
TRUST_SECONDS: Final = 600.0


@frozen
class Call:
    """A request to a vendor."""

    method: str
    url: str
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
        return not self.body.strip() or self.body.strip() == b"null" or self.json() is not None

    @property
    def plausible(self) -> bool:
        """The same at a glance, for what nobody reads: a catalogue of megabytes is not taken apart for that."""
        return self.body.lstrip()[:1] in PLAUSIBLE

    def json(self) -> JsonValue:
        """The body as JSON; None where it is none."""
        return self._value

    @cached_property
    def _value(self) -> JsonValue:
        try:
            value: JsonValue = tolerant(self.body)
        except (ValueError, RecursionError):
            return None
        return value


@frozen
class NotSent:
    """Nothing reached the vendor. `hurried`: since its caller's time was over, which says nothing of the vendor."""

    why: str
    hurried: bool = field(default=False, eq=False)


@frozen
class NoAnswer:
    """The request may have reached the vendor."""

    why: str


Result = Answered | NotSent | NoAnswer


@define(eq=False)
class _Flight:
    done: anyio.Event = field(factory=anyio.Event)
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    sent: bool = False
    written: bool = False
    stream: anyio.abc.AsyncResource | None = None
    result: Result | None = None


class Http:
    """Requests of one session; `run` owns those that go on after their caller gave up.

    Args:
        clock: for deadlines.
        ca_file: authorities to trust beside the system's.
        carried: told of what each request proves itself with, which its answer may repeat.
        most_bytes: of an answer.
    """

    def __init__(
        self,
        clock: Clock,
        ca_file: str | None = None,
        *,
        carried: Callable[[str], None] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._clock = clock
        self._ca_file = ca_file
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

    async def send(self, call: Call, deadline: float, late: Callable[[Answered], None] | None = None) -> Result:
        """Make a request.

        Args:
            call: what to send.
            deadline: on the clock; no byte goes out after it.
            late: told of an answer that comes after it.
        """
        if self._tasks is None:
            return NotSent("the session is closed")
        if deadline <= self._clock.now():
            return NotSent("no time left", hurried=True)
        if self._carried is not None and "Authorization" in call.headers:
            self._carried(call.headers["Authorization"])
        flight = _Flight()
        self._tasks.start_soon(self._fly, call, flight, late)
        try:
            with anyio.move_on_after(deadline - self._clock.now()):
                await flight.done.wait()
        finally:
            if flight.result is None:
                await self._leave(flight, late)
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

    async def _fly(self, call: Call, flight: _Flight, late: Callable[[Answered], None] | None) -> None:
        try:
            with flight.scope:
                flight.result = await self._request(call, flight)
        finally:
            if flight.result is None:
                nothing = NotSent("no connection in time", hurried=True)
                flight.result = NoAnswer("no answer in time") if flight.sent else nothing
            flight.done.set()
            abandoned = flight in self._abandoned
            self._abandoned.pop(flight, None)
        if abandoned and late is not None and isinstance(flight.result, Answered):
            late(flight.result)

    async def _request(self, call: Call, flight: _Flight) -> Result:
        async def trace(event: str, info: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                flight.stream = info["return_value"]
            elif event.endswith("send_request_headers.started"):
                flight.sent = True
            elif event.endswith("send_request_body.complete"):
                flight.written = True
                crash.point("written")

        unsendable = _unsendable(call)
        if unsendable is not None:
            return NotSent(f"the header {unsendable} has characters that no header can have")
        try:
            tls = self._trust() if call.url.startswith("https:") else False
            limits = httpx.Limits(max_keepalive_connections=0)
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            async with httpx.AsyncClient(verify=tls, trust_env=False, limits=limits, timeout=timeout) as client:
                request = client.build_request(call.method, call.url, headers=call.headers, content=call.body)
                request.extensions["trace"] = trace
                response = await client.send(request, stream=True)
                self.seen(request.url.host, response.extensions["network_stream"].get_extra_info("ssl_object"))
                return await self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            why = reason_of(error)
            return NoAnswer(why) if flight.sent else NotSent(why)
        finally:
            await _close(flight.stream)

    def _trust(self) -> ssl.SSLContext:
        """Whom to trust, read anew now and then, since authorities change while a daemon lives."""
        if self._tls is None or self._clock.now() - self._tls[1] > TRUST_SECONDS:
            self._tls = trust(self._ca_file), self._clock.now()
        return self._tls[0]

    async def _read(self, response: httpx.Response) -> Result:
        parts, size = [], 0
        refused = response.status_code >= httpx.codes.MULTIPLE_CHOICES
        try:
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._most_bytes:
                    break
                parts.append(part)
        except httpx.HTTPError as error:
            if not refused:
                return NoAnswer(f"the answer broke off: {reason_of(error)}")
        finally:
            await response.aclose()
        if size > self._most_bytes and not refused:
            return NoAnswer(f"an answer of more than {self._most_bytes} bytes")
        return Answered(response.status_code, b"".join(parts), {k.lower(): v for k, v in response.headers.items()})


def trust(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities, and those of a file beside them; raises `OSError` where the file is of no use."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def _close(stream: anyio.abc.AsyncResource | None) -> None:
    """Close a connection for good: httpcore forgets one whose TLS handshake is cancelled."""
    if stream is not None:
        with anyio.CancelScope(shield=True), contextlib.suppress(OSError, anyio.ClosedResourceError):
            await stream.aclose()


def _unsendable(call: Call) -> str | None:
    for name, value in call.headers.items():
        if not value.isascii() or not value.isprintable() or value != value.strip():
            return name
    return None


def reason_of(error: Exception) -> str:
    """What is known of a failure without its text, which may hold an address with its query."""
    cause: BaseException = error
    while (below := cause.__cause__ or cause.__context__) is not None:
        cause = below
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS certificate not accepted: {cause.verify_message}"
    text = getattr(cause, "strerror", None)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
