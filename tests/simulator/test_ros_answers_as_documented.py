"""The simulated ROS answers what its pages say, status by status; its tokens live as long as they are told to."""

import contextlib
import time
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from ordernpay.simulator.ros import DEMO_KAPOW, DEMO_OUTLET, Act, RosSimulator
from tests.simulator.ros_requests import Body, Caller, called, caller, cancellation, form, order, without
from tests.support.wait import until

READS = [f"menu/4711/{DEMO_OUTLET}", "activeoutlets/4711"]


@pytest.fixture
async def provider() -> AsyncIterator[Caller]:
    async with called() as provider:
        yield provider


async def statuses(provider: Caller, remote_order_id: str) -> list[int]:
    """What adding, cancelling and the two ways of reading are answered."""
    answers = [await provider.post("add", order()), await provider.post("cancel", cancellation(remote_order_id))]
    answers += [await provider.get(path) for path in READS]
    return [answer.status_code for answer in answers]


async def test_an_order_is_added_and_cancelled(provider: Caller) -> None:
    added = await provider.post("add", order())
    made = added.json()["remoteOrderID"]
    assert added.json() == {"remoteOrderID": str(uuid.UUID(made))}
    cancelled = await provider.post("cancel", cancellation(made))
    assert cancelled.json().keys() == {"remoteOrderCancellationID"}
    assert provider.ros.acts == [Act("add", "DE-1", made), Act("cancel", "DE-1", made)]


async def test_a_resend_makes_a_second_order(provider: Caller) -> None:
    first, second = await provider.add(), await provider.add()
    assert first != second
    assert [act.provider_order_id for act in provider.ros.acts] == ["DE-1", "DE-1"]


async def test_a_second_cancellation_is_accepted_and_counted(provider: Caller) -> None:
    made = await provider.add()
    answers = [await provider.post("cancel", cancellation(made)) for _ in range(2)]
    ids = [answer.json()["remoteOrderCancellationID"] for answer in answers]
    assert len(set(ids)) == 2
    assert provider.ros.orders[made].cancellations == ids
    assert [act.kind for act in provider.ros.acts] == ["add", "cancel", "cancel"]


async def test_a_cancellation_id_cancels_nothing(provider: Caller) -> None:
    made = await provider.add()
    cancelled = await provider.post("cancel", cancellation(made))
    again = await provider.post("cancel", cancellation(cancelled.json()["remoteOrderCancellationID"]))
    assert again.status_code == 400


async def test_the_menu_of_an_outlet(provider: Caller) -> None:
    answer = (await provider.get(READS[0])).json()
    assert answer["menus"][0]["menuItems"][0]["price"] == 4.5
    assert answer["outletMetadata"]["outletID"] == DEMO_OUTLET


async def test_active_outlets_hide_the_code(provider: Caller) -> None:
    outlets = {"kapow": DEMO_KAPOW, "organisationCode": "", "outletIDs": [DEMO_OUTLET]}
    assert (await provider.get(READS[1])).json() == {"providerID": 4711, "activeOrganisation": outlets}
    provider.ros.organisation.outlets[0].enabled = False
    assert (await provider.get(READS[1])).json()["activeOrganisation"]["outletIDs"] == []


async def test_401_for_a_token_that_is_none(provider: Caller) -> None:
    made = await provider.add()
    misspelled = {"Authorisation": f"Bearer {provider.token}"}
    for sent in ({}, {"Authorization": provider.token}, {"Authorization": "Bearer x"}, misspelled):
        url = f"{provider.svc}remoteorders/"
        answers = [
            await provider.client.post(f"{url}add", json=order(), headers=sent),
            await provider.client.post(f"{url}cancel", json=cancellation(made), headers=sent),
            *[await provider.client.get(url + path, headers=sent) for path in READS],
        ]
        assert [answer.status_code for answer in answers] == [401] * 4
    assert len(provider.ros.acts) == 1


async def test_401_comes_before_400(provider: Caller) -> None:
    provider.ros.authority.revoke()
    assert (await provider.post("add", {})).status_code == 401


