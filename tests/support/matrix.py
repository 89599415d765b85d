"""One change at one vendor, from its making to what it has done there: what the fault matrix is made of."""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from attrs import define, field, frozen

from ordernpay.simulator import order_n_pay
from ordernpay.simulator.doshii import DoshiiSimulator
from ordernpay.simulator.faults import Fault
from ordernpay.simulator.order_n_pay import ListeningPos
from ordernpay.simulator.ros import RosSimulator
from ordernpay.simulator.shop import CREATE_ORDER, CREATE_PAYMENT, UPDATE_ORDER, Shop
from ordernpay.simulator.tevalis import TevalisSimulator
from ordernpay.simulator.web import WebFault
from tests.support import daemons, rest
from tests.support.proxy import Direction, TcpProxy
from tests.support.rest import Table, Told
from tests.support.wait import until

CHANGES: Final = {
    "order-n-pay": ("order.create", "order.update", "payment.create"),
    "ros": ("order.create", "order.cancel"),
    "tevalis": ("order.create", "order.update", "order.cancel"),
    "doshii": ("order.create", "order.update", "order.cancel", "payment.create"),
}
CUTS: Final = ("cut before", "cut after", "cut during", "silent", "late", "unreachable")
ON_THE_WAY: Final = {
    # what stands before a REST vendor, and what is not its answer: the fault, its status and body
    "502 before": (WebFault.GATEWAY_BEFORE, 502, b""),
    "502 after": (WebFault.GATEWAY_AFTER, 502, b""),
    "504 after": (WebFault.GATEWAY_AFTER, 504, b""),
    "524 after": (WebFault.GATEWAY_AFTER, 524, b""),
    "page of 503 after": (WebFault.GATEWAY_AFTER, 503, b""),
    "503 before": (WebFault.STATUS, 503, b'{"message": "not now"}'),
    "408 after": (WebFault.BROKEN, 408, b""),
    "portal": (WebFault.PORTAL, 200, b""),
    "empty answer": (WebFault.EMPTY, 200, b""),
}
KILLS: Final = ("accepted", "sending", "written", "answered", "settled")
LATER: Final = 0.5
"""Seconds after a command's timeout at which a late answer comes."""


class World(Protocol):
    """A simulated vendor with one session's way to it."""

    proxy: TcpProxy
    at_start: int
    """How many answers a session gets by itself when it starts."""

    def session(self, **changes: Any) -> Table:
        """The session's table."""
        ...

    async def ready(self, method: str, told: Told | None) -> None:
        """Wait until an order that was made can be changed so."""
        ...

    def plan(self, method: str, fault: str, timeout: float) -> None:
        """Have the next request of this change go wrong."""
        ...

    def reached(self, method: str) -> int:
        """How many requests for this change came."""
        ...

    def effects(self, method: str) -> int:
        """How often the vendor did it."""
        ...

    def passes(self, point: str, method: str) -> int:
        """How often a daemon passes a point, from its start to the one request of this change."""
        ...


def params(vendor: str, method: str, order_id: str | None) -> Table:
    """What the kiosk calls."""
    match method:
        case "order.create":
            return {"order": rest.order(vendor, table="7")}
        case "order.update":
            return {"order_id": order_id, "lines": [rest.line(vendor, name="One more")]}
        case "order.cancel":
            return {"order_id": order_id, "reason": "changed plans"}
        case _:
            return {"order_id": order_id, "payment": {"method": "visa", "amount": "2.00"}}


class WebWorld(ABC):
    """What the three REST vendors have in common here: faults in front of an HTTP server."""

    ROUTES: ClassVar[dict[str, tuple[str, str]]]

    def __init__(self, simulator: Any, proxy: TcpProxy) -> None:
        self.simulator = simulator
        self.proxy = proxy
        self._before: dict[str, int] = {}

    async def ready(self, method: str, told: Told | None) -> None:
        self._before = {name: self.effects(name) for name in self.ROUTES}
        self.simulator.server.heard.clear()

    def plan(self, method: str, fault: str, timeout: float) -> None:
        if fault == "unreachable":
            self.proxy.refuse()
            return
        verb, path = self.ROUTES[method]
        if fault in ON_THE_WAY:
            planned, status, body = ON_THE_WAY[fault]
            self.simulator.faults.plan(planned, method=verb, path=path, status=status, body=body)
            return
        self.simulator.faults.plan(fault.replace(" ", "_"), method=verb, path=path, seconds=timeout + LATER)

    def reached(self, method: str) -> int:
        verb, path = self.ROUTES[method]
        return sum(heard.method == verb and self.matches(path, heard.path) for heard in self.simulator.server.heard)

    @staticmethod
    def matches(path: str, heard: str) -> bool:
        return path in heard

    def effects(self, method: str) -> int:
        return self.count(method) - self._before.get(method, 0)

    @abstractmethod
    def count(self, method: str) -> int:
        """How often the vendor has done this in all."""

    BEFORE: ClassVar[dict[str, int]]
    """How many requests of its own each change makes before the one that counts."""

    at_start = 1

    def passes(self, point: str, method: str) -> int:
        if point not in {"written", "answered"}:
            return 1
        return self.at_start + self.BEFORE.get(method, 0) + 1


