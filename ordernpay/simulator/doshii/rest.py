"""The App's side of Doshii's HTTP interface.

Sources: https://support.doshii.com/developer-support/hc/en-us/articles/360000657434-error-codes for the statuses, and
those of ``book``, ``tokens`` and ``venue``.

Assumed, because no page that was seen says it:

=======================  ===============================================================================================
success                  200, or ``created_status`` where something was made
the body of an error     ``{"statusCode", "name", "message"}``
``Content-Type``         wanted for every request that has a body, and not for the others
query parameters         of ``GET /orders``: one that no page names is refused
a location that is not   403, whether it is unknown or the App is not subscribed to it
rejection codes          are found at ``/rejection_codes`` and at ``/rejection-codes``
=======================  ===============================================================================================
"""

import http
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from attrs import define, field, frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from ordernpay.simulator.doshii import sockets, tokens
from ordernpay.simulator.doshii.book import Book
from ordernpay.simulator.doshii.pos import Pos
from ordernpay.simulator.doshii.records import Style
from ordernpay.simulator.doshii.refusal import Refused
from ordernpay.simulator.doshii.tokens import App
from ordernpay.simulator.doshii.venue import MEANINGS, Venue
from ordernpay.simulator.pages import FieldError, read_json

BASE: Final = "/partner/v3"
LOCATION: Final = "doshii-location-id"


@frozen
class Refusal:
    """A request that was not granted."""

    method: str
    path: str
    status: int
    message: str


@frozen
class Call:
    """A request of the App itself."""

    request: Request
    body: Any
    location: str

    def named(self, name: str) -> str:
        """What stands in the path."""
        return str(self.request.path_params[name])


Act = Callable[[Call], Awaitable[Any]]


