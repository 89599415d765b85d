"""Accounting of the connections at the HTTP port: who holds one, for how long, and who gives way to a newcomer.

A connection is a stranger's until its peer has proved who it is. Strangers share few slots and little memory, and have
short deadlines; a connection that is proved is counted apart, and is outside all of this.

    at                              allowed
    accept                          `head_seconds` for the TLS handshake, and again for the whole head of a request
    the head is whole               `exchange_seconds` for the body, and for the answer to be taken
    a vendor handles the request    as long as it takes: nothing but a proved request is waited for
    answered                        `head_seconds` for the next head
    closing                         `linger_seconds` for what was said last to be taken
"""

import asyncio
import contextlib
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol

from attrs import define, field

STRANGERS: Final = 128
"""Slots that strangers share, each up to 100 kB, most of it for TLS. Newcomers beyond wait in the backlog of the socket.

Few, so that a thousand POS that come at once have their handshakes done in turn, and not all of them too late.
"""
ADDRESS_SHARE: Final = 4
"""An address that holds more than one in so many of the slots is the first to give way."""
DESCRIPTORS_SHARE: Final = 4
"""Strangers get no more than one in so many of the process' file descriptors."""
SILENT_GRACE: Final = 0.5
"""Seconds for which one that has said nothing does not give way to a newcomer."""
GRACE: Final = 4.0
"""Seconds for which one that has said something does not: so long a handshake and a request take over a slow line."""
BODY_BYTES: Final = 16 * 2**20
"""Memory that bodies share which prove nothing yet."""
HANDLED_BYTES: Final = 32 * 2**20
"""Memory that bodies share which are being handled."""
SITE_BITS: Final = 64
"""One subscriber has a whole IPv6 network of this length to choose addresses from."""


