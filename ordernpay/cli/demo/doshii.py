"""Doshii's story: a quote answered by an event, and a lost answer that is looked up instead of asked for twice."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from ordernpay.cli.demo.telling import Tally, Telling, expect
from ordernpay.cli.terminal import member
from ordernpay.cli.vendors import cafe_toml
from ordernpay.jsontext import JsonObject
from ordernpay.simulator.doshii import DoshiiSimulator, serve
from ordernpay.simulator.web import WebFault

EGGS: JsonObject = {"product": "toasted_eggs", "name": "Toasted Sourdough Bread & Eggs", "unit_price": "11.00"}


@asynccontextmanager
async def cafe(_inbound: str) -> AsyncIterator["DoshiiStory"]:
    """Doshii, which tells by its socket."""
    async with serve() as doshii:
        yield DoshiiStory(doshii, cafe_toml("cafe", doshii))


@frozen
class DoshiiStory:
    """One breakfast."""

    doshii: DoshiiSimulator
    toml: str
    about: str = "the daemon calls Doshii and holds its socket"
    vendor: str = "doshii"
    session: str = "cafe"

    async def tell(self, telling: Telling) -> None:
        """An order is made once, though its answer is lost; then it grows and is paid."""
        await telling.up()
        order: JsonObject = {"reference": "cafe-A1", "type": "pickup", "lines": [EGGS]}
        quoted = member(member(await telling.call("order.quote", order=order), "result"), "order")
        telling.say("order.quote", f"the POS comes to {quoted['total']}, told by an event")
        self.doshii.faults.plan(WebFault.CUT_AFTER, path="/orders", method="POST")
        telling.say("(fault)", "Doshii will take the next order, then cut the connection before it answers", "yellow")
        answer = await telling.call("order.create", idempotency_key="create-cafe-A1", order=order)
        placed = member(member(answer, "result"), "order")
        expect(self.doshii.created() == 1, "one order at Doshii")
        telling.say("order.create", f"looked up by its reference: it was made, as order {placed['id']}")
        await telling.told("order.updated", status="accepted")
        telling.say("order.updated", "accepted by the POS, told by an event")
        answer = await telling.call("order.update", order_id=placed["id"], lines=[EGGS])
        telling.say("order.update", "eggs once more")
        payment: JsonObject = {"method": "visa", "amount": "11.00"}
        answer = await telling.call("payment.create", order_id=placed["id"], payment=payment)
        telling.say("payment.create", f"11.00 by card, as {member(answer, 'result')['payment_id']}")

    def tallies(self) -> list[Tally]:
        """What Doshii did."""
        done = Counter(act.kind for act in self.doshii.acts)
        return [
            Tally("orders made", 1, done["create_order"]),
            Tally("orders added to", 1, done["add_items"]),
            Tally("payments taken", 1, done["create_transaction"]),
            Tally("requests against the rules", 0, len(self.doshii.refusals)),
        ]
