"""Order N Pay's stories: a till that the daemon dials, and a till that dials the daemon."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final

from attrs import frozen

from ordernpay.cli.demo.telling import StoryFailed, Tally, Telling, expect
from ordernpay.cli.terminal import member, objects, printable
from ordernpay.cli.tills import Till, dialling_till, listening_till
from ordernpay.jsontext import JsonObject
from ordernpay.simulator.faults import Fault
from ordernpay.simulator.shop import CREATE_ORDER, CREATE_PAYMENT, STAFF, UPDATE_ORDER

LOOPBACK: Final = "127.0.0.1"
TABLE: Final = "14"
PINTS: Final[JsonObject] = {
    "product": "1001",
    "modifier": "PINT",
    "modifier_name": "PINT",
    "name": "Carlsberg",
    "quantity": 2,
}
SOUP: Final[JsonObject] = {"product": "1203", "name": "Soup"}
DEPOSIT: Final = Decimal("10.00")


@asynccontextmanager
async def bar(_inbound: str) -> AsyncIterator["OrderNPayStory"]:
    """A till that listens, and a session that dials it."""
    async with listening_till("bar", LOOPBACK, 0) as till:
        yield OrderNPayStory(till, "the daemon dials the till")


@asynccontextmanager
async def terrace(inbound: str) -> AsyncIterator["OrderNPayStory"]:
    """A till that dials the daemon, and a session that listens for it."""
    async with dialling_till("terrace", inbound, LOOPBACK, 0) as till:
        yield OrderNPayStory(till, "the till dials the daemon")


@frozen
class OrderNPayStory:
    """One table's evening at one till."""

    till: Till
    about: str
    vendor: str = "order-n-pay"

    @property
    def session(self) -> str:
        """The session's name in the configuration."""
        return self.till.session

    @property
    def toml(self) -> str:
        """The session's table in the configuration."""
        return self.till.toml

    async def tell(self, telling: Telling) -> None:
        """A guest orders, the network fails at the worst moment, and nothing happens twice."""
        await telling.up()
        await self._look_up(telling)
        order: JsonObject = {"reference": f"{self.session}-A1", "table": TABLE, "covers": 2, "lines": [PINTS]}
        await self._quote(telling, order)
        placed = await self._create(telling, order)
        order_id = str(placed["id"])
        await self._update(telling, order_id)
        await self._pay_and_list(telling, order_id)
        await self._events(telling)

    def tallies(self) -> list[Tally]:
        """What the till did, and what it was told again or against its rules."""
        shop = self.till.shop
        done = Counter(act.message_type for act in shop.acts)
        return [
            Tally("orders made", 1, done[CREATE_ORDER]),
            Tally("orders added to", 1, done[UPDATE_ORDER]),
            Tally("payments taken", 2, done[CREATE_PAYMENT]),
            Tally("changes in all", 4, len(shop.acts)),
            Tally("requests sent again under their RequestID", 1, shop.repeats),
            Tally("requests against the rules", 0, shop.refusals),
        ]

    async def _look_up(self, telling: Telling) -> None:
        staff = STAFF[0]
        user = member(await telling.call("user.lookup", pin=staff.pin), "result")
        expect(user.get("user_id") == staff.user_id, f"the user of {staff.name}'s PIN")
        telling.say("user.lookup", f"the PIN is {user['name']}'s, who may take payments: {printable(user['may_pay'])}")

    async def _quote(self, telling: Telling, order: JsonObject) -> None:
        quoted = _order_of(await telling.call("order.quote", order=order))
        expect(not self.till.shop.acts, "a quote to change nothing")
        telling.say("order.quote", f"two pints would be {quoted['total']}; nothing is placed yet")

    async def _create(self, telling: Telling, order: JsonObject) -> JsonObject:
        key = f"create-{order['reference']}"
        self.till.faults.plan(Fault.DROP_AFTER, message_type=CREATE_ORDER)
        telling.say("(fault)", "the till will make the next order, then cut the connection before it answers", "yellow")
        first = await telling.call("order.create", idempotency_key=key, order=order)
        placed = _order_of(first)
        expect(self.till.faults.met == [Fault.DROP_AFTER], "the connection to be cut")
        telling.say(
            "order.create",
            f"placed as {placed['number']} for {placed['total']}, although the first answer was lost: "
            "sent again under the same RequestID",
        )
        again = await telling.call("order.create", idempotency_key=key, order=order)
        expect(again["command_id"] == first["command_id"], "the same key to give the same command")
        expect(len(self.till.shop.acts) == 1, "one order at the till")
        telling.say("order.create", "the kiosk asks again with the same key: same command, same answer, nothing sent")
        return placed

    async def _update(self, telling: Telling, order_id: str) -> None:
        updated = _order_of(await telling.call("order.update", order_id=order_id, lines=[SOUP]))
        telling.say("order.update", f"a soup as well: {updated['total']} in all, {updated['owing']} owing")

    async def _pay_and_list(self, telling: Telling, order_id: str) -> None:
        owing = _money(_order_of(await self._pay(telling, order_id, DEPOSIT)), "owing")
        [listed] = await self._open_orders(telling, 1)
        expect(listed["id"] == order_id, "the open order to be the one that was placed")
        telling.say("order.list", f"table {TABLE}: order {listed['number']}, {owing} owing")
        await self._pay(telling, order_id, owing)
        await self._open_orders(telling, 0)
        telling.say("order.list", f"table {TABLE}: no open order")

    @staticmethod
    async def _pay(telling: Telling, order_id: str, amount: Decimal) -> JsonObject:
        payment: JsonObject = {"method": "Card", "amount": str(amount)}
        answer = await telling.call("payment.create", order_id=order_id, payment=payment)
        telling.say("payment.create", f"{amount} by card; {_order_of(answer)['owing']} owing")
        return answer

    @staticmethod
    async def _open_orders(telling: Telling, wanted: int) -> list[JsonObject]:
        answer = await telling.call("order.list", table=TABLE)
        orders = objects(member(answer, "result"), "orders")
        expect(len(orders) == wanted, f"{wanted} open orders at table {TABLE}, not {len(orders)}")
        return orders

    @staticmethod
    async def _events(telling: Telling) -> None:
        events = await telling.events()
        counts = Counter(str(event["kind"]) for event in events)
        telling.say("events", ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())))
        expect(counts["command.settled"] == 4, "four commands to be told as settled")
        expect(counts["session.down"] == 1 and counts["session.up"] == 2, "the lost connection to be told")


def _order_of(answer: JsonObject) -> JsonObject:
    return member(member(answer, "result"), "order")


def _money(order: JsonObject, name: str) -> Decimal:
    amount = order.get(name)
    if not isinstance(amount, str):
        raise StoryFailed(f"expected {name} as a decimal string, not {printable(amount)}")
    return Decimal(amount)
