"""A session of Doshii: orders by REST, told what becomes of them by socket or webhook.

| command          | no answer                                                                                        |
|------------------|--------------------------------------------------------------------------------------------------|
| `order.create`   | looked up by externalOrderRef until the deadline, and now and then afterwards; never sent twice   |
| `payment.create` | looked up among the order's payments by reference                                                 |
| `order.update`   | `unknown`: lines that were appended cannot be told from others                                    |
| `order.cancel`   | read and, where it still stands, cancelled again, until the deadline                              |
| reads, quotes    | sent again                                                                                        |

A change needs the order's `version`: it is read before, and once more after a 409 (page Error codes), where the order's
state still allows the change.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import anyio
from attrs import evolve

from ordernpay.clock import Clock
from ordernpay.commands import (
    CancelOrder,
    Command,
    CreateOrder,
    CreatePayment,
    QuoteOrder,
    UpdateOrder,
)
from ordernpay.config import Inbound
from ordernpay.conversion import Fault, Faults, structure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, unknown
from ordernpay.redaction import of_session
from ordernpay.vendors.doshii import answers, requests, wire
from ordernpay.vendors.doshii.findings import (
    CONFLICT,
    REFUSALS,
    cancelled,
    carried_out,
    doubted,
    is_closed,
    is_ours,
    lookup_path,
    no,
    only_good,
    rows_of,
    told_by,
    was_there,
)
from ordernpay.vendors.doshii.inbox import Inbox
from ordernpay.vendors.doshii.missed import Missed
from ordernpay.vendors.doshii.requests import Work
from ordernpay.vendors.doshii.settings import DoshiiConfig, Options
from ordernpay.vendors.http import Answered, Call, Http
from ordernpay.vendors.protocol import (
    Attempt,
    Door,
    Prepared,
    Publish,
    Report,
    SessionStatus,
    Settlement,
    WebsocketDoor,
    lacking,
)
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.rest import Probing, RestLine, ended_late
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.tries import Rules

COMMANDS: Final = (
    *("order.quote", "order.create", "order.update", "order.cancel", "order.get", "order.list"),
    *("payment.create", "menu.get", "vendor.request"),
)
NOT_FOUND: Final = 404
PROBE_SECONDS: Final = 15.0
READ_SECONDS: Final = 10.0


class DoshiiSession:
    """One location behind Doshii."""

    vendor = "doshii"
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
        self._missed = Missed(config, clock, self._read, publish, self._inbox, self._line.reporter)

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
                return await self._create(command, work, attempt, may_wait=may_wait)
            case CancelOrder(order_id=order_id):
                return await self._cancel(command, order_id, attempt, may_wait=may_wait)
            case UpdateOrder(order_id=order_id):
                return await self._append(command, order_id, work, attempt, may_wait=may_wait)
            case _:
                rules = self._rules(repeatable=work.method == "GET", changes=command.type.changes)
                late = self._late(command) if command.type.changes else None
                answer = await self._ask(work, attempt, rules, may_wait=may_wait, late=late)
                return answer if isinstance(answer, Outcome) else told_by(command, answer)

    async def _quote(self, work: Work, attempt: Attempt, *, may_wait: bool) -> Outcome:
        """Ask for a pre-process and wait for its event, which may come before the answer that names it."""
        answer = await self._ask(work, attempt, self._rules(repeatable=True, changes=False), may_wait=may_wait)
        if isinstance(answer, Outcome):
            return answer
        raw = answer.json()
        request = Reader(raw if isinstance(raw, dict) else {})
        quote_id = request.text("id")
        if quote_id is None:
            return ended(Failure("vendor_unavailable", "doshii took the request without an id"), raw)
        if answers.status(request) == "rejected":
            return answers.quote(request, raw)
        found = await self._inbox.quote(quote_id, attempt.deadline)
        if found is None:
            why = f"the POS did not answer pre-process {quote_id} in time; it had no effect"
            return ended(Failure("vendor_unavailable", why), raw)
        return answers.quote(Reader(found[0]), found[1])

    async def _create(self, command: Command, work: Work, attempt: Attempt, *, may_wait: bool) -> Outcome:
        if attempt.sent_before and not attempt.knowingly:
            return await self._look_up(command, attempt)
        if attempt.sent_before:  # a person's word to send it again, unless it can be seen to be there
            found = await self._look_once(command, attempt)
            if found is not None:
                return found
        rules = self._rules(repeatable=False, changes=True)
        answer = await self._ask(work, attempt, rules, may_wait=may_wait, late=self._late(command))
        if isinstance(answer, Outcome):
            return answer if answer.state != "unknown" else await self._look_up(command, attempt)
        told = told_by(command, answer)
        if isinstance(command.params, CreateOrder):
            self._inbox.note_made(answer.json())
        return told if told.vendor_ids else await self._look_up(command, attempt)

    async def _look_up(self, command: Command, attempt: Attempt) -> Outcome:
        """What became of a create that was not answered."""
        while True:
            found = await self._look_once(command, attempt)
            if found is not None and found.state == "succeeded":
                return found
            pause = self._config.lookup_seconds
            if self._clock.now() + pause >= attempt.deadline:
                break
            await anyio.sleep(pause)
        self._missed.doubt(command)
        return unknown("sent, and not answered; it was not found at Doshii yet, and is looked for now and then")

    async def _look_once(self, command: Command, attempt: Attempt) -> Outcome | None:
        """What a create made; None where Doshii shows nothing of it, `unknown` where it does not say."""
        path = lookup_path(command)
        if path is None:
            return unknown("sent, and not answered; it has no reference by which it could be found", retryable=False)
        rules = self._rules(repeatable=True, changes=False)
        answer = await self._ask(Work("GET", path), Probing(attempt.deadline), rules, may_wait=True)
        if isinstance(answer, Answered):
            return await self._found(command, answer, attempt)
        return unknown("sent before, and not answered; whether it is at Doshii could not be looked up now")

    async def _found(self, command: Command, answer: Answered, attempt: Attempt) -> Outcome | None:
        """The order or payment that a lookup found, unless it is another command's, or was there before this one."""
        for raw in rows_of(answer.json()):
            reader = Reader(raw)
            identity = reader.text("id")
            if identity is None or not is_ours(command, reader) or was_there(raw, attempt.accepted_at):
                continue
            made = "payment_id" if isinstance(command.params, CreatePayment) else "order_id"
            other = await attempt.recall(made, identity)
            if other.get("key", command.key) == command.key:
                return carried_out(command, raw)
        return None

    async def _cancel(self, command: Command, order_id: str, attempt: Attempt, *, may_wait: bool) -> Outcome:
        """Read the version, then change the status; once more after a 409, and until the deadline after no answer."""
        doubtful, pause = attempt.sent_before, 0.0
        refused: Answered | None = None
        while True:
            read = await self._read_order(order_id, attempt, may_wait=may_wait)
            if isinstance(read, Outcome):
                return doubted(read, doubtful)
            raw, order = read
            if order.text("status") in {"cancelled", "venue_cancelled"}:
                return cancelled(raw, order_id)
            if refused is not None and is_closed(order):
                return doubted(no(refused, order), doubtful)
            work = Work("PUT", requests.order_path(order_id), {"version": order.get("version"), "status": "cancelled"})
            rules = evolve(self._rules(repeatable=False, changes=True), through=REFUSALS)
            late = only_good(self._late(command)) if doubtful else self._late(command)
            answer = await self._ask(work, attempt, rules, may_wait=may_wait, late=late)
            if isinstance(answer, Outcome):
                if answer.state != "unknown" or self._clock.now() + pause >= attempt.deadline:
                    return doubted(answer, doubtful)
                await anyio.sleep(pause)
                doubtful, pause = True, self._config.lookup_seconds
            elif answer.ok:
                return told_by(command, answer)
            elif refused is None and (doubtful or answer.status == CONFLICT):  # it may be the earlier try that did it
                refused = answer
            else:
                return doubted(no(answer), doubtful)

    async def _append(
        self, command: Command, order_id: str, work: Work, attempt: Attempt, *, may_wait: bool
    ) -> Outcome:
        """Append lines; with a version, read it before, and once more after a 409."""
        if not isinstance(work.body, dict):
            rules = self._rules(repeatable=False, changes=True)
            answer = await self._ask(work, attempt, rules, may_wait=may_wait, late=self._late(command))
            return answer if isinstance(answer, Outcome) else told_by(command, answer)
        stale: Answered | None = None
        while True:
            read = await self._read_order(order_id, attempt, may_wait=may_wait)
            if isinstance(read, Outcome):
                return read
            if stale is not None and is_closed(read[1]):
                return doubted(no(stale, read[1]), attempt.sent_before)
            versioned = evolve(work, body={**work.body, "version": read[1].get("version")})
            rules = evolve(self._rules(repeatable=False, changes=True), through=frozenset({CONFLICT}))
            answer = await self._ask(versioned, attempt, rules, may_wait=may_wait, late=self._late(command))
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
        work = Work("GET", requests.order_path(order_id))
        rules = self._rules(repeatable=True, changes=False)
        answer = await self._ask(work, Probing(attempt.deadline), rules, may_wait=may_wait)
        if isinstance(answer, Outcome):
            if attempt.sent_before and answer.state != "unknown":
                return unknown("sent before, and the order could not be read now")
            return answer
        raw = answer.json()
        order = raw if isinstance(raw, dict) else {}
        return order, Reader(order)

    async def _ask(
        self,
        work: Work,
        attempt: Attempt,
        rules: Rules,
        *,
        may_wait: bool,
        late: Callable[[Answered], None] | None = None,
    ) -> Answered | Outcome:
        async def build() -> Call:
            config = self._config
            headers = {
                "Authorization": "Bearer "
                + wire.token(config.client_id, config.client_secret.reveal(), self._clock.wall()),
                wire.LOCATION: config.location_id,
                "Accept": "application/json",
                "Content-Type": "application/json",
            }
            url = f"{config.base_url.rstrip('/')}/{work.path}"
            return Call(work.method, url, headers, None if work.text is None else work.text.encode())

        return await self._line.perform(build, attempt, rules, may_wait=may_wait, late=late)

    def _rules(self, *, repeatable: bool, changes: bool) -> Rules:
        return Rules(
            repeatable=repeatable,
            changes=changes,
            unavailable_seconds=self._config.unavailable_seconds,
            error_delays=self._config.error_delays if repeatable else (),
        )

    def _late(self, command: Command) -> Callable[[Answered], None]:
        def late(answer: Answered) -> None:
            def ended(known: Command) -> Outcome:
                return ended_late(answer, lambda told: told_by(known, told))

            self._line.reporter.report(Report(settlement=Settlement("key", command.key, ended)))

        return late

    # The connection

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._http.run)
            tasks.start_soon(self._line.reporter.run)
            tasks.start_soon(self._line.keep_probing, self._probe, self._config.probe_seconds)
            tasks.start_soon(self._missed.look_now_and_then)
            if self._config.socket_url is None:
                tasks.start_soon(self._catch_up)  # with a socket, each new connection does
            tasks.start_soon(self._inbox.run)

    async def _catch_up(self) -> None:
        await self._missed.catch_up()

    async def _read(self, path: str) -> JsonValue:
        """What is at a path; None where it cannot be read for a while."""
        rules = self._rules(repeatable=True, changes=False)
        attempt = Probing(self._clock.now() + READ_SECONDS)
        answer = await self._ask(Work("GET", path), attempt, rules, may_wait=True)
        return answer.json() if isinstance(answer, Answered) else None

    async def _probe(self) -> None:
        """GET the location's health: the credentials are good, Doshii is there. One without health lists its orders."""
        rules = evolve(Rules(repeatable=False, changes=False), through=frozenset({NOT_FOUND}))
        probing = Probing(self._clock.now() + PROBE_SECONDS)
        health = Work("GET", f"health/locations/{quote(self._config.location_id, safe='')}")
        answer = await self._ask(health, probing, rules, may_wait=False)
        if isinstance(answer, Answered) and answer.status == NOT_FOUND:
            rules = Rules(repeatable=False, changes=False)
            answer = await self._ask(Work("GET", "orders?limit=1"), probing, rules, may_wait=False)
        if isinstance(answer, Answered):
            self._line.stands()
        elif answer.failure is not None:
            refused = answer.failure.kind == "unauthorised"
            self._line.change("refused" if refused else "down", answer.failure.message)

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
