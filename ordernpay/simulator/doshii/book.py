"""What Doshii itself does with the requests of an App, without I/O and without the POS behind it.

Sources, all below https://support.doshii.io/hc/en-us/articles/: ``115004491133-Create-Orders``,
``115004490833-Get-Orders``, ``115004491153-Update-Order``, ``115004526894-Create-Transaction``,
``115004526834-Get-Transaction``; for ``POST /orders/:id/items`` and ``PUT /transactions/:id`` the SDK alone.

Assumed, because no page that was seen says it:

============================  ============================================================================================
another location's order      404
the order of checks           fields, sums, ``version`` (409), then the state (400); 402 comes before 409
cancelling                    400 for an order that is over in any way, not only for a complete one
adding lines                  to a pending or accepted order, else 400
a payment that is over        402 for one that was cancelled or rejected, 400 for a complete one
``PUT /transactions/:id``     ``complete`` from ``waiting`` only; ``cancelled`` and ``rejected`` also from ``pending``
============================  ============================================================================================
"""

import itertools
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal

from attrs import define, field, frozen

from ordernpay.simulator.doshii import sums, tables
from ordernpay.simulator.doshii.records import OVER, Kept, Order, Transaction, as_time
from ordernpay.simulator.doshii.refusal import Refused
from ordernpay.simulator.pages import FieldError, Record

ItemsForm = Literal["either", "bare", "versioned"]


@frozen
class Act:
    """One change that an App's request made.

    Args:
        kind: ``create_order``, ``update_order``, ``cancel_order``, ``add_items``, ``preprocess``,
            ``create_transaction`` or ``update_transaction``.
        order_id: Doshii's number of the order, or of the pre-process request.
        external_order_ref: The App's own reference.
        amount: In cents: what an order costs in all, or what a payment is about.
    """

    kind: str
    order_id: str
    external_order_ref: str | None = None
    amount: int | None = None


@frozen
class Preprocess:
    """A request to check and price an order."""

    request_id: str
    location_id: str
    fields: Record
    created: float

    def answer(self) -> Record:
        """As Doshii answers it, before the POS saw it."""
        return {
            "id": self.request_id,
            "locationId": self.location_id,
            "status": "pending",
            "createdAt": as_time(self.created),
        }


