"""A session of Tevalis: what is placed is first calculated, then submitted, as one command.

A calculation has no effect and may be repeated. Its UID is durable before the submission; a submission is sent once,
since Tevalis would make a second order of a second one. So a crash between the two goes on with that very UID, and a
crash or a cut after the submission began leaves the command `unknown`, with its UID in the journal for a cancel.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final

from attrs import evolve

from ordernpay.clock import Clock
from ordernpay.commands import CancelOrder, Command, GetMenu, QuoteOrder, VendorRequest
from ordernpay.config import Inbound
from ordernpay.conversion import Fault, Faults, structure
from ordernpay.jsontext import JsonObject, dumps
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
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
from ordernpay.vendors.rest import Probing, RestLine, Unmarked, ended_late
from ordernpay.vendors.tevalis import answers, requests, wire
from ordernpay.vendors.tevalis.requests import Plan
from ordernpay.vendors.tevalis.settings import Options, TevalisConfig
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.tries import Rules, anything

COMMANDS: Final = ("order.quote", "order.create", "order.update", "order.cancel", "menu.get", "vendor.request")
PROBE_SECONDS: Final = 30.0


class TevalisSession:
    """One site behind Tevalis."""

    vendor = "tevalis"
    exclusive = False
    options = Options

    def __init__(self, name: str, config: TevalisConfig, inbound: Inbound, publish: Publish, clock: Clock) -> None:
        del inbound  # Tevalis never calls us
        self.name = name
        self.commands = COMMANDS
        self._config = config
        self._clock = clock
        self._http = Http(clock, ClientTls.of(config))
        self._line = RestLine(name, self.vendor, self._http, publish, clock)
        self._placing: dict[str, str] = {}

    # Commands

    def unsupported(self, method: str) -> Failure | None:
        return lacking(self.vendor, self.commands, method)

    def prepare(self, command: Command) -> Prepared:
        faults: list[Fault] = []
        try:
            given = structure(command.options, Options, "options")
        except Faults as error:
            faults, given = list(error.faults), Options()
        plan = requests.plan(command, self._config, self._config.merged(given), faults)
        if faults:
            raise Faults(faults)
        return Prepared(plan, command.content(), vendor_ids=plan.ids | {"key": command.key})

    def may_repeat(self, method: str) -> bool:
        """A cancel, since a second one does no harm; a submission never."""
        return method == "order.cancel"

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        plan: Plan = prepared.work
        may_wait = command.when_offline == "wait"
        if plan.request is not None:
            return await self._request(command, plan, attempt, may_wait=may_wait)
        if plan.submit is None:
            return await self._quote(plan, attempt, may_wait=may_wait)
        if plan.uid is None:
            return await self._place(command, plan, attempt, may_wait=may_wait)
        return await self._place_quote(plan.uid, command, plan, attempt, may_wait=may_wait)

    async def _request(self, command: Command, plan: Plan, attempt: Attempt, *, may_wait: bool) -> Outcome:
        method, path, body = plan.request or ("GET", "", None)
        rules = self._rules(_shown_to(command), repeatable=plan.repeatable, changes=command.type.changes)
        late = self._late(command, lambda answer: _told(command, answer)) if command.type.changes else None
        answer = await self._line.perform(self._call(method, path, body), attempt, rules, may_wait=may_wait, late=late)
        return answer if isinstance(answer, Outcome) else _told(command, answer)

    async def _calculate(self, plan: Plan, attempt: Attempt, *, may_wait: bool) -> tuple[Answered, Reader] | Outcome:
        call = self._call("POST", requests.calculate_route(self._config), dumps(plan.calculate))
        reading = without_effect(attempt)
        rules = self._rules(anything, repeatable=True, changes=False)
        answer = await self._line.perform(call, reading, rules, may_wait=may_wait)
        if isinstance(answer, Outcome):
            return answer
        raw = answer.json()
        return answer, Reader(raw if isinstance(raw, dict) else {})

    async def _quote(self, plan: Plan, attempt: Attempt, *, may_wait: bool) -> Outcome:
        calculated = await self._calculate(plan, attempt, may_wait=may_wait)
        if isinstance(calculated, Outcome):
            return calculated
        answer, dto = calculated
        if not _is_bill(answer):
            return _no_calculation(dto, answer)
        uid = answers.uid(dto)
        told = answers.order(dto, uid=uid, reference=plan.reference, status=None, owing=None)
        return succeeded({"order": told, "quote_id": uid, "adjusted": None, "valid_until": None}, answer.json())

    async def _place_quote(
        self, uid: str, command: Command, plan: Plan, attempt: Attempt, *, may_wait: bool
    ) -> Outcome:
        """Submit a quote for the one command that has it: Tevalis would make a second order of a second submission."""
        holder = self._placing.get(uid) or (await attempt.recall("placed", uid)).get("key", command.key)
        if holder != command.key or self._placing.setdefault(uid, command.key) != command.key:
            return _placed_by_another()
        try:
            await attempt.remember(placed=uid)
            return await self._place(command, plan, attempt, may_wait=may_wait)
        finally:
            del self._placing[uid]

    async def _place(self, command: Command, plan: Plan, attempt: Attempt, *, may_wait: bool) -> Outcome:
        """Calculate, unless that was done before, then submit."""
        total: Decimal | None = None
        uid = plan.uid or attempt.remembered.get("uid")
        if uid is None:
            if plan.needs_table:
                known = await attempt.recall("uid", command.params.order_id)
                with_table = _with_table(plan, known)
                if with_table is None:
                    return _no_table()
                plan = with_table
            calculated = await self._calculate(plan, attempt, may_wait=may_wait)
            if isinstance(calculated, Outcome):
                return calculated
            answer, dto = calculated
            uid, total = answers.uid(dto), dto.money("TotalGross")
            if uid is None:
                return _no_calculation(dto, answer)
            if plan.expected_total is not None and total != plan.expected_total:
                return _other_total(plan.expected_total, total, answer)
            await attempt.remember(uid=uid, total="" if total is None else str(total), **_table_of(plan))
        elif attempt.remembered.get("total"):
            total = Decimal(attempt.remembered["total"])
        return await self._submit(command, plan, uid, total, attempt, may_wait=may_wait)

    async def _submit(
        self, command: Command, plan: Plan, uid: str, total: Decimal | None, attempt: Attempt, *, may_wait: bool
    ) -> Outcome:
        body = requests.submit_body(plan.submit or {}, uid)
        call = self._call("POST", requests.submit_route(self._config), body)

        def told(answer: Answered) -> Outcome:
            return _placed(answer, plan, uid, total)

        answer = await self._line.perform(
            call,
            attempt,
            self._rules(self._is_submitted, repeatable=False, changes=True),
            may_wait=may_wait,
            late=self._late(command, told),
        )
        return answer if isinstance(answer, Outcome) else told(answer)

    def _call(self, method: str, path: str, body: str | None) -> Callable[[], Awaitable[Call]]:
        config = self._config
        headers = {
            "CompanyId": str(config.company_id),
            "GUID": config.guid.reveal(),
            "DevID": config.dev_id,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        if method != "GET":
            headers["GUID2"] = config.guid2.reveal()
        url = f"{config.base_url.rstrip('/')}/{path}"
        call = Call(method, url, headers, None if body is None else body.encode())

        async def build() -> Call:
            return call

        return build

    def _rules(self, shows: Callable[[Answered], bool], *, repeatable: bool, changes: bool) -> Rules:
        """No page says that an error means that nothing was done; a setting can, for a 503."""
        return Rules(
            repeatable=repeatable,
            changes=changes,
            unavailable_seconds=self._config.unavailable_seconds,
            error_delays=self._config.error_delays if repeatable else (),
            undone=frozenset({503} if self._config.submit_again_after_503 else ()),
            shows=shows,
        )

    def _is_submitted(self, answer: Answered) -> bool:
        nothing = not answer.body.strip() or answer.json() is None
        return _is_bill(answer) or (nothing and self._config.submit_answers_nothing)

    def _late(self, command: Command, told: Callable[[Answered], Outcome]) -> Callable[[Answered], None]:
        def late(answer: Answered) -> None:
            news = Settlement("key", command.key, lambda _: ended_late(answer, told))
            self._line.reporter.report(Report(settlement=news))

        return late

    # The connection

    async def run(self) -> None:
        await self._line.run(self._probe, self._config.probe_seconds)

    async def _probe(self) -> None:
        """GET the catalogue: the credentials are good and Tevalis is there."""
        call = self._call("GET", f"Catalogue/GetCatalogues/{self._config.site_id}", None)
        rules = Rules(repeatable=False, changes=False)
        answer = await self._line.perform(call, Probing(self._clock.now() + PROBE_SECONDS), rules, may_wait=False)
        self._line.probed(answer)

    def follow(self, taken: Callable[[], None]) -> None:
        """Each has connections of its own."""

    async def retire(self) -> None:
        await self._line.retire()

    def status(self) -> SessionStatus:
        return self._line.status()

    def reconnect(self) -> None:
        self._line.reconnect()

    def suspect(self, why: str) -> None:
        self._line.change("connecting", why)
        self._line.reconnect()

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        return ()


def _is_bill(answer: Answered) -> bool:
    return answers.is_bill(answer.json())


def _shown_to(command: Command) -> Callable[[Answered], bool]:
    """What an answer to a command that is one request must hold."""
    match command.params:
        case CancelOrder():
            return _is_bill
        case GetMenu():
            return lambda answer: answers.is_catalogue(answer.json())
        case _:
            return lambda answer: answer.json() not in (None, {}, [])


def without_effect(attempt: Attempt) -> Unmarked:
    """A step without effect: an earlier try of the whole command does not make it doubtful."""
    return Unmarked(attempt.deadline)


def _with_table(plan: Plan, known: Mapping[str, str]) -> Plan | None:
    table = known.get("table")
    if table is None or plan.calculate is None:
        return None
    return evolve(plan, calculate={**plan.calculate, "TableNumber": int(table)}, needs_table=False)


def _table_of(plan: Plan) -> dict[str, str]:
    number = (plan.calculate or {}).get("TableNumber")
    return {} if number is None else {"table": str(number)}


def _placed_by_another() -> Outcome:
    why = "this quote was given to another command already: repeat that one by its key, or ask for a new quote"
    return ended(Failure("conflict", why, details={"quote_id": "expected one that no other command has"}))


def _no_table() -> Outcome:
    why = "tevalis adds to the open bill of a table, and the table of this order is not known here: give options.table"
    return ended(Failure("unsupported", why, details={"supported": [*COMMANDS]}))


def _no_calculation(dto: Reader, answer: Answered) -> Outcome:
    said = answers.said(dto)
    text = "tevalis calculated the order without a UID" + (f": {said}" if said else "")
    return ended(Failure("vendor_unavailable", text, vendor_message=said), answer.json())


def _other_total(expected: Decimal, total: Decimal | None, answer: Answered) -> Outcome:
    details: JsonObject = {"expected_total": str(expected), "total": None if total is None else str(total)}
    told = "the POS told no total" if total is None else f"the POS comes to {total}"
    text = f"{told}, the kiosk expected {expected}; nothing was submitted"
    return ended(Failure("rejected", text, vendor_code="total", details=details), answer.json())


def _placed(answer: Answered, plan: Plan, uid: str, total: Decimal | None) -> Outcome:
    """A submission that Tevalis took: paid and closed, or open where the tenders fall short."""
    raw = answer.json()
    dto = Reader(raw if isinstance(raw, dict) else {})
    gross = dto.money("TotalGross") if dto.money("TotalGross") is not None else total
    submitted = answers.uid(dto) or uid
    owing = None if gross is None else gross + plan.tips - (plan.tendered or wire.ZERO)
    status = "closed" if owing is not None and owing == 0 and plan.tendered is not None else "open"
    told = answers.order(
        dto, uid=submitted, reference=plan.reference, status="closed" if status == "closed" else "open", owing=owing
    )
    if told["total"] is None and gross is not None:
        told["total"] = str(gross)
    result: JsonObject = {"order": told}
    if plan.tendered is not None and owing is not None and owing != 0:
        result["unbalanced"] = {"tendered": str(plan.tendered), "expected": str(owing + plan.tendered)}
    table = dto.whole("TableNumber")  # of a quote's order nothing else tells it, and a later round needs it
    return succeeded(result, raw, uid=submitted, **({} if table is None else {"table": str(table)}))


def _told(command: Command, answer: Answered) -> Outcome:
    raw = answer.json()
    match command.params:
        case CancelOrder() as cancel:
            dto = Reader(raw if isinstance(raw, dict) else {})
            told = answers.order(dto, uid=cancel.order_id, reference=None, status="cancelled", owing=None)
            return succeeded({"order": told, "cancellation_id": None}, raw)
        case GetMenu():
            return succeeded({"menu": raw}, raw)
        case VendorRequest() | QuoteOrder():
            return succeeded({"response": raw}, raw)
        case _:
            return succeeded({}, raw)
