"""A session of Doshii: orders by REST, told what becomes of them by socket or webhook.

| command          | no answer, or one that is not Doshii's                                                            |
|------------------|---------------------------------------------------------------------------------------------------|
| `order.create`   | looked up by externalOrderRef until the deadline, and now and then afterwards; never sent twice   |
| `payment.create` | the same, among the order's payments by reference                                                 |
| `order.update`   | `unknown`: lines that were appended cannot be told from others                                    |
| `order.cancel`   | read and, where it is not cancelled, cancelled again, until the deadline                          |
| reads, quotes    | sent again                                                                                        |

Doshii's own 503 or 429 says that it could not act now. It has been known to act all the same: a create is sent again only
where a lookup shows nothing of the first, a cancel where the order is not cancelled; lines are not appended again.
A change needs the order's `version`: it is read before, and once more after a 409 (page Error codes), where the order's
state still allows the change.
"""

from collections.abc import Callable
from typing import Final

import anyio
from attrs import evolve

from ordernpay.clock import Clock
from ordernpay.commands import (
    CancelOrder,
    Command,
    CreateOrder,
    CreatePayment,
    ListOrders,
    QuoteOrder,
    UpdateOrder,
)
from ordernpay.config import Inbound
from ordernpay.conversion import Fault, Faults, structure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, succeeded, unknown
from ordernpay.redaction import of_session
from ordernpay.vendors.doshii import answers, requests
from ordernpay.vendors.doshii.api import NOT_NOW, Api
from ordernpay.vendors.doshii.creates import Creates
from ordernpay.vendors.doshii.findings import (
    CANCELLED,
    CONFLICT,
    REFUSALS,
    UNAVAILABLE,
    cancelled,
    doubted,
    final,
    is_closed,
    is_order,
    no,
    told_by,
)
from ordernpay.vendors.doshii.inbox import ENDS, Inbox
from ordernpay.vendors.doshii.lookups import Lookups, read_list
from ordernpay.vendors.doshii.missed import Missed
from ordernpay.vendors.doshii.requests import Work
from ordernpay.vendors.doshii.settings import DoshiiConfig, Options
from ordernpay.vendors.http import Answered, Http
from ordernpay.vendors.paths import segment
from ordernpay.vendors.protocol import (
    Attempt,
    Door,
    Prepared,
    Publish,
    SessionStatus,
    WebsocketDoor,
    lacking,
)
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.rest import Probing, RestLine
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.tries import Rules

COMMANDS: Final = (
    *("order.quote", "order.create", "order.update", "order.cancel", "order.get", "order.list"),
    *("payment.create", "menu.get", "vendor.request"),
)
NOT_FOUND: Final = 404
PROBE_SECONDS: Final = 15.0


