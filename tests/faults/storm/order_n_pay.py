"""An Order N Pay POS written from its pages (docs.powerepos.cloud/Document/OrderNPay/…), and as strict as they are.

It knows repeats by RequestID, as the page of the request says, and answers them as it did the first time; or, since no page
says how, with a code of its own.
"""
# ruff: noqa: C901, PLR0911, PLR0912 - a table of what befalls a request

import asyncio
import contextlib
import json
import logging
import random
import time
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.storm.ledger import Evil, Ledger, Mischief
from tests.faults.storm.web import post_json

PROVIDER: Final = 777
PROVIDER_NAME: Final = "Demo Provider"
DEVICE: Final = "T-19"
USER: Final = "0b7c1b7e-1111-4222-8333-444455556666"
MODE: Final = "7a7a7a7a-0000-4000-8000-000000000009"
CREDENTIALS: Final = {"ProviderOutletID": "venue-0042", "POSRemoteID": "remote-7f", "AuthSecret": "storm-auth-secret"}
MESSAGES: Final = {0: "GetUserFromPIN", 1: "GetOpenOrders", 2: "GetOrder", 11: "CreateOrder", 12: "UpdateOrder"} | {
    14: "CreatePayment"
}
REQUIRED: Final = {
    0: {"PIN"},
    1: {"ServiceModeEntityID", "UserOrdersOnly"},
    2: {"SalesTransactionID"},
    11: {"ProviderOrderID", "ServiceModeID", "ServiceModeEntityID"},
    12: {"SalesTransactionID"},
    14: {"SalesTransactionID", "Payment"},
}
PRODUCT: Final = {"ProductType", "Name", "Quantity", "Price", "TotalAmount"}
LARGEST: Final = 262_144
"""What the daemon is configured to take."""

quiet = logging.getLogger("tests.faults.storm.quiet")
quiet.setLevel(logging.CRITICAL)


