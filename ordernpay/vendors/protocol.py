"""What the gateway and a vendor's session are to each other, and what a vendor may offer at the HTTP door."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol

from attrs import field, frozen

from ordernpay.commands import Command
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, State

SessionState = Literal["connecting", "up", "down", "refused"]


@frozen
class Prepared:
    """A command that its vendor has checked and translated.

    Attributes:
        work: the vendor's own form of the command, handed back to it by `Session.perform`.
        kept: method, params and options as the journal may hold them: without PINs.
        whole: whether `kept` is enough to send the command again after a restart.
        vendor_ids: identities at the vendor that are known before anything is sent.
    """

    work: Any
    kept: JsonObject
    whole: bool = True
    vendor_ids: dict[str, str] = field(factory=dict)


class Attempt(Protocol):
    """One try at a command, as its session sees it."""

    @property
    def deadline(self) -> float:
        """On `Clock.now()`: nothing is sent after it."""
        ...

    @property
    def sent_before(self) -> bool:
        """Bytes of this command may have gone to the vendor in an earlier try or an earlier life."""
        ...

    @property
    def tried(self) -> bool:
        """Bytes of this command may have gone in any earlier try, also in one that ended as `failed`."""
        ...

    @property
    def knowingly(self) -> bool:
        """A person asked for another try, knowing that the command may act twice where the vendor cannot tell."""
        ...

    @property
    def accepted_at(self) -> float | None:
        """When the command was accepted, by the wall clock; None where it is not journaled."""
        ...

    @property
    def remembered(self) -> Mapping[str, str]:
        """What earlier tries have remembered."""
        ...

    async def sending(self) -> None:
        """Write down that bytes may go out from here on; durable when it returns. To be awaited before the first."""
        ...

    async def remember(self, **vendor_ids: str) -> None:
        """Write down what a later step or a restart must know; durable when it returns."""
        ...

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        """What the newest command of this session has remembered that has this identity; nothing where there is none."""
        ...


@frozen
class Settlement:
    """News that may settle a command: the one with this vendor identity, if the journal still holds it open.

    Attributes:
        sole: the identity in the outcome that the vendor gave to what one command made. Where another command has it
            already, the news are that one's, and settle nothing: two orders of a kiosk may have one reference.
        made_by: the wall time by which the vendor had made it, the clocks' difference allowed for. A command that was
            accepted later has not made it.
    """

    name: str
    value: str
    outcome: Callable[[Command], Outcome]
    sole: str | None = None
    made_by: float | None = None


@frozen
class Report:
    """What a session tells without being asked: an event for subscribers, news of a command, or both.

    Attributes:
        known: name and value of an identity at the vendor; the event is of interest only where a command of this session
            has it.
        size: bytes of the message that it holds on to.
    """

    kind: str | None = None
    data: JsonObject = field(factory=dict)
    vendor: JsonValue = None
    settlement: Settlement | None = None
    known: tuple[str, str] | None = None
    size: int = 0


@frozen
class Undecided:
    """A command without an outcome that is certain.

    Attributes:
        command: what was asked.
        state: `accepted`, `sent`, `unknown`; or `failed`, after it was sent and not long ago.
        accepted_at: wall time.
        sent: whether any try of it went out.
    """

    command: Command
    state: State
    accepted_at: float
    sent: bool


class Publish(Protocol):
    """How a session reaches the journal: its reports, all of a call at once, durable when it returns."""

    async def __call__(
        self,
        reports: Sequence[Report],
        once: str | tuple[str, ...] | None = None,
        within: float | None = None,
        of: str | None = None,
        also: str | None = None,
    ) -> "Published":
        """Publish.

        Args:
            reports: what happened, in order.
            once: a name for this delivery, or several, the first of them below `of`; another one with one of these names is
                a repeat, and nothing is done.
            within: seconds after which the same name is that of another delivery; None where it never is.
            of: how the names begin of all that is told of one thing, where only its latest state counts: what was told
                before is then no repeat any more.
            also: another name that what is told makes known, so that who comes with that one brings a repeat.
        """
        ...

    async def undecided(self, name: str | None = None, value: str | None = None) -> "Sequence[Undecided]":
        """Read which commands of this session have no certain outcome, oldest first: with this vendor identity, if named.

        Raises:
            OSError: the journal cannot be read now.
        """
        ...

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        """Read what the newest command with this identity has remembered; nothing where there is none.

        Raises:
            OSError: the journal cannot be read now.
        """
        ...


@frozen
class Published:
    """What became of reports: whether they were news, and how many commands they settled."""

    news: bool
    settled: int


@frozen
class SessionStatus:
    """A session as `session.list` tells it.

    Attributes:
        counters: what happened on it, by name; `connections`: how often it came up.
        certificate_expires: of the vendor's certificates that were last seen, the first to end, in seconds since 1970.
        overdue: what of it has not moved on by itself in time, for the watchdog.
        flips: how often it was lost since `unsteady_since`.
        unsteady_since: the first of several losses in a row, however often it came up in between; None while it is steady.
    """

    state: SessionState
    since: float
    in_flight: int
    last_error: str | None
    counters: dict[str, int]
    overdue: str | None = None
    certificate_expires: float | None = None
    flips: int = 0
    unsteady_since: float | None = None


def lacking(vendor: str, commands: Sequence[str], method: str) -> Failure | None:
    """Why a vendor has no such command, with what it has; None where it has."""
    if method in commands:
        return None
    return Failure("unsupported", f"{vendor} has no {method}", details={"supported": [*commands]})


class Session(Protocol):
    """One configured connection to one outlet."""

    @property
    def name(self) -> str:
        """As in the configuration."""
        ...

    @property
    def vendor(self) -> str:
        """As in the registry."""
        ...

    @property
    def commands(self) -> tuple[str, ...]:
        """The methods that it has, as configured."""
        ...

    @property
    def options(self) -> type[Any]:
        """The class that checks the `options` of a call."""
        ...

    def unsupported(self, method: str) -> Failure | None:
        """Why the vendor, as configured, has no such command; None where it has."""
        ...

    def prepare(self, command: Command) -> Prepared:
        """Check and translate a command that is supported; no I/O.

        Raises:
            Faults: the vendor's page forbids something in it.
        """
        ...

    def may_repeat(self, method: str) -> bool:
        """Whether a command that was sent and not answered may be tried again by itself.

        It may where the vendor detects repeats, can be asked what became of it, or where a repeat does no harm.
        """
        ...

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        """Do it, or say why not. Ends by the attempt's deadline."""
        ...

    async def run(self) -> None:
        """Keep the connection for as long as the session lives."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether its vendor has one connection for an outlet, so that a second one would disturb the first."""
        ...

    def follow(self, taken: Callable[[], None]) -> None:
        """Take over from an old session, which may end what it has under way; `taken` is called when the vendor comes."""
        ...

    async def retire(self) -> None:
        """Tell nothing more, since a successor does; return once what is under way could end with that one only."""
        ...

    def status(self) -> SessionStatus:
        """How it stands now."""
        ...

    def reconnect(self) -> None:
        """Drop the connection, if any, and make a new one at once."""
        ...

    def suspect(self, why: str) -> None:
        """The machine slept or its clock jumped: find out soon whether the connection still stands."""
        ...

    def doors(self) -> "tuple[Door | WebsocketDoor, ...]":
        """What it offers at the HTTP door."""
        ...