class DoshiiSession:
    """One location behind Doshii."""

    vendor = "doshii"
    exclusive = False
    options = Options

    def __init__(self, name: str, config: DoshiiConfig, inbound: Inbound, publish: Publish, clock: Clock) -> None:
        del inbound
        self.name = name
        self.commands = COMMANDS
        self._config = config
        self._clock = clock
        self._http = Http(clock, ClientTls.of(config), carried=of_session(name).learn)
        self._line = RestLine(name, self.vendor, self._http, publish, clock)
        self._inbox = Inbox(name, config, clock, publish, self._line, self._catch_up)
        self._api = Api(config, clock, self._line)
        lookups = Lookups(config.location_id, publish, self._sent)
        self._creates = Creates(config, clock, self._api, lookups, self._inbox.note_made)
        self._missed = Missed(config, clock, self._api.reading, publish, self._inbox, lookups)

    # Commands

    def unsupported(self, method: str) -> Failure | None:
        return lacking(self.vendor, self.commands, method)

    def prepare(self, command: Command) -> Prepared:
        faults: list[Fault] = []
        try:
            given = structure(command.options, Options, "options")
        except Faults as error:
            faults, given = list(error.faults), Options()
        work = requests.work(command, self._config, self._config.merged(given), faults)
        if faults:
            raise Faults(faults)
        return Prepared(work, command.content(), vendor_ids=work.ids | {"key": command.key})

    def may_repeat(self, method: str) -> bool:
        """What can be looked up, and a cancel."""
        return method in {"order.create", "payment.create", "order.cancel"}

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        work: Work = prepared.work
        may_wait = command.when_offline == "wait"
        match command.params:
            case QuoteOrder():
                return await self._quote(work, attempt, may_wait=may_wait)
            case CreateOrder() | CreatePayment():
                return await self._creates.perform(command, work, attempt, may_wait=may_wait)
            case CancelOrder(order_id=order_id):
                return await self._cancel(command, order_id, attempt, may_wait=may_wait)
            case UpdateOrder(order_id=order_id):
                return await self._append(command, order_id, work, attempt, may_wait=may_wait)
            case ListOrders(table=table):
                return await self._list(work, attempt, bare=table is not None, may_wait=may_wait)
            case _:
                changes, repeatable = command.type.changes, work.method == "GET"
                rules = self._api.rules(repeatable=repeatable, changes=changes, command=command, undone=frozenset())
                late = final(self._api.late(command)) if changes else None
                answer = await self._api.ask(work, attempt, rules, may_wait=may_wait, late=late)
                return answer if isinstance(answer, Outcome) else told_by(command, answer)

    async def _quote(self, work: Work, attempt: Attempt, *, may_wait: bool) -> Outcome:
        """Ask for a pre-process and wait for its event, which may come before the answer that names it."""

        def named(answer: Answered) -> bool:
            raw = answer.json()
            return isinstance(raw, dict) and answers.identity(Reader(raw), "id") is not None

        rules = evolve(self._api.rules(repeatable=True, changes=False), shows=named)
        answer = await self._api.ask(work, attempt, rules, may_wait=may_wait)
        if isinstance(answer, Outcome):
            return answer
        raw = answer.json()
        request = Reader(raw if isinstance(raw, dict) else {})
        quote_id = answers.identity(request, "id") or ""
        if answers.status(request) in ENDS:
            return answers.quote(request, raw)
        found = await self._inbox.quote(quote_id, attempt.deadline)
        if found is None:
            why = f"the POS did not answer pre-process {quote_id} in time; it had no effect"
            return ended(Failure("vendor_unavailable", why), raw)
        return answers.quote(Reader(found[0]), found[1])

    async def _list(self, work: Work, attempt: Attempt, *, bare: bool, may_wait: bool) -> Outcome:
        """All pages of a list, or as many as one answer may hold; `more` where there are others."""

        async def ask(path: str, shown: Callable[[Answered], bool]) -> Answered | Outcome:
            rules = evolve(self._api.rules(repeatable=True, changes=False), shows=shown)
            return await self._api.ask(Work("GET", path), attempt, rules, may_wait=may_wait)

        listed = await read_list(ask, work.path, bare=bare)
        if isinstance(listed, Outcome):
            return listed
        orders: list[JsonValue] = [answers.order(row) for row in listed.rows]
        result: JsonObject = {"orders": orders} | ({"more": True} if listed.more else {})
        return succeeded(result, listed.pages[0] if len(listed.pages) == 1 else listed.pages)

    # Changes of an order

    async def _cancel(self, command: Command, order_id: str, attempt: Attempt, *, may_wait: bool) -> Outcome:
        """Read the version, then change the status; once more after a 409, and until the deadline after no answer."""
        doubtful, pause = attempt.sent_before, 0.0
        refused: Answered | None = None
        busy: Answered | None = None
        rules = self._api.rules(repeatable=False, changes=True, command=command, through=REFUSALS | NOT_NOW)
        while True:
            read = await self._read_order(order_id, attempt, may_wait=may_wait)
            if isinstance(read, Outcome):  # then nobody has seen that a 503 did nothing
                return doubted(read, doubtful or (busy is not None and busy.status == UNAVAILABLE))
            raw, order = read
            if answers.status(order) in CANCELLED:
                return cancelled(raw, order_id)
            in_time = self._clock.now() + pause < attempt.deadline
            last = busy if not in_time else refused if is_closed(order) else None
            if last is not None:
                return doubted(no(last, order), doubtful)
            busy = None
            work = Work("PUT", requests.order_path(order_id), {"version": order.get("version"), "status": "cancelled"})
            late = final(self._api.late(command), doubtful=doubtful)
            answer = await self._api.ask(work, attempt, rules, may_wait=may_wait, late=late)
            if isinstance(answer, Outcome):
                if answer.state != "unknown" or self._clock.now() + pause >= attempt.deadline:
                    return doubted(answer, doubtful)
                doubtful, pause = True, self._config.lookup_seconds
            elif answer.ok:
                return told_by(command, answer)
            elif answer.status in NOT_NOW:
                busy, pause = answer, self._api.pause_after(answer)
            elif refused is None and (doubtful or answer.status == CONFLICT):  # it may be the earlier try that did it
                refused = answer
                continue
            else:
                return doubted(no(answer), doubtful)
            await self._sleep_in_time(pause, attempt)

    async def _append(
        self, command: Command, order_id: str, work: Work, attempt: Attempt, *, may_wait: bool
    ) -> Outcome:
        """Append lines; with a version, read it before, and once more after a 409."""
        rules = self._api.rules(repeatable=False, changes=True, command=command, undone=frozenset())
        late = final(self._api.late(command))
        if not isinstance(work.body, dict):
            answer = await self._api.ask(work, attempt, rules, may_wait=may_wait, late=late)
            return answer if isinstance(answer, Outcome) else told_by(command, answer)
        rules = evolve(rules, through=frozenset({CONFLICT}))
        stale: Answered | None = None
        while True:
            read = await self._read_order(order_id, attempt, may_wait=may_wait)
            if isinstance(read, Outcome):
                return read
            if stale is not None and is_closed(read[1]):
                return doubted(no(stale, read[1]), attempt.sent_before)
            versioned = evolve(work, body={**work.body, "version": read[1].get("version")})
            answer = await self._api.ask(versioned, attempt, rules, may_wait=may_wait, late=late)
            if isinstance(answer, Outcome):
                return answer
            if answer.status != CONFLICT:
                return told_by(command, answer)
            if stale is not None:
                return doubted(no(answer), attempt.sent_before)
            stale = answer

    async def _read_order(
        self, order_id: str, attempt: Attempt, *, may_wait: bool
    ) -> tuple[JsonObject, Reader] | Outcome:
        def shown(answer: Answered) -> bool:
            return is_order(answer.json(), self._config.location_id, order_id=order_id)

        ask = self._api.reading(attempt.deadline - self._clock.now(), may_wait=may_wait)
        answer = await ask(requests.order_path(order_id), shown)
        if isinstance(answer, Outcome):
            if attempt.sent_before and answer.state != "unknown":
                return unknown("sent before, and the order could not be read now")
            return answer
        raw = answer.json()
        order = raw if isinstance(raw, dict) else {}
        return order, Reader(order)

    async def _sleep_in_time(self, seconds: float, attempt: Attempt) -> None:
        """Pause, unless the deadline is sooner: then there is time for a last look only."""
        if self._clock.now() + seconds < attempt.deadline:
            await anyio.sleep(seconds)

    def _sent(self, command: Command) -> JsonValue:
        """What a create sends, without its wrapper; None where that cannot be told any more."""
        try:
            work: Work = self.prepare(command).work
        except Faults:
            return None
        body = work.body if isinstance(work.body, dict) else {}
        return body["order"] if isinstance(command.params, CreateOrder) else body

    # The connection

    async def run(self) -> None:
        catch_up = {"catch_up": self._catch_up} if self._config.socket_url is None else {}  # else each connection does
        looking = self._missed.look_now_and_then
        await self._line.run(self._probe, self._config.probe_seconds, missed=looking, inbox=self._inbox.run, **catch_up)

    async def _catch_up(self) -> None:
        await self._missed.catch_up()

    async def _probe(self) -> None:
        """GET the location's health: the credentials are good, Doshii is there. One without health lists its orders."""
        rules = evolve(Rules(repeatable=False, changes=False), through=frozenset({NOT_FOUND}))
        probing = Probing(self._clock.now() + PROBE_SECONDS)
        health = Work("GET", f"health/locations/{segment(self._config.location_id)}")
        answer = await self._api.ask(health, probing, rules, may_wait=False)
        if isinstance(answer, Answered) and answer.status == NOT_FOUND:
            rules = Rules(repeatable=False, changes=False)
            answer = await self._api.ask(Work("GET", "orders?limit=1"), probing, rules, may_wait=False)
        self._line.probed(answer)

    def follow(self, taken: Callable[[], None]) -> None:
        """Each has connections of its own."""

    async def retire(self) -> None:
        await self._line.retire()

    def status(self) -> SessionStatus:
        return self._line.status()

    def reconnect(self) -> None:
        self._inbox.reconnect()
        self._line.reconnect()

    def suspect(self, why: str) -> None:
        self._line.change("connecting", why)
        self.reconnect()

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        return self._inbox.doors()
