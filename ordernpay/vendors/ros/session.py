"""A session of ROS: adds and cancels by REST, learns by webhook what the outlet made of it.

| ROS answers                            | add                                         | cancel, menu, active outlets        |
|----------------------------------------|---------------------------------------------|-------------------------------------|
| 400, 403                               | never again                                 | never again                         |
| 401                                    | once, with a new token                      | once, with a new token              |
| 503, in JSON                           | after 30 s, or when it says                 | the same                            |
| 500, in JSON                           | three times, with a short growing delay     | the same                            |
| another 5xx, or one that is not JSON   | never again: `unknown` until a webhook      | three times                         |
| nothing, or 2xx without an id          | never again: `unknown` until a webhook      | again until the deadline            |

Source: the table of docs.powerepos.cloud/Document/ROS/CancelRemoteOrder; what stands before ROS has no table, and may have
passed an add on.
"""

from collections.abc import Callable
from typing import Final

from attrs import frozen

from ordernpay.clock import Clock
from ordernpay.commands import CancelOrder, Command, CreateOrder, GetMenu, VendorRequest
from ordernpay.config import Inbound
from ordernpay.conversion import Fault, Faults, structure
from ordernpay.jsontext import dumps
from ordernpay.orders import Order
from ordernpay.outcomes import Failure, Outcome, succeeded
from ordernpay.redaction import of_session
from ordernpay.vendors.http import Answered, Call, Http, NotSent
from ordernpay.vendors.paths import climbs
from ordernpay.vendors.protocol import (
    Attempt,
    Door,
    HttpAnswer,
    HttpRequest,
    Prepared,
    Publish,
    Report,
    SessionStatus,
    Settlement,
    WebsocketDoor,
    lacking,
)
from ordernpay.vendors.reading import charset_of
from ordernpay.vendors.rest import Probing, RestLine, ended_late
from ordernpay.vendors.ros import webhooks, wire
from ordernpay.vendors.ros.settings import Options, RosConfig
from ordernpay.vendors.ros.token import Token, TokenDesk
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.tries import Rules
from ordernpay.vendors.unpacking import apart

COMMANDS: Final = ("order.create", "order.cancel", "menu.get", "vendor.request")
UNSIGNED: Final = HttpAnswer(401, {"error": "signature missing or wrong"})
PROBE_SECONDS: Final = 15.0
WEBHOOK_BYTES: Final = 2**21

Late = Callable[[Answered], None]


@frozen
class Work:
    """A request to ROS: its path below `svc`, its body, and whether it may be repeated."""

    method: str
    path: str
    body: str | None
    repeatable: bool