@define(eq=False)
class Book:
    """Doshii's orders.

    Args:
        clock: Epoch seconds.
        page_most: So many orders stand on one page of a list at most, whatever was asked for.
        items_form: What ``POST /orders/:id/items`` wants: a bare list, ``{version, items}``, or either.

    Attributes:
        acts: Every change that an App made, in order.
        orders: By Doshii's number.
        conflicts: So many of the next changes find that the POS changed the order or payment just before.
        preprocess_ids: The numbers of the next pre-process requests; UUIDs when there are none left.
    """

    clock: Callable[[], float] = time.time
    items_form: ItemsForm = "either"
    page_most: int = 100
    acts: list[Act] = field(factory=list)
    orders: dict[str, Order] = field(factory=dict)
    preprocesses: dict[str, Preprocess] = field(factory=dict)
    preprocess_ids: list[str] = field(factory=list)
    conflicts: int = 0
    _numbers: "itertools.count[int]" = field(factory=lambda: itertools.count(90217))

    def create(self, location_id: str, body: Any) -> Order:
        """``POST /orders``; a reference that came before makes another order."""
        sent = tables.read(tables.CREATE_ORDER, body)
        fields = {name: value for name, value in sent["order"].items() if name != "status"}
        sums.check(fields, "order")
        items, fields["items"] = fields["items"], []
        order = Order(
            clock=self.clock,
            order_id=str(next(self._numbers)),
            location_id=location_id,
            fields=fields,
            consumer=sent["consumer"],
            members=sent.get("members", []),
            pos_terminal_id=sent.get("posTerminalId"),
        )
        for item in items:
            order.add_line(item, approved=True)
        for payment in sent.get("transactions", ()):
            order.transactions.append(Transaction(clock=self.clock, order=order, fields=payment))
        self.orders[order.order_id] = order
        self._acted("create_order", order, order.total)
        return order

    def order(self, location_id: str, order_id: str) -> Order:
        """``GET /orders/:id``."""
        order = self.orders.get(order_id)
        if order is None or order.location_id != location_id:
            raise Refused(404, "The location has no such order.")
        return order

    def listed(self, location_id: str, query: Record) -> tuple[Record, list[Order]]:
        """``GET /orders``: count, offset and limit; and the orders."""
        wanted = tables.read(tables.ORDERS_QUERY, query)
        found = [order for order in self.orders.values() if order.location_id == location_id and _meets(order, wanted)]
        if "updatedSort" in wanted:
            found.sort(key=lambda order: order.updated, reverse=wanted["updatedSort"] == "desc")
        elif wanted.get("sort", "desc") == "desc":
            found.reverse()
        offset, limit = wanted["offset"], min(wanted["limit"], self.page_most)
        return {"count": len(found), "offset": offset, "limit": limit}, found[offset : offset + limit]

    def update(self, location_id: str, order_id: str, body: Any) -> Order:
        """``PUT /orders/:id``: cancel, or say how far the meal is."""
        order = self.order(location_id, order_id)
        sent = tables.read(tables.UPDATE_ORDER, body)
        if "status" not in sent and "mealPhase" not in sent:
            raise FieldError("status", "is required where there is no mealPhase")
        self._meet(order, sent["version"])
        if order.status in OVER:
            raise Refused(400, f"The order is {order.status}.")
        if "mealPhase" in sent:
            order.fields["mealPhase"] = sent["mealPhase"]
        order.changed(sent.get("status"))
        self._acted("cancel_order" if "status" in sent else "update_order", order)
        return order

    def add_items(self, location_id: str, order_id: str, body: Any) -> Order:
        """``POST /orders/:id/items``: the lines wait for the POS in ``unapprovedItems``."""
        order = self.order(location_id, order_id)
        items = self._items(order, body)
        sums.check_items(items, "items")
        if order.status not in {"pending", "accepted"}:
            raise Refused(400, f"The order is {order.status}.")
        for item in items:
            order.add_line(item, approved=False)
        order.changed()
        self._acted("add_items", order, sum(item["totalAfterSurcounts"] for item in items))
        return order

    def _items(self, order: Order, body: Any) -> list[Record]:
        bare = isinstance(body, list)
        if self.items_form not in {"either", "bare" if bare else "versioned"}:
            raise FieldError("The message", "must be a list" if not bare else "must have version and items")
        if bare:
            return list(tables.read(tables.ITEMS, body, "items"))
        sent = tables.read(tables.VERSIONED_ITEMS, body)
        self._meet(order, sent["version"])
        return list(sent["items"])

    def preprocess(self, location_id: str, body: Any) -> Preprocess:
        """``POST /orders/preprocess``."""
        fields = tables.read(tables.PREPROCESS, body)
        sums.check(fields, "")
        request_id = self.preprocess_ids.pop(0) if self.preprocess_ids else str(uuid.uuid4())
        request = Preprocess(request_id, location_id, fields, self.clock())
        self.preprocesses[request_id] = request
        self.acts.append(Act("preprocess", request_id, fields.get("externalOrderRef"), sums.total(fields)))
        return request

    def pay(self, location_id: str, order_id: str, body: Any) -> Transaction:
        """``POST /orders/:id/transactions``."""
        order = self.order(location_id, order_id)
        fields = tables.read(tables.TRANSACTION, body)
        return self._pay(order, fields)

    def pay_loosely(self, location_id: str, body: Any) -> Transaction:
        """``POST /transactions``, which names the order in its body."""
        fields = tables.read(tables.LOOSE_TRANSACTION, body)
        return self._pay(self.order(location_id, fields.pop("orderId")), fields)

    def _pay(self, order: Order, fields: Record) -> Transaction:
        if order.status != "accepted":
            raise Refused(400, f"The order is {order.status}, and payments are for accepted orders.")
        transaction = Transaction(clock=self.clock, order=order, fields=fields)
        order.transactions.append(transaction)
        order.changed()
        self._acted("create_transaction", order, transaction.amount)
        return transaction

    def transaction(self, location_id: str, transaction_id: str) -> Transaction:
        """``GET /transactions/:id``."""
        for order in self.orders.values():
            for transaction in order.transactions:
                if transaction.transaction_id == transaction_id and order.location_id == location_id:
                    return transaction
        raise Refused(404, "The location has no such transaction.")

    def update_transaction(self, location_id: str, transaction_id: str, body: Any) -> Transaction:
        """``PUT /transactions/:id``: the money was taken, or will not be."""
        transaction = self.transaction(location_id, transaction_id)
        sent = tables.read(tables.UPDATE_TRANSACTION, body)
        if transaction.status in {"cancelled", "rejected"}:
            raise Refused(402, f"The transaction is {transaction.status}.")
        self._meet(transaction, sent.pop("version"))
        status = sent.pop("status")
        if transaction.status not in ({"waiting"} if status == "complete" else {"pending", "waiting"}):
            raise Refused(400, f"The transaction is {transaction.status}.")
        transaction.fields.update(sent)
        transaction.changed(status)
        transaction.order.changed()
        self._acted("update_transaction", transaction.order, transaction.amount)
        return transaction

    def bump_version(self, order_id: str) -> str:
        """Change an order's version, as if a POS had changed the order meanwhile; no event tells of it."""
        self.orders[order_id].changed()
        return self.orders[order_id].version

    def _meet(self, kept: Kept, version: str) -> None:
        if self.conflicts > 0:
            self.conflicts -= 1
            kept.changed()
        if version != kept.version:
            raise Refused(409, "The version is out of date.")

    def _acted(self, kind: str, order: Order, amount: int | None = None) -> None:
        self.acts.append(Act(kind, order.order_id, order.external_order_ref, amount))


def _meets(order: Order, wanted: Record) -> bool:
    if order.status not in wanted.get("status", tables.STATUSES):
        return False
    if order.external_order_ref != wanted.get("externalOrderRef", order.external_order_ref):
        return False
    if "posRef" in wanted and order.pos_ref != wanted["posRef"]:
        return False
    created, updated = order.created, order.updated
    for value, least, most in (
        (created, "from", "to"),
        (updated, "updatedFrom", "updatedTo"),
        (created, "posFrom", "posTo"),
    ):
        if not int(wanted.get(least, 0)) <= value <= float(wanted.get(most, "inf")) + 1:
            return False
    return True
