"""The vendors of a storm, and the configuration that reaches them."""
# ruff: noqa: ASYNC110 - it polls with a deadline

import asyncio
import errno
import random
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from tests.faults.storm import doshii, order_n_pay, ros, tevalis
from tests.faults.storm.doshii import Doshii
from tests.faults.storm.ledger import Ledger
from tests.faults.storm.order_n_pay import Pos
from tests.faults.storm.ros import Ros
from tests.faults.storm.tevalis import Tevalis
from tests.support.daemons import tables
from tests.support.rest import free_port

VENDORS: Final = {
    "bar": "order-n-pay",
    "annex": "order-n-pay",
    "pub": "order-n-pay",
    "courier": "ros",
    "hotel": "tevalis",
    "cafe": "doshii",
    "deli": "doshii",
}
METHODS: Final = {
    "order-n-pay": ("order.update", "payment.create", "order.update"),
    "ros": ("order.cancel",),
    "tevalis": ("order.update", "order.cancel"),
    "doshii": ("order.update", "payment.create", "order.cancel"),
}
"""What may follow a create, in this order."""

IMPATIENT: Final[dict[str, Any]] = {"error_delays": [0.05, 0.1, 0.2], "unavailable_seconds": 0.3, "probe_seconds": 2.0}
QUICK: Final[dict[str, Any]] = {
    "reconnect_min": 0.05,
    "reconnect_max": 0.3,
    "refused_retry": 0.3,
    "stable_seconds": 0.05,
}


async def _open_again(one: Pos | Ros | Tevalis | Doshii) -> None:
    """Listen on the port that it had, as soon as no connection of somebody else's is from there."""
    while True:
        try:
            await one.open()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            await asyncio.sleep(0.05)
        else:
            return


