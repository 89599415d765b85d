"""A provider's side of ROS, for the tests of the simulated one: bodies, and the requests that carry them."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
from attrs import field, frozen

from ordernpay.simulator.ros import DEMO_OUTLET, PROVIDER, Credentials, RosSimulator, serve

Body = dict[str, Any]
CREDENTIALS = Credentials()


def product(**fields: Any) -> Body:
    return {"productID": "1203", "name": "Soup", "quantity": 2, "price": 4.5, "totalAmount": 9.0} | fields


def attribute(**fields: Any) -> Body:
    return {"productAttributeID": "1301", "quantity": 2, "price": 0.5, "totalAmount": 1.0} | fields


def order(*products: Body, **fields: Any) -> Body:
    return {
        "providerID": PROVIDER.provider_id,
        "providerOrderID": "DE-1",
        "outletID": DEMO_OUTLET,
        "currencyCode": "GBP",
        "totalAmount": 9.0,
        "products": list(products) or [product()],
    } | fields


def cancellation(remote_order_id: str, **fields: Any) -> Body:
    return {
        "remoteOrderID": remote_order_id,
        "outletID": DEMO_OUTLET,
        "providerID": PROVIDER.provider_id,
        "providerName": PROVIDER.name,
        "cancelReason": "CUST_CANCEL",
        "paymentStrategy": None,
    } | fields


def form(**fields: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": CREDENTIALS.client_id,
        "client_secret": CREDENTIALS.client_secret,
        "org_id": "DEMOORG",
        "scope": "ros offline_access",
    } | fields


def without(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}


@frozen
class Caller:
    """Someone with a token."""

    ros: RosSimulator
    client: httpx.AsyncClient
    svc: str
    token: str = field(repr=False)

    async def post(self, method: str, body: Body) -> httpx.Response:
        return await self.client.post(f"{self.svc}remoteorders/{method}", json=body, headers=self.headers)

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"{self.svc}remoteorders/{path}", headers=self.headers)

    async def add(self, body: Body | None = None) -> str:
        answer = await self.post("add", body or order())
        assert answer.status_code == 200, answer.text
        return str(answer.json()["remoteOrderID"])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def caller(ros: RosSimulator, client: httpx.AsyncClient, **fields: str) -> Caller:
    answer = await client.post(ros.token_url, data=form(**fields))
    assert answer.status_code == 200, answer.text
    return Caller(ros, client, answer.json()["svc"], answer.json()["access_token"])


@contextlib.asynccontextmanager
async def called(ros: RosSimulator | None = None) -> AsyncIterator[Caller]:
    """A simulator that runs, and someone who may call it."""
    async with serve(ros) as running, httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
        yield await caller(running, client)
