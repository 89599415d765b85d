"""The pretend point of sale: what it does for each call, and where it is served."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import Factory, define, field

from ordernpay.simulator import web
from ordernpay.simulator.pages import Check, FieldError, Record
from ordernpay.simulator.tevalis import models
from ordernpay.simulator.tevalis.bills import Act, Bill, Kind, Order
from ordernpay.simulator.tevalis.catalogue import CATALOGUE, Catalogue
from ordernpay.simulator.tevalis.pricing import Calculation, calculate
from ordernpay.simulator.tevalis.routes import application
from ordernpay.simulator.tevalis.site import NotFoundError, Site, SubmitAnswer


def _now() -> datetime:
    return datetime.now(UTC)


@define(eq=False)
class TevalisSimulator:
    """A site behind Tevalis' API, as strict as the pages, which compares nothing with what it did before.

    Attributes:
        site: What the site is and how it decides; may be replaced at any time.
        catalogue: What it sells; may be replaced at any time.
        faults: What goes wrong on the way to it.
        now: The clock.
        calculations: Every calculation, by UID; one that is deleted here is forgotten.
        orders: Every submitted order, cancelled ones included.
        bills: Every bill, those of the till included.
        acts: Every change that was made for a request, in order; a calculation is none.
        refusals: How many requests the point of sale answered with 400 or 404.
    """

    site: Site = Factory(Site)
    catalogue: Catalogue = CATALOGUE
    faults: web.WebFaults = Factory(web.WebFaults)
    now: Callable[[], datetime] = _now
    calculations: dict[str, Calculation] = field(init=False, factory=dict)
    orders: list[Order] = field(init=False, factory=list)
    bills: list[Bill] = field(init=False, factory=list)
    acts: list[Act] = field(init=False, factory=list)
    refusals: int = field(init=False, default=0)
    _server: web.WebServer | None = field(init=False, default=None)

    @property
    def server(self) -> web.WebServer:
        """Where it is served, or was last."""
        if self._server is None:
            raise RuntimeError("the simulator was not served yet")
        return self._server

    @property
    def base_url(self) -> str:
        """Its address."""
        return self.server.base_url

    @contextlib.asynccontextmanager
    async def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator["TevalisSimulator"]:
        """Serve on a free port, or on this one, until the context ends; what was done stays when it is served again."""
        async with web.serve(application(self), self.faults, host=host, port=port, acts=lambda: self.acts) as server:
            self._server = server
            yield self

    def reprice(self, plu: str, price: Decimal) -> None:
        """Change the price of a product."""
        self.catalogue = self.catalogue.repriced(plu, price)

    def open_bill(self, table: int, amount: Decimal) -> Bill:
        """Open a bill at the till itself, as a waiter would; this is none of the ``acts``."""
        bill = self._new_bill(table)
        bill.opened_with = amount
        return bill

    def calculate(self, body: Any) -> Record:
        """Price an order and keep it under a new UID."""
        request = self._read(models.CALCULATE, body)
        calculation = self._priced(request, str(uuid.uuid4()))
        self.calculations[calculation.uid] = calculation
        return calculation.answer(self.site, calculation.uid)

    def submit(self, body: Any) -> Record | None:
        """Make an order of a calculation; None stands for an empty answer."""
        request = self._read(models.SUBMIT, body)
        calculation = self.calculations.get(request["UID"].lower())
        if calculation is None:
            raise NotFoundError("There is no calculated order with this UID.")
        for at, tender in enumerate(request["Tenders"] or ()):
            self.catalogue.tender_type(tender, f"Tenders[{at}]")
        if self.site.prices_at_submit:
            calculation = self._priced(calculation.request, calculation.uid)
        renames = self.site.submit_answer is SubmitAnswer.OTHER_UID
        bill = self._bill_for(request, calculation)
        kind: Kind = "merge" if bill.is_open else "submit"
        order = Order(str(uuid.uuid4()) if renames else calculation.uid, calculation, request, bill)
        bill.orders.append(order)
        self.orders.append(order)
        self._record(kind, order)
        return None if self.site.submit_answer is SubmitAnswer.EMPTY else calculation.answer(self.site, order.uid)

    def cancel(self, body: Any) -> Record:
        """Cancel the newest submitted order of a UID that is not cancelled yet."""
        request = self._read(models.CANCEL, body)
        found = [one for one in self.orders if one.uid == request["UID"].lower()]
        if not found:
            raise NotFoundError("There is no submitted order with this UID.")
        standing = [one for one in found if not one.is_cancelled]
        if not standing and not self.site.cancels_again:
            raise NotFoundError("The submitted order with this UID is cancelled.")
        order = (standing or found)[-1]
        order.reasons.append(request["Reason"])
        if standing:
            self._record("cancel", order)
        return order.calculation.answer(self.site, order.uid)

    def catalogues(self, site_id: str) -> Record:
        """What the site sells."""
        if site_id != str(self.site.site_id):
            raise NotFoundError("There is no such site.")
        return self.catalogue.answer(self.site.site_id, self.site.price_groups)

    def _read(self, model: Check, body: Any) -> Record:
        request: Record = model(body, "")
        if request["SiteId"] != self.site.site_id:
            raise FieldError("SiteId", "is no site of this company")
        return request

    def _priced(self, request: Record, uid: str) -> Calculation:
        ready = self.now() + timedelta(minutes=self.site.minutes)
        return calculate(request, self.catalogue, self.site, uid, ready)

    def _bill_for(self, request: Record, calculation: Calculation) -> Bill:
        table = calculation.request["TableNumber"]
        if not request["MergeOnToExistingBill"]:
            return self._new_bill(table)
        if table is None:
            raise FieldError("MergeOnToExistingBill", "must be false for an order without TableNumber")
        standing = [one for one in self.bills if one.is_open and one.table == table]
        if len(standing) > 1:
            raise FieldError("MergeOnToExistingBill", "cannot be done: several bills are open on the table")
        return standing[0] if standing else self._new_bill(table)

    def _new_bill(self, table: int | None) -> Bill:
        bill = Bill(1001 + len(self.bills), table)
        self.bills.append(bill)
        return bill

    def _record(self, kind: Kind, order: Order) -> None:
        self.acts.append(Act(kind, order.uid, order.reference, order.total, order.tendered, order.bill.is_paid))