class RosWorld(WebWorld):
    """ROS behind a proxy, by which it is told where it is."""

    simulator: RosSimulator
    ROUTES: ClassVar[dict[str, tuple[str, str]]] = {
        "order.create": ("POST", "remoteorders/add"),
        "order.cancel": ("POST", "remoteorders/cancel"),
    }
    BEFORE: ClassVar[dict[str, int]] = {}

    def session(self, **changes: Any) -> Table:
        self.simulator.authority.svc = f"http://127.0.0.1:{self.proxy.port}/{self.simulator.authority.place}/"
        where = f"http://127.0.0.1:{self.proxy.port}/"
        return rest.ros_session(self.simulator, service_urls=[where], **changes)

    def count(self, method: str) -> int:
        if method == "order.create":
            return sum(act.kind == "add" for act in self.simulator.acts)
        return sum(bool(order.cancellations) for order in self.simulator.orders.values())

    def passes(self, point: str, method: str) -> int:
        return super().passes(point, method) + (point == "written")  # the token


class TevalisWorld(WebWorld):
    """Tevalis behind a proxy."""

    simulator: TevalisSimulator
    ROUTES: ClassVar[dict[str, tuple[str, str]]] = {
        "order.create": ("POST", "/SubmitCalculatedOnlineOrder"),
        "order.update": ("POST", "/SubmitCalculatedOnlineOrder"),
        "order.cancel": ("POST", "/CancelOnlineOrder"),
    }
    BEFORE: ClassVar[dict[str, int]] = {"order.create": 1, "order.update": 1}

    def session(self, **changes: Any) -> Table:
        return rest.tevalis_session(self.simulator, base_url=f"http://127.0.0.1:{self.proxy.port}", **changes)

    def count(self, method: str) -> int:
        kinds = {"order.create": "submit", "order.update": "merge", "order.cancel": "cancel"}
        return sum(act.kind == kinds[method] for act in self.simulator.acts)


class DoshiiWorld(WebWorld):
    """Doshii behind a proxy; told of events by webhook alone, so that its requests can be counted."""

    at_start = 3
    simulator: DoshiiSimulator
    ROUTES: ClassVar[dict[str, tuple[str, str]]] = {
        "order.create": ("POST", "/orders"),
        "order.update": ("POST", "/items"),
        "order.cancel": ("PUT", "/orders/"),
        "payment.create": ("POST", "/transactions"),
    }
    BEFORE: ClassVar[dict[str, int]] = {"order.cancel": 1}

    def session(self, **changes: Any) -> Table:
        base_url = f"http://127.0.0.1:{self.proxy.port}/partner/v3"
        return rest.doshii_session(self.simulator, socket=False, **({"base_url": base_url} | changes))

    @staticmethod
    def matches(path: str, heard: str) -> bool:
        return heard.endswith(path) if path != "/orders/" else path in heard

    async def ready(self, method: str, told: Told | None) -> None:
        if told is not None:
            await until(lambda: self.simulator.book.orders[told.order_id].status == "accepted")
            await self.simulator.settled()
        await super().ready(method, told)

    def count(self, method: str) -> int:
        kinds = {
            "order.create": "create_order",
            "order.update": "add_items",
            "order.cancel": "cancel_order",
            "payment.create": "create_transaction",
        }
        return sum(act.kind == kinds[method] for act in self.simulator.acts)