def counted(address: str) -> str:
    """Return what is counted for an address: itself, or its network for IPv6. Anything else is one and the same."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(IPv6Address(int(parsed) >> SITE_BITS << SITE_BITS))


def slots() -> int:
    """Return how many slots strangers get, so that descriptors are left for everybody else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return STRANGERS if soft == resource.RLIM_INFINITY else max(4, min(STRANGERS, soft // DESCRIPTORS_SHARE))


class Abortable(Protocol):
    """The transport below TLS and HTTP."""

    def abort(self) -> None:
        """Close at once, whatever waits to be written."""
        ...


@define(eq=False)
class Connection:
    """One accepted connection.

    Attributes:
        address: what is counted for its peer, see `counted`.
        deadline: on the loop's clock: when a stranger is hung up on.
        since: on the loop's clock: when it came, or was a stranger's again.
        heard: something has come from it that is not answered yet.
        transport: the way to hang up; None until it was made.
        proofs: what holds it outside of what strangers share: a link, or a request that is being handled.
        body: bytes of a body that it has us hold.
        gone: nothing of it is counted any more.
    """

    address: str
    deadline: float
    since: float = 0.0
    heard: bool = False
    transport: Abortable | None = None
    proofs: int = 0
    body: int = 0
    gone: bool = False

    def made(self, transport: Abortable) -> None:
        """Take the transport, or hang up on it where the connection is gone by now."""
        self.transport = transport
        if self.gone:
            transport.abort()

    def hang_up(self) -> None:
        """Close it at once."""
        if self.transport is not None:
            self.transport.abort()


@define(eq=False)
class Connections:
    """All connections of one port.

    Attributes:
        now: the loop's clock.
        most: slots for strangers.
        head_seconds, exchange_seconds, linger_seconds: a stranger's deadlines, see above.
        put_out: strangers that were hung up on, by reason.
    """

    now: Callable[[], float]
    most: int = field(factory=slots)
    head_seconds: float = 10.0
    exchange_seconds: float = 10.0
    linger_seconds: float = 2.0
    accepted: int = 0
    put_out: dict[str, int] = field(factory=lambda: {"newcomer": 0, "deadline": 0, "memory": 0})
    _strangers: dict[Connection, None] = field(factory=dict)
    _by_address: Counter[str] = field(factory=Counter)
    _proved: set[Connection] = field(factory=set)
    _body_bytes: int = 0
    _handled_bytes: int = 0
    _freed: asyncio.Event = field(factory=asyncio.Event)

    @property
    def strangers(self) -> int:
        """Connections whose peer has proved nothing."""
        return len(self._strangers)

    @property
    def proved(self) -> int:
        """Connections outside of what strangers share."""
        return len(self._proved)

    async def room(self) -> None:
        """Wait for a slot for a newcomer; where all are taken, the first that has had its time gives way."""
        while len(self._strangers) >= self.most:
            oldest = self._oldest()
            if oldest is not None:
                self._hang_up(oldest, "newcomer")
                continue
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENT_GRACE / 4):
                    await self._freed.wait()

    def add(self, address: str) -> Connection:
        """Take a new connection."""
        self.accepted += 1
        connection = Connection(counted(address), self.now() + self.head_seconds)
        self._enter(connection)
        return connection

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.release(connection)
        self._leave(connection)
        self._proved.discard(connection)
        connection.gone = True

    def allow(self, connection: Connection, seconds: float) -> None:
        """Set the deadline of a stranger."""
        connection.deadline = self.now() + seconds

    def make_room(self) -> None:
        """Hang up on the oldest stranger, where there is any."""
        if self._strangers:
            self._hang_up(next(iter(self._strangers)), "newcomer")

    def _oldest(self) -> Connection | None:
        """The first that has had its time, the silent ones before the others, of greedy addresses where there are any."""
        greedy = {address for address, count in self._by_address.items() if count * ADDRESS_SHARE > self.most}
        now, talking = self.now(), None
        for one in self._strangers:
            if greedy and one.address not in greedy:
                continue
            if not one.heard and now - one.since >= SILENT_GRACE:
                return one
            if talking is None and one.heard and now - one.since >= GRACE:
                talking = one
        return talking

    def expire(self) -> None:
        """Hang up on every stranger whose time is over."""
        now = self.now()
        for connection in [one for one in self._strangers if one.deadline <= now]:
            self._hang_up(connection, "deadline")

    def prove(self, connection: Connection) -> None:
        """Take a connection out of what strangers share, until as many calls of `unprove`."""
        connection.proofs += 1
        self._leave(connection)
        if not connection.gone:
            self._proved.add(connection)

    def unprove(self, connection: Connection, seconds: float) -> None:
        """Take a proof back; a stranger has so many seconds then. Nothing happens where the connection is gone."""
        connection.proofs -= 1
        if connection.proofs == 0 and connection in self._proved:
            self._proved.discard(connection)
            self.allow(connection, seconds)
            self._enter(connection)

    def close(self) -> None:
        """Hang up on everybody."""
        for connection in [*self._strangers, *self._proved]:
            self.remove(connection)
            connection.hang_up()

    # Bodies

    def hold(self, connection: Connection, size: int) -> None:
        """Count bytes of a body that proves nothing yet; over the bound, the oldest that has any gives way."""
        if connection.gone:
            return
        connection.body += size
        self._body_bytes += size
        while self._body_bytes > BODY_BYTES:
            self._hang_up(next(one for one in self._strangers if one.body), "memory")

    def release(self, connection: Connection) -> None:
        """Count the bytes of a body no more."""
        self._body_bytes -= connection.body
        connection.body = 0

    @contextlib.contextmanager
    def handling(self, connection: Connection) -> Iterator[bool]:
        """Hold a whole body while its request is handled; False where too much is being handled.

        Who has proved nothing is refused without being waited for: what is still here later is proved.
        """
        size = connection.body
        self.release(connection)
        if self._handled_bytes + size > HANDLED_BYTES:
            yield False
            return
        self._handled_bytes += size
        self.prove(connection)
        try:
            yield True
        finally:
            self._handled_bytes -= size
            self.unprove(connection, self.exchange_seconds)

    def _hang_up(self, connection: Connection, reason: str) -> None:
        self.put_out[reason] += 1
        self.remove(connection)
        connection.hang_up()

    def _enter(self, connection: Connection) -> None:
        connection.since = self.now()
        self._strangers[connection] = None
        self._by_address[connection.address] += 1

    def _leave(self, connection: Connection) -> None:
        if connection in self._strangers:
            del self._strangers[connection]
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]
            self._freed.set()
