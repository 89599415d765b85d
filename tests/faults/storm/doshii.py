"""A Doshii written from its support pages and the types of its SDK, and as strict as they are.

It compares the time in a token with its own right clock, as its page says: an app whose clock is days off is refused.
"""
# ruff: noqa: PLR0911 - a table of paths and what each answers

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import random
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.faults.storm.ledger import Evil, Ledger
from tests.faults.storm.web import HttpVendor, Reply, Request, post

LOCATION: Final = "Qm7Zt1"
CLIENT: Final = "app-client-7731"
SECRET: Final = "storm-doshii-secret"
WEBHOOK_KEY: Final = "storm-webhook-key"
WEBHOOK_TOKEN: Final = "storm-webhook-token"
BASE: Final = "/partner/v3"
VALID: Final = 600.0
TRIES: Final = 10
FINAL: Final = frozenset({"rejected", "cancelled", "venue_cancelled", "complete"})
quiet = logging.getLogger("tests.faults.storm.quiet")
quiet.setLevel(logging.CRITICAL)


class Doshii(HttpVendor):
    """The partner API, the app socket or webhooks, and the location's POS."""

    name = "doshii"
    weights: ClassVar[Mapping[Evil, float]] = {
        **dict.fromkeys((Evil.CUT_BEFORE, Evil.CUT_HEAD, Evil.CUT_AFTER, Evil.CUT_DURING), 2.0),
        **dict.fromkeys((Evil.LATE, Evil.SLOW_ACT, Evil.SILENT_BEFORE, Evil.SILENT_AFTER), 1.5),
        **dict.fromkeys((Evil.PAGE_BEFORE, Evil.PAGE_AFTER, Evil.PAGE_THEN_ACT), 2.0),
        **dict.fromkeys((Evil.OWN_503_BEFORE, Evil.OWN_500_BEFORE, Evil.OWN_503_AFTER, Evil.OWN_500_AFTER), 1.0),
        **dict.fromkeys((Evil.NOTHING_BEFORE, Evil.NOTHING_AFTER, Evil.TORN_AFTER), 1.0),
        **dict.fromkeys((Evil.REDIRECT, Evil.TOO_MANY, Evil.TIMEOUT_BEFORE, Evil.TIMEOUT_AFTER), 0.7),
        **dict.fromkeys((Evil.UNAUTHORISED, Evil.REFUSED), 0.7),
    }

    def __init__(self, ledger: Ledger, dice: random.Random, session: str, *, webhooks: bool) -> None:
        super().__init__(ledger, dice)
        self.session = session
        self.webhooks = webhooks
        self.inbound_port = 0
        self.orders: dict[str, dict[str, Any]] = {}
        self.cancelled_by: dict[str, str] = {}
        """The kiosk's key of an order's cancel, which the request itself does not show."""
        self._transactions: dict[str, list[dict[str, Any]]] = {}
        self._numbers = 90_000
        self._socket: Server | None = None
        self._sockets = set[ServerConnection]()
        self.socket_port = 0

    def is_change(self, request: Request) -> bool:
        return request.method in {"POST", "PUT", "DELETE"}

    def act(self, request: Request) -> Reply:
        refused = self._unauthorised(request)
        if refused is not None:
            return refused
        match request.path.removeprefix(f"{BASE}/").split("/"):
            case ["orders"] if request.method == "POST":
                return self._create(request)
            case ["orders"]:
                return self._list(request)
            case ["orders", identity] if identity in self.orders:
                return self._change(identity, request) if request.method == "PUT" else Reply(200, self.orders[identity])
            case ["orders", identity, "items"] if identity in self.orders and request.method == "POST":
                return self._append(identity, request)
            case ["orders", identity, "transactions"] if identity in self.orders:
                if request.method == "POST":
                    return self._pay(identity, request)
                return Reply(200, self._transactions.get(identity, []))
            case ["health", "locations", place] if place == LOCATION:
                return Reply(200, {"locationId": LOCATION, "name": "Storm", "heartbeat": _now(), "status": "active"})
            case ["locations", place, "menu"] if place == LOCATION:
                return Reply(200, {"products": [], "options": [], "surcounts": [], "version": "v"})
            case _:
                return self.error(404, "no such endpoint or resource")

    def _unauthorised(self, request: Request) -> Reply | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        with contextlib.suppress(ValueError, TypeError):
            head, claims, signature = token.split(".")
            expected = hmac.new(SECRET.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
            told = json.loads(_unpadded(claims))
            good = hmac.compare_digest(_unpadded(signature), expected) and told["clientId"] == CLIENT
            if good and abs(time.time() - told["timestamp"]) <= VALID:
                if request.headers.get("doshii-location-id") == LOCATION:
                    return None
                return self.error(400, "doshii-location-id is required")
        return self.error(401, "unauthorized")

    def _create(self, request: Request) -> Reply:
        body = request.json()
        order = body.get("order") if isinstance(body, dict) else None
        required = {"type", "items", "surcounts", "externalOrderRef"}
        if not isinstance(order, dict) or required - order.keys() or "consumer" not in body or _bad(order["items"]):
            self.ledger.violation("doshii", "create: a required field is missing")
            return self.error(400, "invalid order")
        self._numbers += 1
        identity = str(self._numbers)
        told = {name: value for name, value in order.items() if name != "status"}
        told["items"] = [item | {"uuid": str(uuid.uuid4())} for item in order["items"]]
        told |= {"id": identity, "locationId": LOCATION, "status": "pending", "unapprovedItems": [], "consumer": {}}
        told |= {"version": uuid.uuid4().hex, "createdAt": _now(), "updatedAt": _now(), "transactions": []}
        self.orders[identity] = told | {"uri": f"{self.url}{BASE}/orders/{identity}"}
        self.ledger.act(str(order["externalOrderRef"]), "create", self.name, request.arrived, identity)
        self.spawn(self._decide(identity))
        return Reply(200, self.orders[identity])

    def _list(self, request: Request) -> Reply:
        limit, offset = int(request.query.get("limit", 50)), int(request.query.get("offset", 0))
        if not 1 <= limit <= 100:
            self.ledger.violation("doshii", f"limit {limit}")
            return self.error(400, "limit")
        wanted = [status for status in request.query.get("status", "").split(",") if status]
        reference = request.query.get("externalOrderRef")
        found = [
            order
            for order in reversed(self.orders.values())
            if (not wanted or order["status"] in wanted) and reference in {None, order["externalOrderRef"]}
        ]
        rows = found[offset : offset + limit]
        return Reply(200, {"count": len(found), "offset": str(offset), "limit": str(limit), "rows": rows})

    def _change(self, identity: str, request: Request) -> Reply:
        body, order = request.json(), self.orders[identity]
        if not isinstance(body, dict) or not body.get("version"):
            self.ledger.violation("doshii", "PUT without a version")
            return self.error(400, "version is required")
        if body["version"] != order["version"]:
            return self.error(409, "stale version")
        if body.get("status") != "cancelled" or order["status"] in FINAL:
            return self.error(400, "the state machine does not allow it")
        key = self.cancelled_by.get(identity, f"cancel of {identity}")
        self.ledger.act(key, "cancel", self.name, request.arrived, identity)
        self._moved(identity, status="cancelled")
        return Reply(200, order)

    def _append(self, identity: str, request: Request) -> Reply:
        items, order = request.json(), self.orders[identity]
        if not isinstance(items, list) or not items or _bad(items):
            self.ledger.violation("doshii", "items: expected a bare array of items")
            return self.error(400, "invalid items")
        if order["status"] in FINAL:
            return self.error(400, "the state machine does not allow it")
        self.ledger.act(str(items[0]["name"]), "update", self.name, request.arrived, identity)
        order["unapprovedItems"] = order["unapprovedItems"] + [item | {"status": "pending"} for item in items]
        self._moved(identity)
        return Reply(200, order)

    def _pay(self, identity: str, request: Request) -> Reply:
        body, order = request.json(), self.orders[identity]
        if not isinstance(body, dict) or not isinstance(body.get("amount"), int):
            self.ledger.violation("doshii", "a transaction without an amount in cents")
            return self.error(400, "invalid transaction")
        if order["status"] != "accepted":
            return self.error(400, "the order is not accepted")
        told = {"id": uuid.uuid4().hex, "orderId": identity, "status": "pending", "version": uuid.uuid4().hex}
        told |= body | {"createdAt": _now(), "updatedAt": _now()}
        self.ledger.act(str(body.get("reference")), "payment", self.name, request.arrived, told["id"])
        self._transactions.setdefault(identity, []).append(told)
        self._moved(identity)
        return Reply(200, told)

    # The POS, and what the app hears

    async def _decide(self, identity: str) -> None:
        await asyncio.sleep(self.mischief.seconds(0.0, 1.0))
        if self.orders[identity]["status"] != "pending":
            return
        if self.dice.random() < 0.04:
            self.ledger.refused.add(str(self.orders[identity]["externalOrderRef"]))
            self._moved(identity, status="rejected", rejectionCode="O3", rejectionReason="Kitchen closed")
        else:
            self._moved(identity, status="accepted", posRef=identity[-3:])

    def _moved(self, identity: str, **changes: str) -> None:
        order = self.orders[identity]
        order.update(changes | {"version": uuid.uuid4().hex, "updatedAt": _now()})
        if "status" not in changes:
            return
        data = {name: order[name] for name in ("id", "status", "locationId", "externalOrderRef", "uri")}
        self.spawn(self._tell("order_updated", data))

    async def _tell(self, event: str, data: dict[str, Any]) -> None:
        for _ in range(2 if self.dice.random() < 0.2 else 1):
            await asyncio.sleep(self.mischief.seconds(0.0, 0.5))
            if self.webhooks:
                self.spawn(self._notify(json.dumps({"event": event, "data": data}).encode()))
                continue
            for connection in list(self._sockets):
                with contextlib.suppress(ConnectionClosed):
                    await connection.send(json.dumps({"emit": [event, data]}))

    async def _notify(self, raw: bytes) -> None:
        secret = base64.b64encode(f"{WEBHOOK_KEY}:{WEBHOOK_TOKEN}".encode()).decode()
        pause = 0.1
        for _ in range(TRIES):
            path = f"/webhooks/doshii/{self.session}"
            status = await post(self.inbound_port, path, raw, {"Authorization": f"Basic {secret}"})
            self.ledger.met[f"doshii: webhook {status}"] += 1
            if status is not None and 200 <= status < 300:
                return
            await asyncio.sleep(pause)
            pause = min(8.0, 1.8 * pause)

    async def open(self) -> None:
        await super().open()
        if self._socket is None:
            self._socket = await serve(self._listen, "127.0.0.1", self.socket_port, logger=quiet, compression=None)
            self.socket_port = self._socket.sockets[0].getsockname()[1]

    def cut_sockets(self) -> None:
        """Cut every event socket."""
        for connection in list(self._sockets):
            connection.transport.abort()

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            await self._socket.wait_closed()
        await super().close()

    async def _listen(self, connection: ServerConnection) -> None:
        query = (connection.request.path if connection.request else "").partition("?")[2]
        if f"auth={base64.b64encode(CLIENT.encode()).decode()}".rstrip("=") not in query.replace("%3D", "="):
            self.ledger.violation("doshii", "a socket without auth")
        self._sockets.add(connection)
        try:
            async for frame in connection:
                told = json.loads(frame)
                ping = told.get("doshii", {}).get("ping")
                if ping is None:
                    self.ledger.violation("doshii", "a frame that is no ping")
                    continue
                await connection.send(json.dumps({"doshii": {"pong": ping, "version": "3.9.1"}}))
        except ConnectionClosed:
            pass
        finally:
            self._sockets.discard(connection)


def _bad(items: Any) -> bool:
    required = {"name", "quantity", "unitPrice", "totalBeforeSurcounts", "totalAfterSurcounts", "options", "surcounts"}
    return not isinstance(items, list) or any(not isinstance(item, dict) or required - item.keys() for item in items)


def _unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
