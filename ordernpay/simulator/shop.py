"""A pretend PowerEPOS till behind Order N Pay, without I/O: a request frame goes in, the till's decision comes out.

It is as strict as the pages: what they forbid is refused with a message that names the field. What each method takes is
read in ``pages``; this file is what the till does about it.

Sources: https://docs.powerepos.cloud/Document/OrderNPay/MethodGetUserFromPIN, ``MethodGetOpenOrders``,
``MethodCreateOrder``, ``MethodUpdateOrder``, ``MethodSimulateOrder``, and
https://docs.powerepos.cloud/Model/POSCorePublic.Models.OrderNPay.OrderNPayCreatePaymentResponse.

Assumed, because no page that was seen says it:

==============================  ==========================================================================
result codes 3, 5 and 7         see ``ResultCode``; 4 also for a PLU, a modifier or a user that nobody knows
numbers of three methods        2 get one order, 13 SimulateOrder, 14 CreatePayment; each can be set
a repeated ``RequestID``        answered with the first answer, whatever that was; with other content refused
an empty list of payments       is as good as none
a child without a PLU           a free-text message, which costs nothing unless the provider prices it
a payment above what is owed    refused
a training order                takes nothing from stock
==============================  ==========================================================================
"""

import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

import attrs
from attrs import frozen

from ordernpay.simulator import pages
from ordernpay.simulator.bill import AutomaticCharge, Bill, User, to_cents
from ordernpay.simulator.decision import Act, Decision, DeclinedError, ResultCode, response
from ordernpay.simulator.menu import MENU, Kitchen, MenuItem
from ordernpay.simulator.pages import FieldError, Record

PROVIDER_ID: Final = 12345
LARGE_PARTIES: Final = AutomaticCharge()
AUTOMATIC_ADJUSTMENT: Final = "00000000-0000-4000-8000-0000000000a0"
STAFF: Final = (
    User("f9248a0f-ba0c-4c80-b9f2-fe020b456ce4", "Asha", "9071"),
    User("0b7c1b7e-1111-4222-8333-444455556666", "Ben", "1111", may_pay=False),
)

GET_USER_FROM_PIN: Final = 0
GET_OPEN_ORDERS: Final = 1
GET_ORDER: Final = 2
CREATE_ORDER: Final = 11
UPDATE_ORDER: Final = 12
SIMULATE_ORDER: Final = 13
CREATE_PAYMENT: Final = 14


@frozen
class _Call:
    request_id: str
    message_type: int
    user: User | None
    payload: Record


