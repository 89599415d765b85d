"""One try at a command: what a session is handed, and what its callers wait for."""

import contextlib
from collections.abc import Iterator, Mapping

import anyio
from attrs import define, field, frozen

from ordernpay.clock import Clock
from ordernpay.journal import Journal, Row
from ordernpay.outcomes import Outcome, State
from ordernpay.vendors.protocol import Session


@frozen
class Answer:
    """What a call is answered with: an outcome, or that the command is durable and goes on."""

    command_id: str
    session: str
    state: State
    outcome: Outcome | None


class Stopwatch:
    """Where the time of one command goes, in seconds: waiting for the journal, waiting for the vendor, and in all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()
        self._journal = 0.0
        self._sent: float | None = None
        self._wire: float | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Waiting for something to be durable, for as long as it is entered."""
        began = self._clock.now()
        try:
            yield
        finally:
            self._journal += self._clock.now() - began

    def sent(self) -> None:
        """Bytes may go out from here on; what the journal takes meanwhile is not the vendor's."""
        if self._sent is None:
            self._sent = self._clock.now() - self._journal

    def answered(self) -> None:
        """The vendor answered, or it is no longer waited for."""
        if self._sent is not None:
            self._wire = self._clock.now() - self._journal - self._sent

    def stages(self) -> dict[str, float]:
        """What each stage took until now: `whole`, `journal`, and `wire` where anything was sent."""
        stages = {"whole": self._clock.now() - self._began, "journal": self._journal}
        return stages if self._wire is None else stages | {"wire": self._wire}


@define(eq=False)
class Running:
    """A command under way: where its callers wait for it, its weight, and the session that performs it now.

    Attributes:
        overtaken: its vendor's later word has settled it while it was being tried.
    """

    row: Row
    watch: Stopwatch
    weight: int = 0
    done: anyio.Event = field(factory=anyio.Event)
    outcome: Outcome | None = None
    session: Session | None = None
    scope: anyio.CancelScope | None = None
    knowingly: bool = False
    overtaken: bool = False

    def leave(self) -> None:
        """Break off the try under way, if any."""
        if self.scope is not None:
            self.scope.cancel()


class Flights:
    """Commands under way, by id and by idempotency key."""

    def __init__(self) -> None:
        self._by_id: dict[str, Running] = {}
        self._by_key: dict[tuple[str, str], Running] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Running]:
        return iter(self._by_id.values())

    def add(self, row: Row, watch: Stopwatch) -> Running:
        """Begin one."""
        running = Running(row, watch)
        self._by_id[row.command_id] = self._by_key[row.session, row.idempotency_key] = running
        return running

    def end(self, running: Running) -> None:
        """Take one out and wake its callers."""
        row = running.row
        del self._by_id[row.command_id], self._by_key[row.session, row.idempotency_key]
        running.done.set()

    def get(self, command_id: str) -> Running | None:
        """Find one by its id."""
        return self._by_id.get(command_id)

    def ends(self, session: Session) -> list[anyio.Event]:
        """Set when each of those has ended that a session performs now."""
        return [running.done for running in self if running.session is session]

    def leave(self, session: Session) -> int:
        """Have what a closed session performs go on elsewhere; return how many those are."""
        left = [running for running in self if running.session is session]
        for running in left:
            running.leave()
        return len(left)

    def find(self, session: str, key: str) -> Running | None:
        """Find one by its idempotency key."""
        return self._by_key.get((session, key))


class JournaledAttempt:
    """A journaled command's try; see `vendors.protocol.Attempt`."""

    def __init__(
        self, journal: Journal, clock: Clock, row: Row, deadline: float, watch: Stopwatch, *, knowingly: bool
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._row = row
        self._watch = watch
        self._marked = row.state == "sent"
        self.deadline = deadline
        self.sent_before = row.state == "sent"
        self.tried = row.sent_at is not None
        self.accepted_at: float | None = row.accepted_at
        self.knowingly = knowingly
        self.remembered: Mapping[str, str] = row.vendor_ids

    async def sending(self) -> None:
        if not self._marked:
            with self._watch.writing():
                await self._journal.mark_sent(self._row.command_id, self._clock.wall())
            self._marked = True
        self._watch.sent()

    async def remember(self, **vendor_ids: str) -> None:
        with self._watch.writing():
            await self._journal.remember(self._row.command_id, vendor_ids)

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        return await self._journal.recall(self._row.session, name, value)

    @property
    def may_have_acted(self) -> bool:
        """Whether bytes may have gone out, in this try or before."""
        return self.sent_before or self._marked


class ReadAttempt:
    """A try at a command without effect: nothing to write down."""

    sent_before = False
    tried = False
    knowingly = False
    accepted_at: float | None = None

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.remembered: Mapping[str, str] = {}

    async def sending(self) -> None:
        """Nothing to write down."""

    async def remember(self, **_: str) -> None:
        """Nothing to write down."""

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        """Nothing to look up."""
        del name, value
        return {}