class OrderNPayWorld:
    """A till behind a proxy."""

    at_start = 0
    NUMBERS: Final = {"order.create": CREATE_ORDER, "order.update": UPDATE_ORDER, "payment.create": CREATE_PAYMENT}

    def __init__(self, simulator: ListeningPos, proxy: TcpProxy) -> None:
        self.simulator = simulator
        self.proxy = proxy
        self._before = self._heard = 0

    def session(self, **changes: Any) -> Table:
        return daemons.session(url=f"ws://127.0.0.1:{self.proxy.port}/", **changes)

    async def ready(self, method: str, told: Told | None) -> None:
        self._before, self._heard = self._count(method), len(self.simulator.shop.requests)

    def plan(self, method: str, fault: str, timeout: float) -> None:
        match fault:
            case "unreachable":
                self.proxy.refuse()
                self.proxy.drop()
            case "cut during":
                self.proxy.cut_after(20, Direction.TO_CLIENT)
            case _:
                names = {"cut before": Fault.DROP_BEFORE, "cut after": Fault.DROP_AFTER}
                planned = names.get(fault) or Fault(fault)
                number = self.NUMBERS[method]
                self.simulator.faults.plan(planned, message_type=number, seconds=timeout + LATER)

    def reached(self, method: str) -> int:
        heard = self.simulator.shop.requests[self._heard :]
        return sum(json.loads(request)["MessageType"] == self.NUMBERS[method] for request in heard)

    def effects(self, method: str) -> int:
        return self._count(method) - self._before

    def _count(self, method: str) -> int:
        return sum(act.message_type == self.NUMBERS[method] for act in self.simulator.shop.acts)

    def passes(self, point: str, method: str) -> int:
        return 1


WORLDS: Final[dict[str, Callable[[Any, TcpProxy], World]]] = {
    "order-n-pay": OrderNPayWorld,
    "ros": RosWorld,
    "tevalis": TevalisWorld,
    "doshii": DoshiiWorld,
}


@contextlib.asynccontextmanager
async def world(vendor: str) -> AsyncIterator[World]:
    """A vendor of this kind, and a proxy to it."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        match vendor:
            case "ros":
                simulator: Any = await enter(rest.serve_ros())
            case "tevalis":
                simulator = await enter(rest.serve_tevalis())
            case "doshii":
                simulator = await enter(rest.serve_doshii())
            case _:
                simulator = await enter(order_n_pay.serve(Shop()))
        port = simulator.port if vendor == "order-n-pay" else simulator.server.port
        proxy = await enter(TcpProxy("127.0.0.1", port))
        yield WORLDS[vendor](simulator, proxy)


@frozen
class Cell:
    """What became of one change under one fault: how it ended at first, and at last."""

    vendor: str
    method: str
    fault: str
    state: str
    later: str
    reached: int
    effects: int
    effects_then: int

    def faults(self) -> list[str]:
        """What is wrong with it, by the promises."""
        name = f"{self.vendor} {self.method}, {self.fault}: {self}"
        wrong = []
        if self.effects > 1:
            wrong.append(f"two effects: {name}")
        for state, effects in ((self.state, self.effects_then), (self.later, self.effects)):
            if state in {"failed", "rejected"} and effects:
                wrong.append(f"{state} in spite of an effect: {name}")
            if state == "succeeded" and not effects:
                wrong.append(f"succeeded without an effect: {name}")
        if self.later in {"accepted", "sent"}:
            wrong.append(f"never ended: {name}")
        return wrong

    @property
    def text(self) -> str:
        """As it stands in the table."""
        state = self.state if self.state == self.later else f"{self.state} → {self.later}"
        return f"{state}, {self.reached} sent, {self.effects} done"


@define
class Matrix:
    """Cells of many tests, and the table of them all."""

    directory: Path
    cells: list[Cell] = field(factory=list)

    def add(self, cells: Iterable[Cell]) -> None:
        """Keep these and write the table anew."""
        self.cells += cells
        (self.directory / "fault-matrix.md").write_text(self.table() + "\n", encoding="utf-8")

    def table(self) -> str:
        """All cells as Markdown: a table for each vendor, with a row for each fault and a column for each change."""
        found = {(cell.vendor, cell.method, cell.fault): cell.text for cell in self.cells}
        faults = [*CUTS, *ON_THE_WAY, *(f"killed: {point}" for point in KILLS)]
        lines: list[str] = []
        for vendor, methods in CHANGES.items():
            names = " | ".join(f"`{method}`" for method in methods)
            lines += [f"## {vendor}", "", f"| fault | {names} |", "|" + "---|" * (1 + len(methods))]
            for fault in faults:
                texts = [found.get((vendor, method, fault), "") for method in methods]
                if any(texts):
                    lines.append(f"| {fault} | {' | '.join(texts)} |")
            lines.append("")
        return "\n".join(lines)


async def made_before(
    vendor: str, method: str, socket: str, session: str, place: World, call: Callable[..., Awaitable[Told]] = rest.ask
) -> str | None:
    """The number of the order that a change needs; None where it needs none."""
    told = None
    if method != "order.create":
        told = await call(socket, "order.create", session=session, timeout=10, **params(vendor, "order.create", None))
        assert told.ok, told.body
    await place.ready(method, told)
    return told.order_id if told is not None else None