class Shop:
    """A venue with a menu, staff and open orders, and a till that answers for it.

    Args:
        provider_id: The number that PowerEPOS gave to the provider; requests with another are refused.
        menu: What is sold.
        staff: Who works there; ``staff`` may be changed at any time.
        simulate_order: The message number of SimulateOrder.
        create_payment: The message number of CreatePayment.
        get_order: The message number of the method that fetches one order.
        automatic_charge: The service charge where nobody stated one.
        automatic_discount: Percent that SimulateOrder takes off when it is asked for automatic adjustments.
        as_documented: Answer a missing order with message type 2 and a lack of stock with 11, as the page of UpdateOrder
            shows; otherwise with the request's own.

    Attributes:
        requests: Every frame that came, acted on or not.
        acts: Every change that was made, in order.
        orders: The orders by their lower-case ``SalesTransactionID``, closed ones included.
        kitchen: The menu, and what is left of it in ``kitchen.stock``.
        refusals: How many requests the pages forbid, conflicts included.
        repeats: How often a known ``RequestID`` came again with the same content.
        conflicts: How often a known ``RequestID`` came again with other content.
    """

    def __init__(
        self,
        *,
        provider_id: int = PROVIDER_ID,
        menu: Iterable[MenuItem] = MENU,
        staff: Iterable[User] = STAFF,
        simulate_order: int = SIMULATE_ORDER,
        create_payment: int = CREATE_PAYMENT,
        get_order: int = GET_ORDER,
        automatic_charge: AutomaticCharge = LARGE_PARTIES,
        automatic_discount: Decimal = Decimal(10),
        as_documented: bool = True,
    ) -> None:
        self.provider_id = provider_id
        self.kitchen = Kitchen(menu)
        self.staff = list(staff)
        self.automatic_charge = automatic_charge
        self.automatic_discount = automatic_discount
        self.as_documented = as_documented
        self.requests: list[str] = []
        self.acts: list[Act] = []
        self.orders: dict[str, Bill] = {}
        self.refusals = self.repeats = self.conflicts = 0
        self._first: dict[str, tuple[Record, Decision]] = {}
        self._methods: dict[int, tuple[pages.Check, Callable[[_Call], Record]]] = {
            GET_USER_FROM_PIN: (pages.GET_USER_FROM_PIN, self._get_user_from_pin),
            GET_OPEN_ORDERS: (pages.GET_OPEN_ORDERS, self._get_open_orders),
            get_order: (pages.GET_ORDER, self._get_order),
            CREATE_ORDER: (pages.CREATE_ORDER, self._create_order),
            UPDATE_ORDER: (pages.UPDATE_ORDER, self._update_order),
            simulate_order: (pages.SIMULATE_ORDER, self._simulate_order),
            create_payment: (pages.CREATE_PAYMENT, self._create_payment),
        }

    def open_order(
        self,
        *,
        sales_transaction_id: str | None = None,
        table: str = "14",
        owner: User | None = None,
        covers: int = 0,
    ) -> Bill:
        """Open an order at the till itself, as a waiter would; this is none of the ``acts``."""
        bill = self._new_bill(table=table, owner=owner, covers=covers, sales_transaction_id=sales_transaction_id)
        self._keep(bill)
        return bill

    def ignore(self, frame: str) -> None:
        """Hear a frame and do nothing about it."""
        self.requests.append(frame)

    def answer(self, frame: str) -> Decision:
        """Decide about a request, act on it at most once, and say what to answer."""
        self.requests.append(frame)
        message: Any = None
        request_id: str | None = None
        try:
            message = pages.read_json(frame)
            request_id = _request_id(message)
            known = self._first.get(request_id)
            if known is None:
                decision = self._decide(request_id, message)
                self._first[request_id] = message, decision
                return decision
            return self._again(request_id, message, *known)
        except FieldError as error:
            return self._refusal(request_id, message, error)

    def _again(self, request_id: str, message: Record, first: Record, decision: Decision) -> Decision:
        if first == message:
            self.repeats += 1
            return attrs.evolve(decision, acted=False, replayed=True)
        self.conflicts += 1
        error = FieldError("RequestID", "was used before, for a request with other content")
        return self._refusal(request_id, message, error)

    def _decide(self, request_id: str, message: Record) -> Decision:
        acts = len(self.acts)
        try:
            payload = self._perform(request_id, message)
        except FieldError as error:
            return self._refusal(request_id, message, error)
        except DeclinedError as no:
            message_type = message["MessageType"] if no.message_type is None else no.message_type
            return Decision(response(request_id, message_type, no.payload, no.code, str(no)))
        return Decision(response(request_id, message["MessageType"], payload), acted=len(self.acts) > acts)

    def _perform(self, request_id: str, message: Record) -> Record:
        envelope = pages.ENVELOPE(message, "")
        if envelope["ProviderID"] != self.provider_id:
            raise FieldError("ProviderID", "is not the number issued to this provider")
        method = self._methods.get(envelope["MessageType"])
        if method is None:
            raise FieldError("MessageType", "is no number of a known method")
        read, act = method
        user = self._user(envelope)
        payload = read(envelope["Payload"], "Payload")
        return act(_Call(request_id, envelope["MessageType"], user, payload))

    def _refusal(self, request_id: str | None, message: Any, error: FieldError) -> Decision:
        self.refusals += 1
        message_type = message.get("MessageType") if isinstance(message, dict) else None
        return Decision(response(request_id, message_type, None, ResultCode.FORBIDDEN, str(error)))

    def _user(self, envelope: Record) -> User | None:
        identifier: str | None = envelope["UserIdentifier"]
        asks_for_user = envelope["MessageType"] == GET_USER_FROM_PIN
        if identifier is None:
            if asks_for_user:
                return None
            raise FieldError("UserIdentifier", "must not be null but for GetUserFromPIN")
        user = next(
            (one for one in self.staff if identifier == one.pin or identifier.lower() == one.user_id.lower()), None
        )
        if user is None:
            raise DeclinedError(ResultCode.NOT_FOUND, "No user has the given UserIdentifier.")
        if not user.may_pay and not asks_for_user:
            raise DeclinedError(ResultCode.NOT_PERMITTED, "The user of the given UserIdentifier may not make payments.")
        return user

    def _get_user_from_pin(self, call: _Call) -> Record:
        user = next((one for one in self.staff if one.pin == call.payload["PIN"]), None)
        if user is None:
            raise DeclinedError(ResultCode.NOT_FOUND, "No user has the given PIN.")
        return {"UserID": user.user_id, "UserName": user.name, "CanMakePayments": user.may_pay}

    def _get_open_orders(self, call: _Call) -> Record:
        table, own = call.payload["ServiceModeEntityID"], call.payload["UserOrdersOnly"]
        orders = [
            bill.summary()
            for bill in self.orders.values()
            if not bill.is_closed and table in {"", bill.table} and (not own or bill.owner == call.user)
        ]
        return {"Orders": orders, "UserOrdersOnly": own}

    def _get_order(self, call: _Call) -> Record:
        return {"Order": self._order(call).detailed()}

    def _create_order(self, call: _Call) -> Record:
        bill = self._ordered(call)
        if not bill.training:
            self.kitchen.take(bill.products)
        self._keep(bill)
        return self._done(call, bill)

    def _update_order(self, call: _Call) -> Record:
        bill, payload = self._changeable(call), call.payload
        products = self._cookable(call, by_provider=payload["UseProviderPrices"])
        bill.add(products, payload["Adjustments"] or [], payload["Notes"] or [])
        if not bill.training:
            self.kitchen.take(products)
        if payload["ServiceChargeAmount"] is not None:
            bill.service_charge = payload["ServiceChargeAmount"]
        if payload["Covers"] is not None:
            bill.covers = payload["Covers"]
        return self._done(call, bill)

    def _simulate_order(self, call: _Call) -> Record:
        bill = self._ordered(call)
        if call.payload["ApplyAutomaticAdjustments"]:
            bill.adjustments.append(
                {
                    "Amount": -to_cents(bill.amount * self.automatic_discount / 100),
                    "Name": f"{self.automatic_discount} % off",
                    "ProviderAdjustmentID": None,
                    "AdjustmentID": AUTOMATIC_ADJUSTMENT,
                }
            )
        return {"Order": bill.detailed(), "OutOfStockProducts": None}

    def _create_payment(self, call: _Call) -> Record:
        bill = self._changeable(call)
        _pay(bill, call.payload["Payment"], "Payload.Payment")
        self._record(call, bill)
        return {"SalesTransactionPaymentID": str(uuid.uuid4()), "OrderSummary": bill.summary()}

    def _ordered(self, call: _Call) -> Bill:
        """The order that a request to create or simulate one describes, not yet kept."""
        payload = call.payload
        payments = payload["Payments"] or []
        bill = self._new_bill(table=payload["ServiceModeEntityID"], owner=call.user, covers=payload.get("Covers") or 0)
        bill.provider_order_id = payload["ProviderOrderID"]
        bill.training = payload.get("IsTraining", False)
        bill.service_charge = payload["ServiceChargeAmount"]
        products = self._cookable(call, by_provider=payload["UseProviderPrices"] or bool(payments))
        bill.add(products, payload["Adjustments"] or [], payload["Notes"] or [])
        for index, payment in enumerate(payments):
            _pay(bill, payment, f"Payload.Payments[{index}]")
        return bill

    def _cookable(self, call: _Call, *, by_provider: bool) -> list[Record]:
        """The ordered products with their prices, all of them in stock."""
        products = self.kitchen.price(call.payload["Products"] or (), by_provider=by_provider)
        missing = self.kitchen.missing(products)
        if missing:
            raise DeclinedError(
                ResultCode.INSUFFICIENT_STOCK,
                "There is insufficent stock to complete the order.",
                payload={"Order": None, "OutOfStockProducts": missing},
                message_type=CREATE_ORDER if self.as_documented and call.message_type == UPDATE_ORDER else None,
            )
        return products

    def _new_bill(
        self, *, table: str, owner: User | None, covers: int, sales_transaction_id: str | None = None
    ) -> Bill:
        return Bill(
            sales_transaction_id=sales_transaction_id or str(uuid.uuid4()),
            table=table,
            number=f"A{len(self.orders) + 1:07}",
            owner=owner,
            covers=covers,
            automatic_charge=self.automatic_charge,
        )

    def _keep(self, bill: Bill) -> None:
        self.orders[bill.sales_transaction_id.lower()] = bill

    def _order(self, call: _Call) -> Bill:
        bill = self.orders.get(call.payload["SalesTransactionID"].lower())
        if bill is None:
            foreign = GET_ORDER if self.as_documented else None
            raise DeclinedError(ResultCode.NOT_FOUND, "The specified order does not exist!", message_type=foreign)
        return bill

    def _changeable(self, call: _Call) -> Bill:
        bill = self._order(call)
        if bill.is_closed:
            raise DeclinedError(ResultCode.IN_USE, "The specified order is closed.")
        if bill.lock is not None:
            raise DeclinedError(ResultCode.IN_USE, "The specified order is in use at another terminal.")
        return bill

    def _done(self, call: _Call, bill: Bill) -> Record:
        self._record(call, bill)
        return {"Order": bill.detailed(), "OutOfStockProducts": None}

    def _record(self, call: _Call, bill: Bill) -> None:
        provider_order_id = call.payload.get("ProviderOrderID")
        self.acts.append(Act(call.request_id, call.message_type, bill.sales_transaction_id, provider_order_id))


def _request_id(message: Any) -> str:
    if not isinstance(message, dict):
        raise FieldError("The message", "must be an object")
    if message.get("RequestID") is None:
        raise FieldError("RequestID", "is required: without it no repeat can be told")
    return str(pages.REQUEST_ID(message["RequestID"], "RequestID"))


def _pay(bill: Bill, payment: Record, path: str) -> None:
    if payment["AmountSale"] > bill.payable_by(payment):
        raise FieldError(f"{path}.AmountSale", "is more than the order owes")
    bill.pay(payment)