@define(eq=False)
class Venue:
    """Four vendors, seven sessions: bar, annex (answers a repeat with a code) and pub (dials us) of Order N Pay, courier of
    ROS, hotel of Tevalis, cafe (by socket) and deli (by webhooks) of Doshii."""

    ledger: Ledger
    dice: random.Random
    bar: Pos = field(init=False)
    annex: Pos = field(init=False)
    pub: Pos = field(init=False)
    courier: Ros = field(init=False)
    hotel: Tevalis = field(init=False)
    cafe: Doshii = field(init=False)
    deli: Doshii = field(init=False)
    inbound: int = field(factory=free_port)

    def __attrs_post_init__(self) -> None:
        def dice() -> random.Random:
            return random.Random(self.dice.random())

        self.bar, self.pub = Pos(self.ledger, dice()), Pos(self.ledger, dice())
        self.annex = Pos(self.ledger, dice(), repeats="refused")
        self.courier = Ros(self.ledger, dice(), "courier")
        self.hotel = Tevalis(self.ledger, dice())
        self.cafe = Doshii(self.ledger, dice(), "cafe", webhooks=False)
        self.deli = Doshii(self.ledger, dice(), "deli", webhooks=True)
        for one in (self.pub, self.courier, self.deli):
            one.inbound_port = self.inbound

    @property
    def all(self) -> tuple[Pos | Ros | Tevalis | Doshii, ...]:
        """Every vendor."""
        return (self.bar, self.annex, self.pub, self.courier, self.hotel, self.cafe, self.deli)

    async def open(self) -> None:
        """Be there."""
        for one in self.all:
            if one is not self.pub:
                await one.open()
        self.pub.dial()

    async def close(self) -> None:
        """Be gone."""
        for one in self.all:
            await one.close()

    def calm(self) -> None:
        """Nothing befalls anybody any more."""
        for one in self.all:
            one.mischief.calm = True

    async def outage(self, one: Pos | Ros | Tevalis | Doshii, seconds: float) -> None:
        """One vendor is gone for a while."""
        if isinstance(one, Pos):
            await one.shut()
            await asyncio.sleep(seconds)
            if one is self.pub:
                one.dial()
            else:
                await _open_again(one)
            return
        one.shut()
        await asyncio.sleep(seconds)
        await _open_again(one)

    def cut(self) -> None:
        """Cut the links of all who have one."""
        for one in self.all:
            if isinstance(one, Pos):
                one.cut()
            elif isinstance(one, Doshii):
                one.cut_sockets()

    async def settled(self) -> None:
        """Wait until no vendor has anything left to do or to tell."""
        for one in self.all:
            if isinstance(one, Pos):
                continue
            while any(task.get_name() == "work" for task in one.tasks):
                await asyncio.sleep(0.05)

    def tables(self, directory: Path) -> dict[str, Any]:
        """The daemon's configuration."""
        pos: dict[str, Any] = {
            "vendor": "order-n-pay",
            "provider_id": order_n_pay.PROVIDER,
            "device_id": order_n_pay.DEVICE,
        }
        pos |= {"provider_name": order_n_pay.PROVIDER_NAME, "user": order_n_pay.USER} | QUICK
        pos |= {"service_mode_id": order_n_pay.MODE, "message_types": {"get_order": 2, "create_payment": 14}}
        pos |= {"max_message_bytes": order_n_pay.LARGEST, "ping_interval": 1.0, "ping_timeout": 2.0}
        names = ("provider_outlet_id", "pos_remote_id", "auth_secret")
        listens = dict(zip(names, order_n_pay.CREDENTIALS.values(), strict=True)) | {"role": "listen"}
        sessions: dict[str, Any] = {
            "bar": pos | {"url": f"ws://127.0.0.1:{self.bar.port}/"},
            "annex": pos | {"url": f"ws://127.0.0.1:{self.annex.port}/"},
            "pub": pos | listens,
            "courier": IMPATIENT | self._courier(),
            "hotel": IMPATIENT | self._hotel(),
            "cafe": IMPATIENT
            | QUICK
            | self._doshii(self.cafe)
            | {"socket_url": f"ws://127.0.0.1:{self.cafe.socket_port}/app/socket/v3"},
            "deli": IMPATIENT | self._doshii(self.deli),
        }
        return tables(directory, sessions, inbound={"host": "127.0.0.1", "port": self.inbound})

    def _courier(self) -> dict[str, Any]:
        told = {"vendor": "ros", "auth_url": f"{self.courier.url}/authorisation/token", "currency": "GBP"}
        told |= {"organisation": ros.ORGANISATION, "client_id": ros.CLIENT, "client_secret": ros.SECRET}
        told |= {"webhook_secret": ros.WEBHOOK_SECRET, "outlet_id": ros.OUTLET, "provider_name": ros.PROVIDER_NAME}
        return told | {"provider_id": ros.PROVIDER}

    def _hotel(self) -> dict[str, Any]:
        told = {"vendor": "tevalis", "base_url": self.hotel.url, "site_id": tevalis.SITE, "price_group_id": 3}
        told |= {"company_id": tevalis.COMPANY, "dev_id": tevalis.DEVELOPER, "guid": tevalis.GUID}
        return told | {"guid2": tevalis.GUID2}

    @staticmethod
    def _doshii(one: Doshii) -> dict[str, Any]:
        told: dict[str, Any] = {
            "vendor": "doshii",
            "base_url": f"{one.url}{doshii.BASE}",
            "location_id": doshii.LOCATION,
        }
        told |= {"client_id": doshii.CLIENT, "client_secret": doshii.SECRET, "webhook_key": doshii.WEBHOOK_KEY}
        told |= {"webhook_token": doshii.WEBHOOK_TOKEN, "lookup_seconds": 0.1, "reconcile_seconds": 0.5}
        return told


def params(session: str, method: str, key: str, order_id: str | None = None, table: int = 24) -> dict[str, Any]:
    """The params of a command in which the vendor can see the key."""
    vendor = VENDORS[session]
    line: dict[str, Any] = {"quantity": 1}
    match vendor:
        case "order-n-pay":
            line |= {"id": key, "product": "1203", "name": key, "unit_price": "4.50"}
        case "ros":
            line |= {"product": "1203", "name": "Soup", "unit_price": "4.50"}
        case "tevalis":
            line |= {"id": key, "product": "SOUP"}
        case _:
            line |= {"product": "soup", "name": key, "unit_price": "4.50"}
    match method:
        case "order.create":
            kind = {"order-n-pay": "dine_in", "tevalis": "dine_in"}.get(vendor, "pickup")
            order: dict[str, Any] = {"reference": key, "type": kind, "lines": [line]}
            if vendor in {"order-n-pay", "tevalis"}:
                order["table"] = str(table)
            told: dict[str, Any] = {"order": order}
        case "order.update":
            told = {"order_id": order_id, "lines": [line]}
        case "payment.create":
            told = {"order_id": order_id, "payment": {"method": "visa", "amount": "1.00", "reference": key}}
        case _:
            told = {"order_id": order_id, "reason": key}
    return told | {"session": session, "idempotency_key": key}