class RosSession:
    """One outlet behind ROS."""

    vendor = "ros"
    exclusive = False
    options = Options

    def __init__(self, name: str, config: RosConfig, _inbound: Inbound, publish: Publish, clock: Clock) -> None:
        self.name = name
        self.commands = COMMANDS
        self._config = config
        self._publish = publish
        self._clock = clock
        self._http = Http(clock, ClientTls.of(config), carried=of_session(name).learn)
        self._line = RestLine(name, self.vendor, self._http, publish, clock)
        self._tokens = TokenDesk(config, self._http, clock)

    # Commands

    def unsupported(self, method: str) -> Failure | None:
        return lacking(self.vendor, self.commands, method)

    def prepare(self, command: Command) -> Prepared:
        faults: list[Fault] = []
        try:
            given = structure(command.options, Options, "options")
        except Faults as error:
            faults, given = list(error.faults), Options()
        work, ids = self._work(command, self._config.merged(given), faults)
        if faults:
            raise Faults(faults)
        return Prepared(work, command.content(), vendor_ids=ids | {"key": command.key})

    def _work(self, command: Command, options: Options, faults: list[Fault]) -> tuple[Work, dict[str, str]]:
        config = self._config
        match command.params:
            case CreateOrder(order=Order() as order):
                body = wire.add_body(order, config, options, faults)
                ids = {"provider_order_id": order.reference or ""}
                return Work("POST", wire.ADD, dumps(body), repeatable=False), ids
            case CreateOrder():
                faults.append(Fault("quote_id", "ros keeps no quotes: expected order"))
                return Work("POST", wire.ADD, None, repeatable=False), {}
            case CancelOrder() as cancel:
                body = wire.cancel_body(cancel, config, options, faults)
                return Work("POST", wire.CANCEL, dumps(body), repeatable=True), {"cancels": cancel.order_id}
            case GetMenu():
                path = f"{wire.MENU}{config.provider_id}/{config.outlet_id}"
                return Work("GET", path, None, repeatable=True), {}
            case VendorRequest() as native:
                return _native(native, faults), {}
            case _:
                raise TypeError(f"ros has no request for {type(command.params).__name__}")

    def may_repeat(self, method: str) -> bool:
        """A cancel, since a second one does no harm; an add never, since ROS would make a second order of it."""
        return method == "order.cancel"

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        work: Work = prepared.work
        changes = command.type.changes
        answer = await self._request(
            work, attempt, changes=changes, may_wait=command.when_offline == "wait", late=self._late(command)
        )
        return answer if isinstance(answer, Outcome) else self._told(command, answer)

    async def _request(
        self,
        work: Work,
        attempt: Attempt,
        *,
        changes: bool,
        may_wait: bool,
        late: Late | None = None,
    ) -> Answered | Outcome:
        used: list[Token] = []

        async def build() -> Call | Outcome | NotSent:
            token = await self._tokens.get(attempt.deadline)
            if not isinstance(token, Token):
                if self._tokens.refused is not None:
                    self._line.change("refused", self._tokens.refused)
                return token
            used[:] = [token]
            headers = {"Authorization": f"Bearer {token.value}", "Accept": "application/json"}
            if work.body is not None:
                headers["Content-Type"] = "application/json"
            return Call(work.method, token.url(work.path), headers, work.body.encode() if work.body else None)

        rules = Rules(
            repeatable=work.repeatable,
            changes=changes,
            unavailable_seconds=self._config.unavailable_seconds,
            error_delays=self._config.error_delays,
            undone=wire.UNDONE,
            shows=lambda answer: wire.shows(work.path, answer.json(), self._config.field_names),
        )
        return await self._line.perform(
            build,
            attempt,
            rules,
            may_wait=may_wait,
            renew=lambda: self._tokens.forget(used[0] if used else None),
            late=late,
        )

    def _late(self, command: Command) -> Late | None:
        if not command.type.changes:
            return None

        def late(answer: Answered) -> None:
            def ended(known: Command) -> Outcome:
                return ended_late(answer, lambda told: self._told(known, told))

            self._line.reporter.report(Report(settlement=Settlement("key", command.key, ended)))

        return late

    def _told(self, command: Command, answer: Answered) -> Outcome:
        """How a command ended that ROS answered with 2xx."""
        raw = answer.json()
        match command.params:
            case CreateOrder(order=Order() as order):
                remote_id = wire.identity(raw, self._config.field_names.order_id)
                total = sum((wire.line_total(line) for line in order.lines), wire.ZERO)
                total += sum((entry.amount for entry in order.adjustments), wire.ZERO)
                told = webhooks.order_told(remote_id, order.reference, "submitted", format(total, "f"))
                return succeeded({"order": told}, raw, **webhooks.known_as(remote_id))
            case CancelOrder():
                cancellation = wire.identity(raw, self._config.field_names.cancellation_id)
                return succeeded({"order": None, "cancellation_id": cancellation}, raw)
            case GetMenu():
                return succeeded({"menu": raw}, raw)
            case _:
                return succeeded({"response": raw}, raw)

    # The connection

    async def run(self) -> None:
        await self._line.run(self._probe, self._config.probe_seconds)

    async def _probe(self) -> None:
        """GET activeoutlets: the token is good, ROS is there, and the outlet has us switched on."""
        path = f"remoteorders/activeoutlets/{self._config.provider_id}"
        work = Work("GET", path, None, repeatable=False)
        answer = await self._request(work, Probing(self._clock.now() + PROBE_SECONDS), changes=False, may_wait=False)
        if isinstance(answer, Outcome) and answer.failure is not None and answer.failure.kind == "session_unavailable":
            self._tokens.doubt()
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

    # Webhooks

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        path = f"/webhooks/ros/{self.name}"
        return (Door(path, self._notified, UNSIGNED, patient=True, webhook=True, expects=_expected),)

    async def _notified(self, request: HttpRequest) -> HttpAnswer | None:
        secret = self._config.webhook_secret
        signature = request.headers.get(webhooks.SIGNATURE, "")
        if secret is None or not webhooks.signed(request.body, signature, secret.reveal()):
            return None
        name = request.headers.get(webhooks.NOTIFICATION)
        ours = webhooks.Ours(self._config.organisation, self._config.outlet_id)
        charset = charset_of(request.headers.get("content-type", ""))
        notification = await apart(request.body, lambda: webhooks.read(request.body, name, ours, charset))
        if notification is None:
            return HttpAnswer(400, {"error": "expected a JSON object"})
        self._line.counters["webhooks"] += 1
        if not notification.reports:
            return HttpAnswer(200, {})
        try:
            published = await self._publish(
                notification.reports, notification.names, notification.within, notification.of
            )
        except OSError:
            return HttpAnswer(503, {"error": "not now"}, {"Retry-After": "30"})
        return HttpAnswer(200, {}, result=None if published.news else "repeat")


def _native(params: VendorRequest, faults: list[Fault]) -> Work:
    """`vendor.request`: `{"method", "path", "body"}`; the path below `svc`."""
    request = dict(params.request)
    method, path, body = request.pop("method", "POST"), request.pop("path", None), request.pop("body", None)
    if method not in ("GET", "POST"):
        faults.append(Fault("request.method", "expected GET or POST"))
    if not isinstance(path, str) or not path or path.startswith("/") or "://" in path or climbs(path):
        faults.append(Fault("request.path", "expected a path below svc, such as remoteorders/cancel"))
    faults += [Fault(f"request.{name[:60]}", "unknown; known are method, path, body") for name in request]
    text = None if body is None else dumps(body)
    return Work(str(method), str(path), text, repeatable=method == "GET")


def _expected(request: HttpRequest) -> int:
    """A body can be proved by its signature alone, and by none that is not there."""
    return WEBHOOK_BYTES if webhooks.is_signature(request.headers.get(webhooks.SIGNATURE, "")) else 0
