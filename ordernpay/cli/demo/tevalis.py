"""Tevalis' story: calculated, then submitted, and nothing submitted that costs something else than was shown."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from attrs import frozen

from ordernpay.cli.demo.telling import StoryFailed, Tally, Telling, expect
from ordernpay.cli.terminal import member
from ordernpay.cli.vendors import hotel_toml
from ordernpay.client import Rejected
from ordernpay.jsontext import JsonObject
from ordernpay.simulator.tevalis import TevalisSimulator


@asynccontextmanager
async def hotel(_inbound: str) -> AsyncIterator["TevalisStory"]:
    """Tevalis, which never calls back."""
    async with TevalisSimulator().serve() as tevalis:
        yield TevalisStory(tevalis, hotel_toml("hotel", tevalis))


@frozen
class TevalisStory:
    """One table in a hotel."""

    tevalis: TevalisSimulator
    toml: str
    about: str = "the daemon calls Tevalis"
    vendor: str = "tevalis"
    session: str = "hotel"

    async def tell(self, telling: Telling) -> None:
        """A price changes between showing and ordering, and the guest is asked again."""
        await telling.up()
        lines: list[JsonObject] = [{"product": "SOUP", "name": "Soup", "quantity": 2}]
        order: JsonObject = {"reference": "hotel-A1", "type": "dine_in", "table": "24", "lines": [*lines]}
        shown = await self._quote(telling, order)
        self.tevalis.reprice("SOUP", Decimal("5.00"))
        telling.say("(fault)", "the soup gets dearer at the till", "yellow")
        try:
            await telling.call("order.create", order=order, options={"expected_total": shown})
        except Rejected as error:
            expect(not self.tevalis.orders, "nothing to be submitted")
            telling.say("order.create", f"rejected: {error.message}")
        else:
            raise StoryFailed("expected another total to be rejected")
        shown = await self._quote(telling, order)
        answer = await telling.call("order.create", order=order, options={"expected_total": shown})
        placed = member(member(answer, "result"), "order")
        telling.say("order.create", f"calculated and submitted: {placed['total']}, {placed['owing']} owing")
        chips: list[JsonObject] = [{"product": "CHIPS", "name": "Chips", "quantity": 1}]
        answer = await telling.call("order.update", order_id=placed["id"], lines=chips)
        added = member(member(answer, "result"), "order")
        telling.say("order.update", f"chips on the same bill of table {added['table']}: {added['total']} more")
        answer = await telling.call("order.cancel", order_id=added["id"], reason="Customer changed plans")
        status = member(member(answer, "result"), "order")["status"]
        telling.say("order.cancel", f"the chips are {status}")

    @staticmethod
    async def _quote(telling: Telling, order: JsonObject) -> object:
        quoted = member(member(await telling.call("order.quote", order=order), "result"), "order")
        telling.say("order.quote", f"{quoted['total']}, of which {quoted['service_charge']} service")
        return quoted["total"]

    def tallies(self) -> list[Tally]:
        """What Tevalis did."""
        done = Counter(act.kind for act in self.tevalis.acts)
        return [
            Tally("orders made", 1, done["submit"]),
            Tally("rounds added to a bill", 1, done["merge"]),
            Tally("orders cancelled", 1, done["cancel"]),
            Tally("requests against the rules", 0, self.tevalis.refusals),
        ]
