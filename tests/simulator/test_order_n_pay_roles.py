"""The POS in both roles, end to end: tokens, refusals, going away and coming back."""

import asyncio
import contextlib
import json
import logging
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ordernpay.simulator.order_n_pay import AUTH_PATH, Credentials, Fault, ListeningPos, Refusal, dial, serve
from ordernpay.simulator.shop import Shop
from tests.simulator.provider import CREDENTIALS, provide
from tests.simulator.requests import create, frame, look_up, until


async def token_for(pos: ListeningPos, body: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(pos.base_url + AUTH_PATH, json=body)


async def test_a_token_opens_the_websocket() -> None:
    async with serve(Shop(), auth=CREDENTIALS) as pos:
        answer = (await token_for(pos, CREDENTIALS.as_request())).json()
        assert answer["ErrorMessage"] is None
        async with connect(f"{pos.url}?token={answer['AccessToken']}", proxy=None) as connection:
            await connection.send(frame(look_up("9071")))
            assert json.loads(await connection.recv())["Payload"]["UserName"] == "Asha"
            assert (pos.connections, pos.accepted, pos.turned_away) == (1, 1, 0)
        await until(lambda: pos.connections == 0)


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?Token={token}"])
async def test_without_its_token_the_websocket_stays_shut(query: str) -> None:
    async with serve(Shop(), auth=CREDENTIALS) as pos:
        token = (await token_for(pos, CREDENTIALS.as_request())).json()["AccessToken"]
        with pytest.raises(InvalidStatus) as raised:
            await connect(pos.url + query.format(token=token), proxy=None)
        assert raised.value.response.status_code == 403
        assert (pos.connections, pos.turned_away) == (0, 1)


@pytest.mark.parametrize("name", ["ProviderOutletID", "POSRemoteID", "AuthSecret"])
async def test_all_three_credentials_must_match(name: str) -> None:
    async with serve(Shop(), auth=CREDENTIALS) as pos:
        right = CREDENTIALS.as_request()
        missing = {field: value for field, value in right.items() if field != name}
        for body in ({**right, name: "wrong"}, missing, [right]):
            answer = await token_for(pos, body)
            assert answer.status_code == 401
            assert answer.json()["AccessToken"] is None
            assert answer.json()["ErrorMessage"]
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(pos.base_url + AUTH_PATH, content=b"\xff")).status_code == 401
        assert pos.tokens == set()
        assert pos.turned_away == 4


async def test_a_pos_that_drops_and_stops_listening_and_comes_back() -> None:
    async with serve(Shop()) as pos:
        staying = await connect(pos.url, proxy=None)
        await pos.stop_listening()
        with pytest.raises(OSError, match="Connect"):
            await connect(pos.url, proxy=None)
        await staying.send(frame(look_up("9071")))
        assert await staying.recv()
        pos.drop()
        with pytest.raises(ConnectionClosed):
            await staying.recv()
        await pos.listen_again()
        async with connect(pos.url, proxy=None) as again:
            await again.send(frame(create()))
            assert json.loads(await again.recv())["ResultCode"] == 0
        assert pos.accepted == 2


async def test_a_port_in_use_is_an_error_at_once() -> None:
    async with serve(Shop()) as pos:
        with pytest.raises(OSError, match="in use"):
            async with serve(Shop(), port=pos.port):
                pass


async def test_an_error_in_the_test_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with serve(Shop()) as pos, connect(pos.url, proxy=None):
            raise LookupError


async def test_faults_and_acts_over_http() -> None:
    shop = Shop()
    no_plans: list[Any] = [{}, {"fault": "flood"}, {"fault": "late", "seconds": "1"}, {"fault": "late", "many": 1}, []]
    async with serve(shop) as pos, httpx.AsyncClient(trust_env=False, base_url=pos.base_url) as http:
        for wrong in no_plans:
            refused = await http.post("/simulator/faults", json=wrong)
            assert refused.status_code == 400
            assert refused.json()["error"]
        plan = {"fault": "deaf", "count": 1, "message_type": None, "seconds": 1}
        assert (await http.post("/simulator/faults", json=plan)).json() == {"planned": 1}
        async with connect(pos.url, proxy=None) as connection:
            await connection.send(frame(create()))
            message = create()
            await connection.send(frame(message))
            await connection.recv()
        assert pos.faults.met == [Fault.DEAF]
        told = (await http.get("/simulator/acts")).json()
        assert told == {
            "acts": [
                {
                    "request_id": message["RequestID"],
                    "message_type": 11,
                    "order_id": shop.acts[0].order_id,
                    "provider_order_id": "web-88120",
                }
            ],
            "requests": 2,
            "refusals": 0,
            "repeats": 0,
            "conflicts": 0,
        }


async def test_a_pos_that_dials_shows_its_credentials_and_comes_back_after_a_cut() -> None:
    async with provide() as provider, dial(Shop(), provider.url, CREDENTIALS) as pos, asyncio.timeout(10):
        await provider.peers.get()
        await until(pos.connected.is_set)
        pos.drop()
        peer = await provider.peers.get()
        await peer.send(look_up("9071"))
        assert json.loads(await peer.receive_text())["Payload"]["UserName"] == "Asha"
        assert (pos.connections, pos.accepted, pos.refused) == (1, 2, 0)
        assert pos.close_codes == [1006]


async def test_a_pos_that_dials_tells_why_it_was_refused() -> None:
    wrong = Credentials("venue-0042", "remote-7f", "another secret")
    async with provide() as provider, dial(Shop(), provider.url, wrong, reconnect_delay=0.01) as pos:
        await until(lambda: pos.refused >= 2)
        assert set(pos.refusals) == {Refusal("auth", 401)}
        provider.credentials, provider.let_in = wrong, False
        await until(lambda: pos.refusals[-1] == Refusal("websocket", 403))
        provider.let_in = True
        await until(pos.connected.is_set)


async def test_a_pos_that_dials_tries_again_when_nobody_is_there() -> None:
    async with provide() as provider:
        port = provider.port
    async with dial(Shop(), f"ws://127.0.0.1:{port}", CREDENTIALS, reconnect_delay=0.01) as pos:
        await until(lambda: pos.failures >= 3)
        assert (pos.connections, pos.refused) == (0, 0)


@pytest.mark.parametrize("role", ["server", "client"])
async def test_no_secret_is_logged(role: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.NOTSET)
    caplog.set_level(logging.CRITICAL, logger="websockets.client")  # the test's own end
    async with contextlib.AsyncExitStack() as stack:
        if role == "server":
            pos = await stack.enter_async_context(serve(Shop(), auth=CREDENTIALS))
            secret = (await token_for(pos, CREDENTIALS.as_request())).json()["AccessToken"]
            connection = await stack.enter_async_context(connect(f"{pos.url}?token={secret}", proxy=None))
            await connection.send(frame(look_up("9071")))
            await connection.recv()
        else:
            secret = "a+token"
            provider = await stack.enter_async_context(provide())
            await stack.enter_async_context(dial(Shop(), provider.url, CREDENTIALS))
            peer = await provider.peers.get()
            await peer.send(look_up("9071"))
            await peer.receive_text()
    for planted in (secret, CREDENTIALS.auth_secret, '"9071"'):
        assert planted not in caplog.text
    assert CREDENTIALS.auth_secret not in repr(CREDENTIALS)
