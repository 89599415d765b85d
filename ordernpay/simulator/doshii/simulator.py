"""A pretend Doshii with a pretend POS behind it, for a daemon that is an App."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable

import httpx
from attrs import define
from starlette.applications import Starlette

from ordernpay.simulator import web
from ordernpay.simulator.doshii.book import Act, Book, ItemsForm
from ordernpay.simulator.doshii.chores import Chores
from ordernpay.simulator.doshii.events import Envelope, Events
from ordernpay.simulator.doshii.forgeries import Forger
from ordernpay.simulator.doshii.pos import Pos
from ordernpay.simulator.doshii.records import Order, Style
from ordernpay.simulator.doshii.rest import BASE, Refusal, Rest
from ordernpay.simulator.doshii.sockets import PATHS, Heartbeat, Sockets
from ordernpay.simulator.doshii.tokens import App
from ordernpay.simulator.doshii.venue import Venue
from ordernpay.simulator.doshii.webhooks import SHORT_GAPS, Hook, Webhooks
from ordernpay.simulator.pages import Record


@define(eq=False)
class DoshiiSimulator:
    """A running Doshii; see ``serve``. All its parts may be changed at any time.

    Attributes:
        app: Who may ask.
        venues: Where; the first one is the one that ``serve`` made, unless others were given.
        book: Orders, payments, and what ``PUT`` and ``POST .../items`` hold requests to.
        pos: What becomes of them.
        events: How the App hears of it, and what was told.
        sockets, webhooks: On which ways.
        style: How numbers are written.
        rest: The endpoints, and what they refused.
        server: Every request that came, faults included.
    """

    app: App
    venues: list[Venue]
    book: Book
    pos: Pos
    events: Events
    sockets: Sockets
    webhooks: Webhooks
    style: Style
    rest: Rest
    server: web.WebServer
    chores: Chores

    @property
    def base_url(self) -> str:
        """Where ``/partner/v3`` is, that included."""
        return self.rest.base_url

    @property
    def socket_url(self) -> str:
        """Where the socket is, without its query."""
        return f"ws://{self.server.host}:{self.server.port}{PATHS[0]}"

    @property
    def faults(self) -> web.WebFaults:
        """What goes wrong with requests."""
        return self.server.faults

    @property
    def acts(self) -> list[Act]:
        """Every change that an App's request made, in order."""
        return self.book.acts

    @property
    def refusals(self) -> list[Refusal]:
        """Every request that was not granted."""
        return self.rest.refusals

    @property
    def location_id(self) -> str:
        """The first location's hashed ID."""
        return self.venues[0].location_id

    def order(self, external_order_ref: str) -> Order:
        """The last order with this reference."""
        return [one for one in self.book.orders.values() if one.external_order_ref == external_order_ref][-1]

    def created(self, external_order_ref: str | None = None) -> int:
        """How many orders were made, in all or with this reference."""
        refs = {external_order_ref} if external_order_ref is not None else {act.external_order_ref for act in self.acts}
        return sum(act.kind == "create_order" and act.external_order_ref in refs for act in self.acts)

    def bump_version(self, order_id: str) -> str:
        """Change an order's version, as if a POS had changed the order meanwhile; no event tells of it."""
        return self.book.bump_version(order_id)

    async def emit(self, event: str, data: Record) -> None:
        """Send any event, known or unknown, with any data."""
        await self.events.emit(event, data)

    async def change_menu(self, menu: Record | None = None) -> None:
        """Have another menu at the first location, and tell of it."""
        self.venues[0].change_menu(menu)
        await self.events.menu_updated(self.location_id)

    def forger(self, hook: Hook | None = None) -> Forger:
        """Somebody who posts what Doshii would not, to this webhook or to the first one."""
        return Forger(self.webhooks, hook or self.webhooks.hooks[0])

    async def settled(self) -> None:
        """Wait until the POS has thought of everything and every webhook was taken or given up."""
        await self.chores.settled()


@contextlib.asynccontextmanager
async def serve(
    *,
    app: App | None = None,
    venues: Iterable[Venue] | None = None,
    book: Book | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: web.WebFaults | None = None,
    heartbeat: Heartbeat | None = None,
    style: Style | None = None,
    envelope: Envelope = Envelope.EVENT,
    items_form: ItemsForm = "either",
    gaps: Iterable[float] = SHORT_GAPS,
    created_status: int = 200,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[DoshiiSimulator]:
    """A Doshii that can be reached at once, until the context ends.

    Args:
        app: Who may ask.
        venues: Where; one location called as in the event page's examples, if none are given.
        book: The orders of a Doshii that served before, for one that comes back; it keeps its ``items_form``.
        host: Where to listen.
        port: 0 for any free one.
        faults: What goes wrong with requests; more can be planned at any time.
        heartbeat: What the App's pings are held to.
        style: How numbers are written.
        envelope: How events are wrapped, on both ways.
        items_form: What ``POST /orders/:id/items`` wants.
        gaps: Seconds between the tries of a webhook.
        created_status: The status where something was made.
        clock: Epoch seconds.
    """
    known = app or App()
    places = list(venues) if venues is not None else [Venue()]
    chores, kept, manner = Chores(), book or Book(clock, items_form), style or Style()
    async with (
        web.serve(Starlette(), faults, host=host, port=port, acts=lambda: kept.acts) as server,
        httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=None)) as client,
    ):
        base_url = server.base_url + BASE
        sockets = Sockets(known, server.cut, heartbeat or Heartbeat(), clock=clock)
        webhooks = Webhooks(client, chores, tuple(gaps))
        events = Events(sockets, webhooks, manner, base_url, envelope, envelope)
        pos = Pos(kept, events, chores, lambda: {name for place in places for name in place.known()})
        rest = Rest(known, places, kept, pos, manner, base_url, created_status, clock)
        server.app = rest.application(sockets)
        entered = asyncio.Event()
        owner = asyncio.create_task(chores.run(entered))
        await entered.wait()
        try:
            yield DoshiiSimulator(known, places, kept, pos, events, sockets, webhooks, manner, rest, server, chores)
        finally:
            server.drop()
            owner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await owner