async def test_403_for_an_outlet_that_is_switched_off(provider: Caller) -> None:
    made = await provider.add()
    provider.ros.organisation.outlets[0].enabled = False
    assert await statuses(provider, made) == [403, 403, 403, 200]
    provider.ros.organisation.outlets[0].enabled = True
    assert await statuses(provider, made) == [200] * 4


async def test_403_for_another_outlet(provider: Caller) -> None:
    made = await provider.add()
    other = str(uuid.uuid4())
    answers = [
        await provider.post("add", order(outletID=other)),
        await provider.post("cancel", cancellation(made, outletID=other)),
        await provider.get(f"menu/4711/{other}"),
        await provider.get(f"menu/4712/{DEMO_OUTLET}"),
        await provider.get("activeoutlets/4712"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert len(provider.ros.acts) == 1


async def test_503_while_starting_up(provider: Caller) -> None:
    made = await provider.add()
    provider.ros.starting_up = True
    assert await statuses(provider, made) == [503] * 4
    assert (await provider.client.post(provider.ros.token_url, data=form())).status_code == 200
    provider.ros.starting_up = False
    assert await statuses(provider, made) == [200] * 4


@pytest.mark.parametrize("status", [400, 401, 403, 500, 502, 503, 504])
async def test_any_status_on_demand(provider: Caller, status: int) -> None:
    provider.ros.faults.plan("status", status=status, path="remoteorders/add", count=2)
    answers = [await provider.post("add", order()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert len(provider.ros.acts) == 1


@pytest.mark.parametrize(("fault", "acts"), [("cut_before", 0), ("cut_after", 1), ("cut_during", 1)])
async def test_a_connection_cut(provider: Caller, fault: str, acts: int) -> None:
    provider.ros.faults.plan(fault, path="remoteorders/add")
    with pytest.raises(httpx.TransportError):
        await provider.post("add", order())
    assert len(provider.ros.acts) == acts


@pytest.mark.parametrize(("fault", "acts"), [("deaf", 0), ("silent", 1)])
async def test_no_answer_at_all(provider: Caller, fault: str, acts: int) -> None:
    provider.ros.faults.plan(fault, path="remoteorders/add")
    brief = httpx.Timeout(10, read=0.2)
    with pytest.raises(httpx.ReadTimeout):
        await provider.client.post(
            f"{provider.svc}remoteorders/add", json=order(), headers=provider.headers, timeout=brief
        )
    await until(lambda: provider.ros.server.count("remoteorders/add") == 1)
    await until(lambda: len(provider.ros.acts) == acts)


async def test_garbage_is_answered_to_what_was_done(provider: Caller) -> None:
    provider.ros.faults.plan("garbage", path="remoteorders/add")
    answer = await provider.post("add", order())
    assert (answer.status_code, len(provider.ros.acts)) == (200, 1)
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


async def test_errors_are_objects_with_words_for_people(provider: Caller) -> None:
    answer = await provider.post("add", {})
    assert answer.headers["content-type"] == "application/json"
    assert provider.ros.reasons == [answer.json()["message"]]


async def test_the_token_answer(provider: Caller) -> None:
    answer = await provider.client.post(provider.ros.token_url, data=form())
    body = answer.json()
    assert body.keys() == {"token_type", "access_token", "expires_in", "refresh_token", "svc", "org_id"}
    assert (body["token_type"], body["expires_in"], body["org_id"]) == ("Bearer", 28800, "DEMOORG")
    assert body["svc"] == f"{provider.ros.auth_url}/ros1/"
    assert len(body["access_token"].split(".")) == 3
    assert (provider.ros.authority.requests, provider.ros.authority.issued) == (2, 2)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (form(client_secret="wrong"), 401),
        (form(client_id="wrong"), 401),
        (form(client_id=""), 401),
        (without(form(), "client_secret"), 401),
        (form(org_id="OTHER"), 400),
        (form(org_id="demoorg"), 400),
        (without(form(), "org_id"), 400),
        (form(scope="ros"), 400),
        (form(scope="ros offline_access reporting"), 400),
        (without(form(), "scope"), 400),
        (form(grant_type="password"), 400),
        (form(grant_type="refresh_token"), 400),
        (without(form(), "grant_type"), 400),
        (form(username="asha"), 400),
        ({}, 400),
    ],
)
async def test_a_token_request_that_is_wrong(provider: Caller, sent: Body, status: int) -> None:
    answer = await provider.client.post(provider.ros.token_url, data=sent)
    assert (answer.status_code, answer.json().keys()) == (status, {"error"})
    assert (provider.ros.authority.requests, provider.ros.authority.issued) == (2, 1)


async def test_a_token_request_is_a_form(provider: Caller) -> None:
    twice = "scope=ros+offline_access&" + "&".join(f"{name}={value}" for name, value in form().items())
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answers = [
        await provider.client.post(provider.ros.token_url, json=form()),
        await provider.client.post(provider.ros.token_url, params=form()),
        await provider.client.post(provider.ros.token_url, content=twice, headers=headers),
        await provider.client.post(provider.ros.token_url, content=b"\xff", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4


async def test_other_paths_and_methods_are_none(provider: Caller) -> None:
    get, post = provider.client.get, provider.client.post
    base, headers = provider.ros.auth_url, provider.headers
    answers = [
        await get(provider.ros.token_url),
        await post(f"{provider.ros.token_url}/", data=form()),
        await post(f"{base}/authorization/token", data=form()),
        await post(f"{base}/remoteorders/add", json=order(), headers=headers),
        await post(f"{provider.svc}/remoteorders/add", json=order(), headers=headers),
        await post(f"{base}/ros2/remoteorders/add", json=order(), headers=headers),
        await get(f"{provider.svc}remoteorders/add", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [405, 404, 404, 404, 404, 404, 405]
    assert provider.ros.acts == []


async def test_a_token_expires_by_the_clock() -> None:
    now = time.monotonic()
    async with called(RosSimulator(clock=lambda: now)) as first:
        first.ros.authority.lifetime = 60
        second = await caller(first.ros, first.client)
        now += 59.9
        assert (await second.post("add", order())).status_code == 200
        now += 0.1
        assert (await second.post("add", order())).status_code == 401
        assert (await first.post("add", order())).status_code == 200
        now += 28800
        assert (await first.post("add", order())).status_code == 401


async def test_revoked_tokens_are_none(provider: Caller) -> None:
    made = await provider.add()
    provider.ros.authority.revoke()
    assert await statuses(provider, made) == [401] * 4
    assert await statuses(await caller(provider.ros, provider.client), made) == [200] * 4


async def test_ros_moves_and_a_token_is_good_at_its_own_place_only(provider: Caller) -> None:
    provider.ros.authority.moving = True
    moved = await caller(provider.ros, provider.client)
    assert [one.svc.rsplit("/", 2)[1] for one in (provider, moved)] == ["ros1", "ros2"]
    await provider.add()
    await moved.add()
    crossed = await provider.client.post(f"{provider.svc}remoteorders/add", json=order(), headers=moved.headers)
    assert crossed.status_code == 401


async def test_svc_can_be_anything(provider: Caller) -> None:
    provider.ros.authority.svc = "ftp://elsewhere.invalid"
    answer = await provider.client.post(provider.ros.token_url, data=form())
    assert answer.json()["svc"] == "ftp://elsewhere.invalid"


async def test_faults_reach_the_auth_server_too(provider: Caller) -> None:
    provider.ros.faults.plan("status", status=500, path="authorisation/token")
    await provider.add()
    assert (await provider.client.post(provider.ros.token_url, data=form())).status_code == 500
    assert provider.ros.authority.requests == 1
    assert provider.ros.server.count("authorisation/token") == 2
    provider.ros.faults.plan("cut_before", path="authorisation/token")
    with contextlib.suppress(httpx.TransportError):
        await provider.client.post(provider.ros.token_url, data=form())
    assert provider.ros.authority.requests == 1
