"""What Doshii tells a session, by socket and by webhook: durable before it is acknowledged, and once."""

import base64
import contextlib
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

import anyio
from attrs import evolve

from ordernpay.clock import Clock
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.vendors.doshii import answers
from ordernpay.vendors.doshii.feed import Feed
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.protocol import (
    Door,
    HttpAnswer,
    HttpRequest,
    Publish,
    Published,
    Report,
    SessionState,
    WebsocketDoor,
)
from ordernpay.vendors.reading import Reader, charset_of, tolerant
from ordernpay.vendors.rest import RestLine
from ordernpay.vendors.unpacking import apart

UNAUTHORISED: Final = HttpAnswer(401, {"error": "authorisation missing or wrong"})
SAME_WITHIN: Final = 600.0
"""Seconds within which an event with the same content is the same event; Doshii gives deliveries no name."""
WEBHOOK_BYTES: Final = 2**21
CHALLENGE_BYTES: Final = 4_096
"""Of a body by which Doshii finds out that we are here, and which no authorisation has."""
QUOTES_KEPT: Final = 1_000
PAUSE: Final = 1.0
PREPROCESS: Final = "order_preprocess"
SUBSCRIPTION: Final = "location_subscription"
ENDS: Final = frozenset({"complete", "rejected"})
ORDER_EVENTS: Final = frozenset({"order_created", "order_updated"})
MOVES_ON: Final = ORDER_EVENTS | {PREPROCESS, "transaction_created", "transaction_updated"}
"""Events of what never goes back to a state that it was in: one that was told before is a repeat, late as it may come."""
SUBJECT: Final = ("id", "orderId", "locationId", "posId", "type", "itemUri")
"""What tells whose state any other event tells: a product goes, comes back and goes again within minutes."""


