"""One kiosk program for every vendor: it is given another session's name, and nothing else."""

import contextlib
from pathlib import Path

import pytest
from attrs import define, field

from ordernpay.client import Client, Unsupported, connect
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.simulator import order_n_pay
from ordernpay.simulator.shop import Shop
from ordernpay.vendors.doshii.session import COMMANDS as DOSHII
from ordernpay.vendors.ros.session import COMMANDS as ROS
from ordernpay.vendors.tevalis.session import COMMANDS as TEVALIS
from tests.support import daemons, rest
from tests.support.daemons import daemon_inside

OFFERED: dict[str, dict[str, bool]] = {
    # of the three steps below, by the contract's table
    "bar": {"order.quote": True, "order.create": True, "order.cancel": False},
    "courier": {"order.quote": False, "order.create": True, "order.cancel": True},
    "hotel": {"order.quote": True, "order.create": True, "order.cancel": True},
    "cafe": {"order.quote": True, "order.create": True, "order.cancel": True},
}
SUPPORTED = {"courier": ROS, "hotel": TEVALIS, "cafe": DOSHII}
VENDORS = {"bar": "order-n-pay", "courier": "ros", "hotel": "tevalis", "cafe": "doshii"}


@define
class Kiosk:
    """The program. It knows no vendor: what a session has not is told to it, with what it has instead."""

    client: Client
    session: str
    product: str
    price: str
    done: dict[str, bool] = field(factory=dict)
    instead: dict[str, JsonValue] = field(factory=dict)

    async def call(self, method: str, **params: JsonValue) -> JsonObject | None:
        try:
            answer = await self.client.call(method, {"session": self.session, **params})
        except Unsupported as error:
            self.done[method] = False
            self.instead[method] = error.details["supported"] if isinstance(error.details, dict) else None
            return None
        assert (answer["state"], answer["session"]) == ("succeeded", self.session)
        self.done[method] = True
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    async def run(self) -> None:
        """Quote, create, cancel."""
        order: JsonObject = {
            "reference": f"ONE-{self.session}",
            "type": "pickup",
            "table": "7",
            "lines": [{"product": self.product, "name": "Lunch", "quantity": 2, "unit_price": self.price}],
        }
        quoted = await self.call("order.quote", order=order)
        made = await self.call("order.create", order=order, idempotency_key=f"create-{self.session}")
        assert made is not None
        placed = made["order"]
        assert isinstance(placed, dict)
        assert isinstance(placed["id"], str)
        if quoted is not None:
            assert isinstance(quoted["order"], dict)
            assert quoted["order"]["total"] == placed["total"]
        await self.call(
            "order.cancel", order_id=placed["id"], reason="changed plans", idempotency_key=f"cancel-{self.session}"
        )


@pytest.mark.parametrize("session", OFFERED)
async def test_one_program_speaks_to_every_vendor(session: str, artifacts: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        shop = Shop()
        pos = await stack.enter_async_context(order_n_pay.serve(shop))
        ros = await stack.enter_async_context(rest.serve_ros())
        tevalis = await stack.enter_async_context(rest.serve_tevalis())
        doshii = await stack.enter_async_context(rest.serve_doshii())
        config = rest.config(
            artifacts,
            {
                "bar": daemons.session(url=pos.url),
                "courier": rest.ros_session(ros),
                "hotel": rest.tevalis_session(tevalis),
                "cafe": rest.doshii_session(doshii),
            },
        )
        daemon = await stack.enter_async_context(daemon_inside(config))
        await rest.up(daemon)
        client = await stack.enter_async_context(connect(config["rpc"]["socket"]))
        product, _, price = rest.PRODUCTS[VENDORS[session]]
        kiosk = Kiosk(client, session, product, price)
        await kiosk.run()

        assert kiosk.done == OFFERED[session]
        for supported in kiosk.instead.values():
            assert isinstance(supported, list)
            assert set(supported) >= {"order.create", "vendor.request"}
            if session in SUPPORTED:
                assert supported == [*SUPPORTED[session]]
        effects = {
            "bar": len(shop.acts),
            "courier": len(ros.acts),
            "hotel": len(tevalis.acts),
            "cafe": sum(act.kind != "preprocess" for act in doshii.acts),
        }
        steps = sum(done for method, done in kiosk.done.items() if method != "order.quote")
        assert effects == dict.fromkeys(effects, 0) | {session: steps}
        assert (ros.reasons, tevalis.refusals, shop.refusals) == ([], 0, 0)
