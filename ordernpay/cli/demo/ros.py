"""ROS' story: an add whose answer is lost, and the webhook that settles it."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from ordernpay.cli.demo.telling import StoryFailed, Tally, Telling, expect
from ordernpay.cli.terminal import member
from ordernpay.cli.vendors import courier_toml
from ordernpay.client import OutcomeUnknown, Unsupported
from ordernpay.jsontext import JsonObject
from ordernpay.simulator.ros import RosSimulator, serve
from ordernpay.simulator.web import WebFault


@asynccontextmanager
async def courier(inbound: str) -> AsyncIterator["RosStory"]:
    """ROS, which calls the daemon back."""
    async with serve(RosSimulator(webhook_url=f"{inbound}/webhooks/ros/courier")) as ros:
        yield RosStory(ros, courier_toml("courier", ros))


@frozen
class RosStory:
    """One delivery."""

    ros: RosSimulator
    toml: str
    about: str = "the daemon calls ROS, ROS calls back"
    vendor: str = "ros"
    session: str = "courier"

    async def tell(self, telling: Telling) -> None:
        """Nobody can tell at first whether the order was made; the outlet's answer does."""
        await telling.up()
        lines: list[JsonObject] = [{"product": "1203", "name": "Soup", "quantity": 2, "unit_price": "4.50"}]
        order: JsonObject = {"reference": "courier-A1", "type": "delivery", "lines": [*lines]}
        await self._quote(telling, order)
        key = "create-courier-A1"
        self.ros.faults.plan(WebFault.CUT_AFTER, path="remoteorders/add")
        telling.say("(fault)", "ROS will take the next order, then cut the connection before it answers", "yellow")
        try:
            await telling.call("order.create", idempotency_key=key, order=order)
        except OutcomeUnknown:
            telling.say("order.create", "unknown: ROS cannot tell repeats apart, so nothing is sent again")
        else:
            raise StoryFailed("expected an unknown outcome")
        [added] = self.ros.acts
        await self.ros.notify(self.ros.processed(self.ros.confirmed(added.remote_order_id)))
        await telling.settled(key)
        telling.say("webhook", "the outlet has confirmed the order: the command is settled, told by an event")
        answer = await telling.call("order.create", idempotency_key=key, order=order)
        placed = member(member(answer, "result"), "order")
        expect(placed["id"] == added.remote_order_id, "the id that ROS gave the order")
        telling.say("order.create", f"the same key again: it is order {placed['id']}, {placed['status']}")
        answer = await telling.call("order.cancel", order_id=placed["id"], reason="CUST_CANCEL")
        telling.say("order.cancel", f"cancelled as {member(answer, 'result')['cancellation_id']}")

    @staticmethod
    async def _quote(telling: Telling, order: JsonObject) -> None:
        try:
            await telling.call("order.quote", order=order)
        except Unsupported as error:
            telling.say("order.quote", f"{error.message}: the kiosk is told, and what there is instead")
        else:
            raise StoryFailed("expected no quotes from ROS")

    def tallies(self) -> list[Tally]:
        """What ROS did."""
        done = Counter(act.kind for act in self.ros.acts)
        return [
            Tally("orders made", 1, done["add"]),
            Tally("orders cancelled", 1, done["cancel"]),
            Tally("requests to add an order", 1, self.ros.server.count("remoteorders/add")),
            Tally("requests against the rules", 0, sum(self.ros.refusals.values())),
        ]