class Pos:
    """One outlet's POS: it waits to be dialled, or dials the daemon."""

    name = "order-n-pay"
    weights: ClassVar[Mapping[Evil, float]] = {
        **dict.fromkeys((Evil.CUT_BEFORE, Evil.CUT_AFTER, Evil.CUT_DURING), 1.5),
        **dict.fromkeys((Evil.LATE, Evil.SLOW_ACT, Evil.REORDER), 2.0),
        **dict.fromkeys((Evil.SILENT_BEFORE, Evil.SILENT_AFTER), 1.0),
        **dict.fromkeys((Evil.TWICE, Evil.GARBAGE, Evil.FOREIGN), 1.0),
        **dict.fromkeys((Evil.CLOSED_AFTER, Evil.HUGE, Evil.NOTHING_AFTER), 0.7),
        Evil.REFUSED: 1.0,
    }

    def __init__(self, ledger: Ledger, dice: random.Random, *, repeats: str = "replayed") -> None:
        self.ledger = ledger
        self.dice = dice
        self.repeats = repeats
        self.mischief = Mischief(dice, self.weights, ledger, self.name)
        self.port = 0
        self.inbound_port = 0
        self.refusals = 0
        self._refused: dict[str, float] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._contents: dict[str, str] = {}
        self._orders: dict[str, dict[str, Any]] = {}
        self._connections = set[Connection]()
        self._server: Server | None = None
        self._tasks = set[asyncio.Task[Any]]()
        self._dialling: asyncio.Task[None] | None = None

    # Connections

    async def open(self) -> None:
        """Wait to be dialled."""
        self._server = await serve(
            self._converse, "127.0.0.1", self.port, logger=quiet, compression=None, ping_interval=None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def dial(self) -> None:
        """Dial the daemon, again and again."""
        self._dialling = asyncio.get_running_loop().create_task(self._keep_dialling())

    async def _keep_dialling(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                status, told = await post_json(self.inbound_port, "/api/powerepos/v1/auth", CREDENTIALS)
                token = told.get("AccessToken") if isinstance(told, dict) else None
                if status == 200 and token:
                    url = f"ws://127.0.0.1:{self.inbound_port}/ws?token={token}"
                    async with connect(url, proxy=None, compression=None, logger=quiet, open_timeout=5) as connection:
                        await self._converse(connection)
                elif status is not None:
                    self.refusals += 1
            await asyncio.sleep(0.1)

    async def shut(self) -> None:
        """Be gone for a while."""
        self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
            self._dialling = None

    async def close(self) -> None:
        """Be gone for good."""
        await self.shut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection."""
        for connection in list(self._connections):
            connection.transport.abort()

    async def _converse(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            async for frame in connection:
                task = asyncio.get_running_loop().create_task(self._answer(connection, frame, time.monotonic()))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)

    # Requests

    async def _answer(self, connection: Connection, frame: str | bytes, arrived: float) -> None:
        request = self._read(frame)
        if request is None:
            return
        changes = request["MessageType"] in {11, 12, 14}
        self.ledger.requests[f"{self.name} {'changes' if changes else 'reads'}"] += 1
        evil = self.mischief.pick() if changes or self.dice.random() < 0.2 else None
        with contextlib.suppress(ConnectionClosed):
            await self._befall(connection, request, evil, arrived)

    async def _befall(self, connection: Connection, request: dict[str, Any], evil: Evil | None, arrived: float) -> None:
        match evil:
            case Evil.CUT_BEFORE:
                connection.transport.abort()
                return
            case Evil.SILENT_BEFORE:
                return
            case Evil.SLOW_ACT:
                await asyncio.sleep(self.mischief.seconds())
        identity = request["RequestID"]
        seen = identity in self._answers
        told = self._act(request, arrived, refused=evil is Evil.REFUSED and not seen)
        match evil:
            case Evil.CUT_AFTER:
                connection.transport.abort()
                return
            case Evil.CUT_DURING:
                text = json.dumps(told).encode()
                frame = bytes([0x81, 0xFE]) if len(text) > 65_535 else bytes([0x81, 126]) + len(text).to_bytes(2, "big")
                with contextlib.suppress(RuntimeError):  # which asyncio's transport raises where its end was written
                    connection.transport.write(frame + text[: self.dice.randrange(len(text))])
                await asyncio.sleep(0.01)
                connection.transport.abort()
                return
            case Evil.SILENT_AFTER:
                return
            case Evil.LATE | Evil.REORDER:
                await asyncio.sleep(self.mischief.seconds(0.05, 2.5 if evil is Evil.LATE else 0.4))
            case Evil.GARBAGE:
                await connection.send(self.dice.choice(("", "{", "[]", "null", '{"RequestID": 7}', b"\xff\xfe")))
            case Evil.FOREIGN:
                await connection.send(json.dumps(told | {"RequestID": str(uuid.uuid4())}))
            case Evil.CLOSED_AFTER:
                await connection.close(self.dice.choice((1000, 1001, 1011, 1012, 1013)))
                return
            case Evil.HUGE if not seen:
                await connection.send(json.dumps(told | {"ErrorMessage": "x" * (LARGEST + 1)}))
                return
            case Evil.NOTHING_AFTER:
                await connection.send(json.dumps({"RequestID": identity, "MessageType": request["MessageType"]}))
        await self._send_to_anyone(connection, told)
        if evil is Evil.TWICE:
            await self._send_to_anyone(connection, told)

    async def _send_to_anyone(self, connection: Connection, told: dict[str, Any]) -> None:
        """Answer on the connection that there is now, where the one that asked is gone."""
        other = connection if connection in self._connections else next(iter(self._connections), connection)
        await other.send(json.dumps(told))

    def _read(self, frame: str | bytes) -> dict[str, Any] | None:
        try:
            request = json.loads(frame)
        except ValueError:
            self.ledger.violation(self.name, "no JSON")
            return None
        envelope = {"RequestID", "ProviderID", "ProviderName", "DeviceID", "UserIdentifier", "MessageType", "Payload"}
        if envelope - request.keys():
            self.ledger.violation(self.name, f"lacks {sorted(envelope - request.keys())}")
            return None
        kind, payload = request["MessageType"], request["Payload"]
        wrong = kind not in MESSAGES or not isinstance(payload, dict) or bool(REQUIRED[kind] - payload.keys())
        wrong = wrong or len(request["RequestID"]) > 256 or request["ProviderID"] != PROVIDER
        wrong = wrong or any(PRODUCT - product.keys() for product in payload.get("Products") or [])
        if wrong:
            self.ledger.violation(self.name, f"message {kind} is not as its page says")
        return None if wrong else dict(request)

    # What the POS does

    def _act(self, request: dict[str, Any], arrived: float, *, refused: bool) -> dict[str, Any]:
        kind, payload, identity = request["MessageType"], request["Payload"], request["RequestID"]
        if kind in {11, 12, 14}:
            known = self._answers.get(identity)
            if known is not None:
                if json.dumps(payload, sort_keys=True) != self._contents[identity]:
                    self.ledger.violation(self.name, "the same RequestID with other content")
                return known if self.repeats == "replayed" else _told(request, 9, "Duplicate request")
        # A copy that took its time is decided with the newer one that was refused meanwhile: what is refused changes nothing.
        refused = refused or self._refused.get(identity, arrived) > arrived
        if refused:
            self._refused[identity] = time.monotonic()
        told = self._refuse(request) if refused else self._do(request, arrived)
        if kind in {11, 12, 14} and not refused:  # what was refused was not processed
            self._answers[identity] = told
            self._contents[identity] = json.dumps(payload, sort_keys=True)
        return told

    def _refuse(self, request: dict[str, Any]) -> dict[str, Any]:
        stock = {"Order": None, "OutOfStockProducts": [{"PLUIdentifier": "1203", "Name": "Soup"}]}
        return _told(request, 6, "Insufficent stock", stock if request["MessageType"] != 14 else None)

    def _do(self, request: dict[str, Any], arrived: float) -> dict[str, Any]:
        payload = request["Payload"]
        order = self._orders.get(str(payload.get("SalesTransactionID")))
        match request["MessageType"]:
            case 11:
                order = self._open(payload)
                self._note(payload["ProviderOrderID"], "create", arrived, order["SalesTransactionID"])
            case 12 if order is not None:
                order["Products"] = order["Products"] + (payload.get("Products") or [])
                self._note(payload["Products"][0]["Name"], "update", arrived, order["SalesTransactionID"])
            case 14 if order is not None:
                paid = str(uuid.uuid4())
                self._note(payload["Payment"]["ProviderPaymentID"], "payment", arrived, paid)
                return _told(request, 0, None, {"SalesTransactionPaymentID": paid, "OrderSummary": _summary(order)})
            case 1:
                orders = [_summary(one) for one in list(self._orders.values())[-20:]]
                return _told(request, 0, None, {"Orders": orders, "UserOrdersOnly": payload["UserOrdersOnly"]})
            case 2 if order is not None:
                pass
            case _:
                return _told(request, 4, "not found")
        return _told(request, 0, None, {"Order": order, "OutOfStockProducts": None})

    def _note(self, key: str, kind: str, arrived: float, identity: str) -> None:
        self.ledger.act(str(key), kind, self.name, arrived, identity)

    def _open(self, payload: dict[str, Any]) -> dict[str, Any]:
        identity = str(uuid.uuid4())
        order: dict[str, Any] = {
            "SalesTransactionID": identity,
            "ServiceModePrefix": "TBL",
            "ServiceModeEntityID": payload["ServiceModeEntityID"],
            "OrderNumberOpened": f"B{len(self._orders)}",
            "CurrencyCode": "GBP",
            "Amount": 4.5,
            "AmountOwing": 4.5,
            "IsClosed": False,
            "RemainingServiceChargeAmount": 0.0,
            "Covers": 1,
            "Products": payload.get("Products") or [],
            "OwnedBy_UserID": USER,
            "OwnedBy_UserName": "Asha",
        }
        self._orders[identity] = order | dict.fromkeys(("Taxes", "Payments", "Adjustments", "Notes"), ())
        return self._orders[identity]


def _told(request: dict[str, Any], code: int, message: str | None, payload: Any = None) -> dict[str, Any]:
    told = {"RequestID": request["RequestID"], "ResultCode": code, "ErrorMessage": message}
    return told | {"MessageType": request["MessageType"], "Payload": payload}


def _summary(order: dict[str, Any]) -> dict[str, Any]:
    names = ("SalesTransactionID", "ServiceModePrefix", "ServiceModeEntityID", "OrderNumberOpened", "OwnedBy_UserID")
    told = {name: order[name] for name in (*names, "CurrencyCode", "Amount", "AmountOwing")}
    return told | {"InUse": False, "InUseByTerminalDisplayID": None, "InUseByUserName": None}
