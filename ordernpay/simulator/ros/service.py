"""The pretend ROS on the network: the auth server and ROS itself on one port, and the webhooks.

Assumed, because no page that was seen says it: a body that is not called JSON is 400; when several things are wrong,
503 comes first, then 401, 400, 403; an error's body is an object with a ``message`` for people; a slash too many is 404.
"""

import asyncio
import contextlib
import datetime as dt
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ordernpay.simulator.pages import FieldError, Record, write_json
from ordernpay.simulator.ros import notices
from ordernpay.simulator.ros.authority import TOKEN_PATH, Authority, Credentials
from ordernpay.simulator.ros.book import Act, Book, RefusedError, RemoteOrder
from ordernpay.simulator.ros.fields import Readings
from ordernpay.simulator.ros.notices import Kind, Notice, Stock, StockCount, Style, Verdict
from ordernpay.simulator.ros.venue import PROVIDER, Organisation, Provider, demo
from ordernpay.simulator.ros.webhooks import Pace, Webhooks
from ordernpay.simulator.web import WebFaults, WebServer
from ordernpay.simulator.web import serve as serve_web

_Act = Callable[[Organisation, Request], Awaitable[Record]]


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RosSimulator:
    """A simulated ROS; see ``serve``.

    Args:
        organisations: Whose outlets take orders; one with one outlet if none are given.
        provider: Who may send them.
        credentials: What opens the auth server.
        readings: How open questions of the pages are read.
        webhook_url: Where notifications go; can be set later in ``webhooks.url``.
        style: How they are written.
        pace: How long they are tried.
        auto_process: Seconds after which each added order is confirmed by webhook; None for never.
        clock: Monotonic seconds, by which tokens expire.

    Attributes:
        authority: The auth server: token lifetime, ``revoke``, ``move``, counts.
        book: The orders.
        webhooks: What sends notifications; also forged and broken ones.
        faults: What goes wrong on the way.
        starting_up: Whether ROS, but not its auth server, answers 503 to everything.
        refusals: How many requests were refused, by status, those of the faults apart.
        reasons: Why, in order.
        server: The HTTP server, with every request ``heard``.
    """

    server: WebServer

    def __init__(
        self,
        *,
        organisations: Iterable[Organisation] = (),
        provider: Provider = PROVIDER,
        credentials: Credentials | None = None,
        readings: Readings | None = None,
        webhook_url: str | None = None,
        style: Style | None = None,
        pace: Pace | None = None,
        auto_process: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.organisations = tuple(organisations) or (demo(),)
        self.provider = provider
        self.authority = Authority(credentials or Credentials(), self.organisations, clock)
        self.book = Book(provider, readings or Readings())
        self.faults = WebFaults()
        self.auto_process = auto_process
        self.starting_up = False
        self.refusals: Counter[int] = Counter()
        self.reasons: list[str] = []
        self.client = httpx.AsyncClient(
            trust_env=False,
            verify=False,  # noqa: S501 - a daemon under test has a certificate of its own making
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self.webhooks = Webhooks(self.client, webhook_url, style or Style(), pace or Pace())
        self._added: asyncio.Queue[RemoteOrder] = asyncio.Queue()
        self.app = Starlette(
            routes=[
                Route(TOKEN_PATH, self._on_token, methods=["POST"]),
                Route("/{place}/remoteorders/add", self._guarded(self._add), methods=["POST"]),
                Route("/{place}/remoteorders/cancel", self._guarded(self._cancel), methods=["POST"]),
                Route("/{place}/remoteorders/menu/{provider}/{outlet}", self._guarded(self._menu), methods=["GET"]),
                Route("/{place}/remoteorders/activeoutlets/{provider}", self._guarded(self._active), methods=["GET"]),
            ]
        )
        self.app.router.redirect_slashes = False

    @property
    def organisation(self) -> Organisation:
        """The first one."""
        return self.organisations[0]

    @property
    def acts(self) -> list[Act]:
        """Every order added and cancellation accepted, in order."""
        return self.book.acts

    @property
    def orders(self) -> Mapping[str, RemoteOrder]:
        """By ``remoteOrderID``."""
        return self.book.orders

    @property
    def auth_url(self) -> str:
        """Where the auth server is, without its path."""
        return self.server.base_url

    @property
    def token_url(self) -> str:
        """Where tokens are asked for."""
        return self.auth_url + TOKEN_PATH

    async def notify(self, notice: Notice) -> list[int]:
        """Send a notification, again and again until it arrives, and return the statuses met."""
        return await self.webhooks.notify(notice)

    def foreign(self, provider_order_id: str, *, provider_id: int | None = None) -> RemoteOrder:
        """An order that never came here, to be told of all the same, as by ``Verdict(ros.foreign("X-1"))``."""
        body = {
            "providerID": self.provider.provider_id if provider_id is None else provider_id,
            "providerOrderID": provider_order_id,
            "currencyCode": "GBP",
            "outletID": self.organisation.outlets[0].outlet_id,
            "dateTimeCreatedUTC": None,
            "dateTimePrepareForUTC": None,
            "testOrder": False,
        }
        return RemoteOrder(str(uuid.uuid4()), self.organisation, body, _now())

    def confirmed(self, remote_order_id: str) -> Verdict:
        """The outlet will make this order."""
        return Verdict(self.orders[remote_order_id])

    def rejected(
        self,
        remote_order_id: str,
        reason: str = "Kitchen closed",
        *,
        kind: int | None = 0,
        out_of_stock: Iterable[str] = (),
    ) -> Verdict:
        """The outlet will not make this order."""
        return Verdict(
            self.orders[remote_order_id],
            confirmed=False,
            rejection_reason=reason,
            rejection_type=kind,
            out_of_stock=tuple(out_of_stock),
        )

    def processed(self, *verdicts: Verdict) -> Notice:
        """One notification of these decisions; all orders are of the first one's organisation."""
        organisation = verdicts[0].order.organisation if verdicts else self.organisation
        return notices.processed(organisation, verdicts, _now())

    def prepared(
        self, remote_order_id: str, *, location: str | None = None, collection_point: str | None = None
    ) -> Notice:
        """An order is ready."""
        order = self.orders[remote_order_id]
        return notices.prepared(order, self.provider, location=location, collection_point=collection_point)

    def stock_level(self, product_id: str, level: Stock = Stock.OUT) -> Notice:
        """A product's stock at the first outlet has crossed a line."""
        return notices.stock_level(self.organisation, self.organisation.outlets[0], product_id, level)

    def live_stock(self, *counts: StockCount, full: bool = False) -> Notice:
        """Counts at the first outlet."""
        return notices.live_stock(self.organisation, self.organisation.outlets[0], counts, full=full)

    def unknown(self, **content: object) -> Notice:
        """A notification of a type that no page tells."""
        return Notice(Kind.UNKNOWN, self.organisation, content)

    async def process_all(self) -> None:
        """Confirm the orders that come, if this is wanted, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                order = await self._added.get()
                if self.auto_process is not None and self.webhooks.url is not None:
                    group.create_task(self._process(order, self.auto_process))

    async def _process(self, order: RemoteOrder, delay: float) -> None:
        await asyncio.sleep(delay)
        if not order.cancellations:
            await self.notify(self.processed(Verdict(order)))

    async def _on_token(self, request: Request) -> Response:
        try:
            answer = self.authority.token(
                request.headers.get("content-type", ""), await request.body(), self.server.base_url
            )
        except RefusedError as refusal:
            self._refused(refusal.status, str(refusal))
            return JSONResponse({"error": str(refusal)}, refusal.status)
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def _guarded(self, act: _Act) -> Callable[[Request], Awaitable[Response]]:
        """The act behind what stands before all of ROS."""

        async def on_request(request: Request) -> Response:
            place = request.path_params["place"]
            try:
                if not self.authority.knows(place):
                    raise RefusedError(404, "ROS is not here.")
                if self.starting_up:
                    raise RefusedError(503, "ROS is starting up.")
                grant = self.authority.grant(request.headers.get("authorization"), place)
                answer = await act(grant.organisation, request)
            except RefusedError as refusal:
                return self._refused(refusal.status, str(refusal))
            except FieldError as error:
                return self._refused(400, str(error))
            return Response(write_json(answer), media_type="application/json")

        return on_request

    def _refused(self, status: int, reason: str) -> Response:
        self.refusals[status] += 1
        self.reasons.append(reason)
        return JSONResponse({"message": reason}, status)

    async def _add(self, organisation: Organisation, request: Request) -> Record:
        order = self.book.add(organisation, await _json_text(request), _now())
        self._added.put_nowait(order)
        return {"remoteOrderID": order.remote_order_id}

    async def _cancel(self, organisation: Organisation, request: Request) -> Record:
        return {"remoteOrderCancellationID": self.book.cancel(organisation, await _json_text(request))}

    async def _menu(self, organisation: Organisation, request: Request) -> Record:
        return self.book.menu(organisation, request.path_params["provider"], request.path_params["outlet"])

    async def _active(self, organisation: Organisation, request: Request) -> Record:
        return self.book.active_outlets(organisation, request.path_params["provider"])


async def _json_text(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(400, "The content type is not application/json.")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError:
        raise RefusedError(400, "The body is not UTF-8.") from None


@contextlib.asynccontextmanager
async def serve(
    simulator: RosSimulator | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RosSimulator]:
    """Run a simulated ROS until the context ends, once.

    Args:
        simulator: One that is new; None for one with its defaults.
        host: Where to listen.
        port: 0 for any free one.
    """
    ros = simulator or RosSimulator()
    async with ros.client, serve_web(ros.app, ros.faults, host=host, port=port, acts=lambda: ros.acts) as ros.server:
        processing = asyncio.create_task(ros.process_all())
        try:
            yield ros
        finally:
            processing.cancel()
            await asyncio.wait([processing])
            if not processing.cancelled():
                processing.result()