@frozen
class HttpRequest:
    """A request at the HTTP door, its body read and bounded."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer: str


@frozen
class HttpAnswer:
    """What a vendor's door says to a request. `result`: what became of a webhook, where the status does not say it."""

    status: int
    body: JsonValue = None
    headers: dict[str, str] = field(factory=dict)
    result: Literal["repeat", "verified"] | None = None


@frozen
class Door:
    """A path at the HTTP door, for POST unless it says otherwise.

    Several sessions may offer the same one: the first that knows the caller answers.

    Attributes:
        handle: returns None where the caller is not this session's.
        patient: whether a caller is heard however often it failed to prove itself. Where every request carries its proof,
            guessing leads nowhere, and behind a reverse proxy a forger and the vendor have one address.
        webhook: whether what comes here are the vendor's news, to be counted as such.
        expects: how many bytes of a body are worth reading, by what the head of a request shows; 0 refuses it unread.
            Without it, `max_body_bytes` of whatever comes.
        key: by what its session is told apart from others with the same path, where `find` can tell.
        find: which key a request names, found without knowing any session.
    """

    path: str
    handle: Callable[[HttpRequest], Awaitable[HttpAnswer | None]]
    refusal: HttpAnswer
    max_body_bytes: int = 65_536
    methods: tuple[str, ...] = ("POST",)
    patient: bool = False
    webhook: bool = False
    expects: Callable[[HttpRequest], int] | None = None
    key: Hashable = None
    find: Callable[[HttpRequest], Hashable] | None = None


class Link(Protocol):
    """One websocket connection, used once."""

    async def send(self, text: str) -> None:
        """Hand a text frame over; raises `LinkClosed`."""
        ...

    async def receive(self) -> str | bytes:
        """The next message; raises `LinkClosed`."""
        ...

    async def probe(self) -> None:
        """Return when the peer has answered a ping; raises `LinkClosed`."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a code; never waits long."""
        ...


class LinkClosed(Exception):
    """The connection is gone.

    Attributes:
        reason: why, for people.
        code: the peer's close code, if it sent one.
        unread: where it was us who hung up on a message that we cannot take: the beginning of it, as far as it is known.
    """

    def __init__(self, reason: str, code: int | None = None, unread: bytes | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.unread = unread


@frozen
class WebsocketDoor:
    """A websocket path at the HTTP door. `admit` returns what to do with the accepted link, or None to refuse.

    `key` and `find` are as a `Door` has them.
    """

    path: str
    admit: Callable[[HttpRequest], Callable[[Link], Awaitable[None]] | None]
    key: Hashable = None
    find: Callable[[HttpRequest], Hashable] | None = None
