"""The events that an App hears, and their envelopes.

Sources: the page "Upon Order pre-processed" of https://support.doshii.com, whose two examples are ``REJECTED`` and
``COMPLETE``; https://support.doshii.io/hc/en-us/articles/115004527494-Upon-Transaction-updated;
https://support.doshii.com/developer-support/hc/en-us/articles/115004527514-upon-menu-updated; for the third envelope
``lib/index.ts`` of https://github.com/doshii-io/doshii-partner-node-sdk.

Assumed, because no page that was seen says it: the fields of ``order_created`` and ``order_updated``; see ``order_fields``.
"""

import json
from enum import StrEnum
from typing import Final

from attrs import define, field

from ordernpay.simulator.doshii.book import Preprocess
from ordernpay.simulator.doshii.records import Order, Style, Transaction
from ordernpay.simulator.doshii.sockets import Sockets
from ordernpay.simulator.doshii.webhooks import Webhooks
from ordernpay.simulator.pages import Record

EXAMPLE_ID: Final = "f77011a6-f4f9-4fe7-ba75-5319c3e59916"
EXAMPLE_LOCATION: Final = "2xYdsw233"
REJECTED: Final[Record] = {
    "id": EXAMPLE_ID,
    "status": "rejected",
    "locationId": EXAMPLE_LOCATION,
    "rejectionCode": "O1",
    "rejectionReason": "Unknown item",
}
COMPLETE: Final[Record] = {
    "id": EXAMPLE_ID,
    "status": "complete",
    "locationId": EXAMPLE_LOCATION,
    "posAdjusted": True,
    "validUntil": None,
    "order": {
        "type": "pickup",
        "surcounts": [],
        "items": [
            {
                "name": "Toasted Sourdough Bread & Eggs",
                "description": "Just ye old classic",
                "unitPrice": "1100",
                "totalBeforeSurcounts": "1100",
                "totalAfterSurcounts": "1100",
                "posId": "toasted_eggs",
                "quantity": 1,
                "type": "single",
                "surcounts": [],
                "options": [],
            }
        ],
    },
}


class Envelope(StrEnum):
    """How an event is wrapped."""

    EVENT = "event"
    """``{"event": name, "data": data}``, as the App's pages print it."""
    TYPE = "type"
    """``{"type": name, "data": data}``, as many pages for the POS print it."""
    EMIT = "emit"
    """``{"emit": [name, data]}``, as the clients that work read it on the socket."""

    def wrap(self, event: str, data: Record) -> Record:
        """An event in its envelope."""
        match self:
            case Envelope.EMIT:
                return {"emit": [event, data]}
            case _:
                return {self.value: event, "data": data}


@define(eq=False)
class Events:
    """Tells the App.

    Args:
        socket_envelope, webhook_envelope: How events are wrapped on each way.
        by_socket, by_webhook: Which ways are used.
        copies: How often each event is sent.
        lost: Nothing is sent; the event stands in ``told`` nevertheless.
        order_fields: What ``order_created`` and ``order_updated`` tell, of ``id``, ``locationId``, ``status``,
            ``externalOrderRef``, ``posRef`` and ``uri``.

    Attributes:
        told: Every event and its data, in order.
    """

    sockets: Sockets
    webhooks: Webhooks
    style: Style
    base_url: str
    socket_envelope: Envelope = Envelope.EVENT
    webhook_envelope: Envelope = Envelope.EVENT
    by_socket: bool = True
    by_webhook: bool = True
    copies: int = 1
    lost: bool = False
    order_fields: tuple[str, ...] = ("id", "locationId", "status", "uri")
    told: list[tuple[str, Record]] = field(factory=list)

    async def emit(self, event: str, data: Record) -> None:
        """Send any event, known or unknown, with any data."""
        self.told.append((event, data))
        if self.lost:
            return
        for _ in range(self.copies):
            if self.by_webhook:
                self.webhooks.deliver(event, json.dumps(self.webhook_envelope.wrap(event, data)).encode())
            if self.by_socket:
                await self.sockets.send(json.dumps(self.socket_envelope.wrap(event, data)))

    async def order_created(self, order: Order) -> None:
        """An order came into being."""
        await self.emit("order_created", self._of(order))

    async def order_updated(self, order: Order) -> None:
        """An order changed."""
        await self.emit("order_updated", self._of(order))

    def _of(self, order: Order) -> Record:
        answer = order.answer(self.base_url)
        return {name: answer[name] for name in self.order_fields if name in answer}

    async def transaction_updated(self, transaction: Transaction) -> None:
        """A payment changed."""
        order = transaction.order
        data = {
            "id": transaction.transaction_id,
            "locationId": order.location_id,
            "orderId": order.order_id,
            **({"posRef": order.pos_ref} if order.pos_ref is not None else {}),
            "status": transaction.status,
            "uri": transaction.answer(self.base_url)["uri"],
        }
        await self.emit("transaction_updated", data)

    async def preprocess_rejected(self, request: Preprocess, code: str | None, reason: str | None) -> None:
        """The POS would not take the order."""
        given = {"rejectionCode": code, "rejectionReason": reason}
        data = {
            "id": request.request_id,
            "status": "rejected",
            "locationId": request.location_id,
            **{name: value for name, value in given.items() if value is not None},
        }
        await self.emit("order_preprocess", data)

    async def preprocess_complete(
        self, request: Preprocess, order: Record, *, adjusted: bool, valid_until: str | None
    ) -> None:
        """The POS would take the order, as it was sent or as it stands here."""
        data = {
            "id": request.request_id,
            "status": "complete",
            "locationId": request.location_id,
            "posAdjusted": adjusted,
            "validUntil": valid_until,
            "order": self.style.write(order),
        }
        await self.emit("order_preprocess", data)

    async def menu_updated(self, location_id: str) -> None:
        """A location's menu changed."""
        data = {"locationId": location_id, "uri": f"{self.base_url}/locations/{location_id}/menu"}
        await self.emit("menu_updated", data)