class Inbox:
    """The events of one session."""

    def __init__(
        self,
        name: str,
        config: DoshiiConfig,
        clock: Clock,
        publish: Publish,
        line: RestLine,
        catch_up: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._name = name
        self._config = config
        self._clock = clock
        self._publish = publish
        self._line = line
        self._quotes: OrderedDict[str, tuple[JsonObject, JsonValue]] = OrderedDict()
        self._news = anyio.Event()
        self._told: OrderedDict[str, str] = OrderedDict()
        self._caught: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._feed = Feed(name, config, clock, self._from_socket, catch_up, self._socket_changed, line.http.seen)
        if config.socket_url is not None:
            line.pulses.append(self._feed.pulse)
            line.lacking = "the socket for events is not connected yet"

    async def run(self) -> None:
        """Listen on the socket, where there is one."""
        if self._config.socket_url is not None:
            await self._feed.run()

    def reconnect(self) -> None:
        """A new socket."""
        self._feed.reconnect()

    def _socket_changed(self, state: SessionState, why: str | None) -> None:
        self._line.lacking, self._line.without = (None, "down") if state == "up" else (why, state)
        if state != "up":
            self._line.change(state, why)
        self._line.reconnect()

    # Quotes

    async def quote(self, quote_id: str, deadline: float) -> tuple[JsonObject, JsonValue] | None:
        """The event that ends a pre-process, also one that came before anybody asked; None where none comes in time."""
        while True:
            news = self._news
            found = self._quotes.get(quote_id)
            if found is not None:
                return found
            remaining = deadline - self._clock.now()
            if remaining <= 0:
                return None
            with anyio.move_on_after(min(remaining, PAUSE)):
                await news.wait()

    def _keep_quote(self, name: str, data: JsonObject, raw: JsonValue) -> None:
        reader = Reader(data)
        quote_id = answers.identity(reader, "id")
        if name != PREPROCESS or quote_id is None or answers.status(reader) not in ENDS:
            return
        self._quotes[quote_id] = (data, raw)
        while len(self._quotes) > QUOTES_KEPT:
            self._quotes.popitem(last=False)
        self._news.set()
        self._news = anyio.Event()

    # Events

    async def _take(self, name: str, data: JsonObject, raw: JsonValue) -> Published:
        """Publish an event, unless its twin was; raises `OSError` while the journal cannot be written."""
        reader = Reader(data)
        if self._is_elsewhere(name, data, raw):
            self._keep_quote(name, data, raw)  # which is known by its id
            return Published(news=False, settled=0)
        content = _digest(name, data)
        if name in MOVES_ON:
            within = None if name == PREPROCESS and answers.status(reader) in ENDS else SAME_WITHIN
            how: tuple[str, float | None, str | None] = f"doshii:{content}", within, None
        else:
            of = f"doshii:{_digest(name, {key: data.get(key) for key in SUBJECT})}:"
            how = of + content, SAME_WITHIN, of
        tells_order = name in ORDER_EVENTS
        caught_up = tells_order and self._is_caught_up(reader)
        told = [] if caught_up else [answers.event(name, reader, raw)]
        published = await self._publish(told, *how, also=_state_of(reader) if tells_order else None)
        self._keep_quote(name, data, raw)
        if tells_order:
            self._note(reader)
        return Published(news=False, settled=0) if caught_up else published

    def _is_caught_up(self, order: Reader) -> bool:
        """Whether an event that comes late tells what was found, and told, by catching up."""
        status, at = self._caught.get(answers.identity(order, "id") or "", (None, 0.0))
        return status is not None and status == answers.status(order) and self._clock.wall() - at <= SAME_WITHIN

    def _is_elsewhere(self, name: str, data: JsonObject, message: JsonValue) -> bool:
        """Whether an event is of another location: a socket, or a global webhook, brings those of all that the app serves."""
        if name == SUBSCRIPTION:  # whose id is that of the location
            data = {"locationId": data.get("id")} | data
        return answers.is_elsewhere(self._config.location_id, data, message)

    def _note(self, order: Reader) -> None:
        identity, status = answers.identity(order, "id"), answers.status(order)
        if identity is not None and status is not None:
            self._told[identity] = status
            while len(self._told) > QUOTES_KEPT:
                self._told.popitem(last=False)

    def note_made(self, raw: JsonValue) -> None:
        """An order that we made, unless its events were faster."""
        order = Reader(raw if isinstance(raw, dict) else {})
        if answers.identity(order, "id") not in self._told:
            self._note(order)

    def heard(self) -> dict[str, str]:
        """The orders that we have heard of, and what of each last."""
        return dict(self._told)

    def heard_of(self, order_id: str) -> str | None:
        """What we last heard of an order."""
        return self._told.get(order_id)

    async def _from_socket(self, name: str, data: JsonObject, raw: JsonValue) -> None:
        while True:
            try:
                await self._take(name, data, raw)
            except OSError:
                await anyio.sleep(PAUSE)
            else:
                return

    async def caught_up(self, raw: JsonObject) -> None:
        """An order as it stands: told once for each state that it was found in, where we have heard of it or made it."""
        reader = Reader(raw)
        identity, status = answers.identity(reader, "id"), answers.status(reader)
        if identity is None or status is None or self._told.get(identity) == status:
            return
        heard_of = identity in self._told
        self._note(reader)
        if status == "pending":
            return  # nobody has done anything with it yet
        data: JsonObject = {
            name: reader.get(name)
            for name in ("id", "status", "externalOrderRef", "rejectionCode", "rejectionReason")
            if reader.get(name) is not None
        }
        report: Report = answers.event("order_updated", Reader(data), raw)
        if not heard_of:
            report = evolve(report, known=("order_id", identity))
        self._caught[identity] = status, self._clock.wall()
        while len(self._caught) > QUOTES_KEPT:
            self._caught.popitem(last=False)
        while True:  # by its name, or what was told before a restart would be told again
            try:
                await self._publish([report], _state(identity, status))
            except OSError:
                await anyio.sleep(PAUSE)
            else:
                return

    # Webhooks

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        """Where Doshii's webhooks come in, if there is a token by which they prove themselves."""
        if self._config.webhook_token is None:
            return ()
        path, methods = f"/webhooks/doshii/{self._name}", ("GET", "POST")
        return (
            Door(
                path,
                self._from_webhook,
                UNAUTHORISED,
                methods=methods,
                patient=True,
                webhook=True,
                expects=self._expected,
            ),
        )

    def _expected(self, request: HttpRequest) -> int:
        """Bytes of a body that are worth reading: of who is not authorised, those of a verification."""
        return WEBHOOK_BYTES if self._authorised(request.headers.get("authorization", "")) else CHALLENGE_BYTES

    async def _from_webhook(self, request: HttpRequest) -> HttpAnswer | None:
        challenge = _challenge(request)
        if challenge is not None:  # the call by which Doshii finds out that we are here; it tells nothing
            return HttpAnswer(200, challenge, result="verified")
        if not self._authorised(request.headers.get("authorization", "")):
            return None
        try:
            charset = charset_of(request.headers.get("content-type", ""))
            message: JsonValue = await apart(request.body, lambda: tolerant(request.body, charset))
        except (ValueError, RecursionError):
            return HttpAnswer(400, {"error": "expected a JSON object"})
        event = answers.envelope(message)
        if event is None:
            return HttpAnswer(400, {"error": "expected an event"})
        self._line.counters["webhooks"] += 1
        try:
            published = await self._take(event[0], event[1], message)
        except OSError:
            return HttpAnswer(503, {"error": "not now"}, {"Retry-After": "30"})
        return HttpAnswer(200, {}, result=None if published.news else "repeat")

    def _authorised(self, header: str) -> bool:
        key, token = self._config.webhook_key, self._config.webhook_token
        if token is None:
            return False
        if key is None:
            expected = f"Bearer {token.reveal()}"
        else:
            pair = f"{key.reveal()}:{token.reveal()}".encode()
            expected = f"Basic {base64.b64encode(pair).decode()}"
        return hmac.compare_digest(header.encode(), expected.encode())


def _challenge(request: HttpRequest) -> str | None:
    """The parameter of a verification, in the query or alone in the body; None where this is none."""
    asked = request.query.get("verify")
    if asked is not None:
        return None if request.body.strip(b"{} \r\n") else asked
    if len(request.body) > CHALLENGE_BYTES:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        match tolerant(request.body, charset_of(request.headers.get("content-type", ""))):
            case {"verify": str(word), **more} if not more:
                return word
    return None


def _state(order_id: str, status: str) -> str:
    """The name under which the journal remembers that an order was told to be in a state, also beyond a restart."""
    return f"doshii:order:{order_id}:{status}"


def _state_of(order: Reader) -> str | None:
    identity, status = answers.identity(order, "id"), answers.status(order)
    return None if identity is None or status is None else _state(identity, status)


def _digest(name: str, data: JsonObject) -> str:
    """The same for the same content, however it came: by which envelope, with numbers or with texts of them."""
    return hashlib.sha256(f"{name}\0{dumps(_plain(data), sort_keys=True)}".encode()).hexdigest()


def _plain(value: JsonValue) -> JsonValue:
    match value:
        case dict():
            return {name: _plain(entry) for name, entry in value.items()}
        case list():
            return [_plain(entry) for entry in value]
        case None | bool():
            return value
        case _:
            return str(value).strip()
