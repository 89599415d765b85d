"""The POS behind Doshii: what it makes of orders and payments, and when.

Sources: https://support.doshii.com/developer-support/hc/en-us/articles/115003339154-status for orders, and for payments
https://support.doshii.io/hc/en-us/articles/115004526894-Create-Transaction.

Assumed, because no page that was seen says it:

==============================  ==========================================================================================
which events come               ``order_created`` and then ``order_updated`` for every change, the App's own included
payments of a refused order     are cancelled
an order is complete            when it was accepted, something was paid, and that is its total or more; tips apart
refused additions               stay in ``unapprovedItems`` with the status ``rejected``
==============================  ==========================================================================================
"""

import asyncio
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

from attrs import define, field

from ordernpay.simulator.doshii import sums
from ordernpay.simulator.doshii.book import Book, Preprocess
from ordernpay.simulator.doshii.chores import Chores
from ordernpay.simulator.doshii.events import Events
from ordernpay.simulator.doshii.records import OVER, Order, Transaction
from ordernpay.simulator.pages import Record


class Verdict(StrEnum):
    """What the POS makes of something."""

    ACCEPT = "accept"
    REJECT = "reject"
    PENDING = "pending"
    """Nothing: it stays pending, as with a venue that is offline."""


@define(eq=False)
class Pos:
    """A POS that can be told what to think; everything may be changed at any time.

    Args:
        known: Every ``posId`` on the menu.
        orders, additions, preprocesses, payments: What it makes of each.
        delay: Seconds until it thinks of something.
        rejection_code, rejection_reason: Why it refuses; None stays unset.
        prices: Its own unit prices by ``posId``, in cents: with another, a pre-process ends ``posAdjusted``.
        insists_on_prices: Refuse orders with other prices than its own.
        knows_only_menu: Refuse orders and pre-processes of what is not on the menu.
        valid_until: What a pre-process that is complete says.
        completes_paid: Orders that are paid become complete.
        before_answer: It acts, and its events are sent, before Doshii answers the request that they are about; the
            answer then comes ``lead`` seconds later and tells of the state before.
    """

    book: Book
    events: Events
    chores: Chores
    known: Callable[[], set[str]]
    orders: Verdict = Verdict.ACCEPT
    additions: Verdict = Verdict.ACCEPT
    preprocesses: Verdict = Verdict.ACCEPT
    payments: Verdict = Verdict.ACCEPT
    delay: float = 0.02
    rejection_code: str | None = "O1"
    rejection_reason: str | None = "Unknown item"
    prices: dict[str, int] = field(factory=dict)
    insists_on_prices: bool = False
    knows_only_menu: bool = False
    valid_until: str | None = None
    completes_paid: bool = True
    before_answer: bool = False
    lead: float = 0.05

    async def think(self, thought: Coroutine[Any, Any, None]) -> None:
        """Begin to think; returns when Doshii may answer."""
        if not self.before_answer:
            self.chores.start(thought)
            return
        await thought
        await self.events.webhooks.tried()
        await asyncio.sleep(self.lead)

    async def order_came(self, order: Order) -> None:
        """Think of a new order."""
        await asyncio.sleep(self.delay)
        await self.events.order_created(order)
        if order.status != "pending" or self.orders is Verdict.PENDING:
            return
        unwanted = self._unknown(order.fields) or (self.insists_on_prices and self._priced(order.fields)[1])
        if self.orders is Verdict.REJECT or unwanted:
            await self.reject(order.order_id, self.rejection_code, self.rejection_reason)
        else:
            await self.accept(order.order_id)

    async def preprocess_came(self, request: Preprocess) -> None:
        """Think of a request to check and price an order."""
        await asyncio.sleep(self.delay)
        if self.preprocesses is Verdict.PENDING:
            return
        if self.preprocesses is Verdict.REJECT or self._unknown(request.fields):
            await self.events.preprocess_rejected(request, self.rejection_code, self.rejection_reason)
            return
        order, adjusted = self._priced(request.fields)
        await self.events.preprocess_complete(request, order, adjusted=adjusted, valid_until=self.valid_until)

    async def items_came(self, order: Order) -> None:
        """Think of lines that the App added."""
        await asyncio.sleep(self.delay)
        if order.status in OVER or self.additions is Verdict.PENDING:
            return
        waiting = [line for line in order.unapproved if line["status"] == "pending"]
        if self.additions is Verdict.REJECT:
            for line in waiting:
                line["status"] = "rejected"
        else:
            order.unapproved = [line for line in order.unapproved if line["status"] != "pending"]
            order.fields["items"] += [
                {name: held for name, held in line.items() if name != "status"} for line in waiting
            ]
        order.changed()
        await self.events.order_updated(order)

    async def payment_came(self, transaction: Transaction) -> None:
        """Think of a payment of an accepted order."""
        await asyncio.sleep(self.delay)
        if transaction.status != "pending" or self.payments is Verdict.PENDING:
            return
        if self.payments is Verdict.REJECT:
            transaction.reject(self.rejection_code, self.rejection_reason)
        else:
            transaction.changed("complete" if transaction.fields.get("prepaid") else "waiting")
        transaction.order.changed()
        await self.payment_changed(transaction)

    async def payment_changed(self, transaction: Transaction) -> None:
        """Tell of a payment, and close its order if it is paid by this."""
        await self.events.transaction_updated(transaction)
        order = transaction.order
        if self.completes_paid and transaction.status == "complete" and order.paid >= order.total:
            await self.complete(order.order_id)

    async def order_changed(self, order: Order) -> None:
        """Tell of what the App changed; a cancelled order takes its payments with it."""
        await self.events.order_updated(order)
        if order.status in {"rejected", "cancelled", "venue_cancelled"}:
            for transaction in order.transactions:
                if transaction.status in {"pending", "waiting"}:
                    transaction.changed("cancelled")
                    await self.events.transaction_updated(transaction)

    async def accept(self, order_id: str) -> None:
        """Take a pending order, and look at the payments that came with it."""
        order = self.book.orders[order_id]
        if order.status != "pending":
            return
        order.pos_ref = f"T{order.order_id}"
        order.changed("accepted")
        await self.events.order_updated(order)
        for transaction in list(order.transactions):
            await self.payment_came(transaction)

    async def reject(self, order_id: str, code: str | None = "O1", reason: str | None = "Unknown item") -> None:
        """Refuse an order."""
        order = self.book.orders[order_id]
        order.reject(code, reason)
        await self.order_changed(order)

    async def cancel(self, order_id: str) -> None:
        """Cancel an order as the venue, whatever its state."""
        order = self.book.orders[order_id]
        order.changed("venue_cancelled")
        await self.order_changed(order)

    async def complete(self, order_id: str) -> None:
        """Close an accepted order."""
        order = self.book.orders[order_id]
        if order.status == "accepted":
            order.changed("complete")
            await self.events.order_updated(order)

    async def time_out(self, transaction: Transaction) -> None:
        """Cancel a payment that nobody took."""
        transaction.changed("cancelled")
        transaction.order.changed()
        await self.events.transaction_updated(transaction)

    def _unknown(self, fields: Record) -> bool:
        return self.knows_only_menu and any(item.get("posId") not in self.known() for item in fields["items"])

    def _priced(self, fields: Record) -> tuple[Record, bool]:
        order = sums.repriced(fields, self.prices)
        return order, order != fields