@define(eq=False)
class Rest:
    """The endpoints.

    Attributes:
        refusals: Every answer that was not 200, faults that were planned apart.
    """

    app: App
    venues: list[Venue]
    book: Book
    pos: Pos
    style: Style
    base_url: str
    created_status: int = 200
    clock: Callable[[], float] = time.time
    refusals: list[Refusal] = field(factory=list)

    def application(self, socket_end: sockets.Sockets) -> Starlette:
        """Everything that listens."""
        made = self.created_status
        routes = [
            self._route("POST", "/orders", self._create, status=made),
            self._route("GET", "/orders", self._list),
            self._route("POST", "/orders/preprocess", self._preprocess, status=made),
            self._route("GET", "/orders/{id}", self._read),
            self._route("PUT", "/orders/{id}", self._update),
            self._route("POST", "/orders/{id}/items", self._add_items, status=made),
            self._route("POST", "/orders/{id}/transactions", self._pay, status=made),
            self._route("GET", "/orders/{id}/transactions", self._payments),
            self._route("POST", "/transactions", self._pay_loosely, status=made),
            self._route("GET", "/transactions/{id}", self._payment),
            self._route("PUT", "/transactions/{id}", self._update_payment),
            self._route("GET", "/locations/{id}/menu", self._menu),
            self._route("GET", "/locations", self._locations, located=False),
            self._route("GET", "/locations/{id}", self._location_record, located=False),
            self._route("GET", "/health/locations/{id}", self._health, located=False),
            self._route("GET", "/rejection_codes/{code}", self._rejection_code, located=False),
            self._route("GET", "/rejection-codes/{code}", self._rejection_code, located=False),
            *(WebSocketRoute(path, socket_end.serve) for path in sockets.PATHS),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self._no_such_path})

    def _route(self, method: str, path: str, act: Act, *, status: int = 200, located: bool = True) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                tokens.check(request.headers.get("authorization"), self.app, self.clock())
                location = self._location(request) if located else ""
                answer = await act(Call(request, await _body(request), location))
            except Refused as no:
                return self._refused(request, no.status, str(no))
            except FieldError as no:
                return self._refused(request, 400, str(no))
            return JSONResponse(answer, status)

        return Route(BASE + path, endpoint, methods=[method])

    def _location(self, request: Request) -> str:
        location = request.headers.get(LOCATION)
        if not location:
            raise Refused(400, f"The header {LOCATION} is missing.")
        if not any(venue.subscribed for venue in self.venues if venue.location_id == location):
            raise Refused(403, "The App is not subscribed to this location.")
        return location

    def _venue(self, location_id: str) -> Venue:
        for venue in self.venues:
            if venue.location_id == location_id:
                return venue
        raise Refused(404, "There is no such location.")

    def _refused(self, request: Request, status: int, message: str) -> Response:
        self.refusals.append(Refusal(request.method, request.url.path, status, message))
        name = http.HTTPStatus(status).phrase
        return JSONResponse({"statusCode": status, "name": name, "message": message}, status)

    async def _no_such_path(self, request: Request, no: Exception) -> Response:
        status = no.status_code if isinstance(no, HTTPException) else 500
        return self._refused(request, status, "There is no such path.")

    def _written(self, answer: Any) -> Any:
        return self.style.write(answer)

    async def _create(self, call: Call) -> Any:
        order = self.book.create(call.location, call.body)
        answer = self._written(order.answer(self.base_url))
        await self.pos.think(self.pos.order_came(order))
        return answer

    async def _list(self, call: Call) -> Any:
        query = call.request.query_params
        if len(query) != len(query.multi_items()):
            raise FieldError("The query", "names a parameter twice")
        page, orders = self.book.listed(call.location, dict(query))
        if self.style.text_paging:
            page |= {"offset": str(page["offset"]), "limit": str(page["limit"])}
        return {**page, "rows": [self._written(order.answer(self.base_url)) for order in orders]}

    async def _preprocess(self, call: Call) -> Any:
        preprocess = self.book.preprocess(call.location, call.body)
        await self.pos.think(self.pos.preprocess_came(preprocess))
        return preprocess.answer()

    async def _read(self, call: Call) -> Any:
        return self._written(self.book.order(call.location, call.named("id")).answer(self.base_url))

    async def _update(self, call: Call) -> Any:
        order = self.book.update(call.location, call.named("id"), call.body)
        answer = self._written(order.answer(self.base_url))
        await self.pos.think(self.pos.order_changed(order))
        return answer

    async def _add_items(self, call: Call) -> Any:
        order = self.book.add_items(call.location, call.named("id"), call.body)
        answer = self._written(order.answer(self.base_url))
        await self.pos.think(self.pos.items_came(order))
        return answer

    async def _pay(self, call: Call) -> Any:
        return await self._paid(self.book.pay(call.location, call.named("id"), call.body))

    async def _pay_loosely(self, call: Call) -> Any:
        return await self._paid(self.book.pay_loosely(call.location, call.body))

    async def _paid(self, transaction: Any) -> Any:
        answer = self._written(transaction.answer(self.base_url))
        await self.pos.think(self.pos.payment_came(transaction))
        return answer

    async def _payments(self, call: Call) -> Any:
        order = self.book.order(call.location, call.named("id"))
        return [self._written(one.answer(self.base_url)) for one in order.transactions]

    async def _payment(self, call: Call) -> Any:
        return self._written(self.book.transaction(call.location, call.named("id")).answer(self.base_url))

    async def _update_payment(self, call: Call) -> Any:
        transaction = self.book.update_transaction(call.location, call.named("id"), call.body)
        answer = self._written(transaction.answer(self.base_url))
        await self.pos.think(self.pos.payment_changed(transaction))
        return answer

    async def _menu(self, call: Call) -> Any:
        if call.named("id") != call.location:
            raise Refused(400, f"The header {LOCATION} names another location than the path.")
        return self._venue(call.location).menu_answer(self.base_url)

    async def _locations(self, _call: Call) -> Any:
        return [venue.answer(self.base_url) for venue in self.venues]

    async def _location_record(self, call: Call) -> Any:
        return self._venue(call.named("id")).answer(self.base_url)

    async def _health(self, call: Call) -> Any:
        return self._venue(call.named("id")).health_answer(self.base_url)

    async def _rejection_code(self, call: Call) -> Any:
        code = call.named("code")
        if code not in MEANINGS:
            raise Refused(404, "There is no such rejection code.")
        return {"code": code, "description": MEANINGS[code], "entity": "orders" if code[0] == "O" else "transactions"}


async def _body(request: Request) -> Any:
    body = await request.body()
    if request.method == "GET":
        if body:
            raise FieldError("The message", "must not be there")
        return None
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise FieldError("Content-Type", "must be application/json")
    try:
        return read_json(body.decode())
    except UnicodeDecodeError:
        raise FieldError("The message", "is not UTF-8") from None
