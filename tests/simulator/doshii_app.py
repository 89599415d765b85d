"""An App written from Doshii's pages, as small as it can be, for tests to break on purpose."""

import asyncio
import base64
import contextlib
import copy
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from attrs import define, field, frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.asyncio.client import ClientConnection, connect

from ordernpay.simulator import web
from ordernpay.simulator.doshii import App, DoshiiSimulator

Message = dict[str, Any]

ITEM: Message = {
    "posId": "dumpling_box",
    "name": "Dumpling box",
    "quantity": 3,
    "type": "single",
    "unitPrice": "900",
    "totalBeforeSurcounts": "3150",
    "totalAfterSurcounts": "3230",
    "options": [
        {"posId": "dips", "name": "Dips", "variants": [{"posId": "chilli", "name": "Chilli oil", "price": 150}]}
    ],
    "surcounts": [{"posId": "box_fee", "name": "Box fee", "type": "absolute", "amount": "80", "value": "80"}],
}
PAYMENT: Message = {"amount": 3230, "reference": "pay-88", "method": "visa", "tip": 0, "prepaid": True}
ORDER: Message = {
    "type": "pickup",
    "status": "pending",
    "externalOrderRef": "APP-000417",
    "notes": "",
    "requiredAt": "2026-03-02T01:45:00.000Z",
    "surcounts": [],
    "taxes": [],
    "items": [ITEM],
}
CREATE: Message = {"order": ORDER, "consumer": {"name": "Mika R", "phone": "+61400000123"}}
EGGS: Message = {
    "name": "Toasted Sourdough Bread & Eggs",
    "description": "Just ye old classic",
    "unitPrice": "1000",
    "totalBeforeSurcounts": "1000",
    "totalAfterSurcounts": "1000",
    "posId": "toasted_eggs",
    "quantity": 1,
    "type": "single",
    "surcounts": [],
    "options": [],
}


def item(**fields: Any) -> Message:
    return {**copy.deepcopy(ITEM), **fields}


def order(**fields: Any) -> Message:
    return {**copy.deepcopy(ORDER), **fields}


def create(**fields: Any) -> Message:
    return {**copy.deepcopy(CREATE), "order": order(**fields)}


def prepaid(**fields: Any) -> Message:
    return {**create(**fields), "transactions": [dict(PAYMENT)]}


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(app: App, *, algorithm: str = "HS256", secret: str | None = None, **claims: Any) -> str:
    said = {"clientId": app.client_id, "timestamp": int(time.time()), **claims}
    signed = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(said)}"
    key = app.client_secret if secret is None else secret
    signature = hmac.digest(key.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@frozen
class Caller:
    simulator: DoshiiSimulator
    client: httpx.AsyncClient

    def headers(self, **changed: str | None) -> dict[str, str]:
        usual = {
            "authorization": f"Bearer {token(self.simulator.app)}",
            "content-type": "application/json",
            "doshii-location-id": self.simulator.location_id,
        }
        wanted = {**usual, **{name.replace("_", "-"): value for name, value in changed.items()}}
        return {name: value for name, value in wanted.items() if value is not None}

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        raw: bytes | None = None,
        **headers: str | None,
    ) -> httpx.Response:
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        url = self.simulator.base_url + path
        return await self.client.request(
            method, url, content=content, params=query, headers=self.headers(**headers), timeout=5
        )

    async def create(self, **fields: Any) -> Message:
        return done(await self.ask("POST", "/orders", create(**fields)))

    async def read(self, order_id: str) -> Message:
        return done(await self.ask("GET", f"/orders/{order_id}"))


def done(answer: httpx.Response) -> Message:
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@contextlib.asynccontextmanager
async def calling(simulator: DoshiiSimulator) -> AsyncIterator[Caller]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Caller(simulator, client)


@frozen
class Socket:
    connection: ClientConnection

    async def say(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def ping(self, number: int | None = None) -> Any:
        await self.say({"doshii": {"ping": int(time.time() * 1000) if number is None else number, "version": "1.0.0"}})
        return await self.hear()

    async def hear(self) -> Any:
        async with asyncio.timeout(5):
            return json.loads(await self.connection.recv())


@contextlib.asynccontextmanager
async def listening(simulator: DoshiiSimulator, auth: str | None = None) -> AsyncIterator[Socket]:
    shown = simulator.app.socket_auth if auth is None else auth
    url = f"{simulator.socket_url}?{httpx.QueryParams(auth=shown)}"
    async with connect(url, ping_interval=None) as connection:
        yield Socket(connection)


@define
class Inbox:
    """A webhook target: it answers these statuses in turn, then 200."""

    url: str = ""
    answers: list[int] = field(factory=list)
    verifies: bool = True
    bodies: list[bytes] = field(factory=list)
    authorizations: list[str | None] = field(factory=list)
    verified: list[str] = field(factory=list)
    come: asyncio.Queue[bytes] = field(factory=asyncio.Queue)

    async def take(self, request: Request) -> Response:
        if "verify" in request.query_params:
            self.verified.append(request.method)
            return JSONResponse(request.query_params["verify"] if self.verifies else "something else")
        body = await request.body()
        self.bodies.append(body)
        self.authorizations.append(request.headers.get("authorization"))
        self.come.put_nowait(body)
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return json.loads(await self.come.get())


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = Starlette(routes=[Route("/hook", inbox.take, methods=["GET", "POST"])])
    async with web.serve(app) as server:
        inbox.url = server.base_url + "/hook"
        yield inbox
