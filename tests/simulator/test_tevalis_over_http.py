"""Paths, headers, refusals and faults of the simulated Tevalis, seen from the other end of the wire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from attrs import evolve

from ordernpay.simulator.tevalis import SubmitAnswer, TevalisSimulator
from ordernpay.simulator.web import WebFault
from tests.simulator.tevalis_requests import calculation, cancellation, item, submission, tender
from tests.support.wait import until

CALCULATE = "/v2/OnlineOrders/CalculateOnlineOrder"
SUBMIT = "/v2/OnlineOrders/SubmitCalculatedOnlineOrder"
CANCEL = "/v2/OnlineOrders/CancelOnlineOrder"
CATALOGUES = "/Catalogue/GetCatalogues/812"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def tevalis() -> AsyncIterator[TevalisSimulator]:
    async with TevalisSimulator().serve() as simulator:
        yield simulator


@pytest.fixture
async def partner(tevalis: TevalisSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=tevalis.base_url, headers=tevalis.site.credentials.headers() | JSON, trust_env=False, timeout=10
    ) as client:
        yield client


async def calculated(partner: httpx.AsyncClient) -> str:
    return str((await partner.post(CALCULATE, json=calculation())).json()["UID"])


async def test_an_order_is_calculated_submitted_and_cancelled(
    tevalis: TevalisSimulator, partner: httpx.AsyncClient
) -> None:
    answer = await partner.post(CALCULATE, json=calculation(item("SOUP", 2)))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert '"TotalGross": 9.00' in answer.text
    uid = answer.json()["UID"]
    submitted = await partner.post(SUBMIT, json=submission(uid, tender(9)))
    cancelled = await partner.post(CANCEL, json=cancellation(uid))
    assert [submitted.json(), cancelled.json()] == [answer.json()] * 2
    assert [(act.kind, act.uid) for act in tevalis.acts] == [("submit", uid), ("cancel", uid)]


@pytest.mark.parametrize("header", ["CompanyId", "GUID", "GUID2", "DevID"])
async def test_the_wrong_headers_open_nothing(partner: httpx.AsyncClient, header: str) -> None:
    right = partner.headers.pop(header)
    for wrong in [None, "", "another", f"{right}0"]:
        for path in [CALCULATE, SUBMIT, CANCEL]:
            answer = await partner.post(path, content=b"{}", headers=wrong if wrong is None else {header: wrong})
            assert answer.status_code == 401
            assert answer.json() == {"Message": "Authorization has been denied for this request."}
    assert (await partner.get(CATALOGUES)).status_code == (200 if header == "GUID2" else 401)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/xml", "text/xml", "application/x-www-form-urlencoded"]
)
async def test_only_json_is_understood(partner: httpx.AsyncClient, content_type: str | None) -> None:
    del partner.headers["Content-Type"]
    given = None if content_type is None else {"Content-Type": content_type}
    assert (await partner.post(CALCULATE, content=b"{}", headers=given)).status_code == 415
    assert (await partner.get(CATALOGUES, headers=given)).status_code == 415


async def test_json_may_name_its_characters(partner: httpx.AsyncClient) -> None:
    partner.headers["Content-Type"] = "Application/JSON; charset=utf-8"
    assert (await partner.post(CALCULATE, json=calculation())).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", CALCULATE.replace("v2", "v1"), 404),
        ("POST", CALCULATE.replace("/v2", ""), 404),
        ("POST", CALCULATE.lower(), 404),
        ("POST", f"{CALCULATE}V2", 404),
        ("GET", CALCULATE, 405),
        ("POST", CATALOGUES, 405),
        ("GET", "/Catalogue/GetCatalogues/813", 404),
        ("GET", f"/v2{CATALOGUES}", 404),
    ],
)
async def test_other_paths_lead_nowhere(partner: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await partner.request(method, path, json=calculation())
    assert answer.status_code == status
    assert list(answer.json()) == ["Message"]


async def test_the_version_can_be_another(tevalis: TevalisSimulator, partner: httpx.AsyncClient) -> None:
    tevalis.site = evolve(tevalis.site, version="2.1")
    assert (await partner.post(CALCULATE, json=calculation())).status_code == 404
    assert (await partner.post(CALCULATE.replace("v2", "v2.1"), json=calculation())).status_code == 200


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b'{"SiteId": 812}', "model.PriceGroupID"),
        (b'{"SiteId": 812, "PriceGroupID": 3, "OrderItems": [{"PLU": ""}]}', "model.OrderItems[0].PLU"),
        (b"", "model"),
        (b"[]", "model"),
        (b"{", "model"),
        (b'{"SiteId": NaN}', "model"),
        (b'{"SiteId": 812, "SiteId": 812}', "model"),
        (b'"\xff"', "model"),
        (b"[" * 100_000, "model"),
    ],
)
async def test_a_refusal_names_the_field(
    tevalis: TevalisSimulator, partner: httpx.AsyncClient, content: bytes, path: str
) -> None:
    answer = await partner.post(CALCULATE, content=content)
    assert answer.status_code == 400
    assert answer.json()["Message"] == "The request is invalid."
    assert list(answer.json()["ModelState"]) == [path]
    assert (tevalis.refusals, tevalis.calculations) == (1, {})


@pytest.mark.parametrize(("path", "message"), [(SUBMIT, submission), (CANCEL, cancellation)])
async def test_an_unknown_uid_is_404(
    tevalis: TevalisSimulator, partner: httpx.AsyncClient, path: str, message: Any
) -> None:
    answer = await partner.post(path, json=message("5f0a9f5e-8f1e-4e0b-b7fd-2a4a4f4c1d90"))
    assert answer.status_code == 404
    assert (list(answer.json()), tevalis.refusals) == (["Message"], 1)


async def test_an_empty_answer_has_no_body(tevalis: TevalisSimulator, partner: httpx.AsyncClient) -> None:
    tevalis.site = evolve(tevalis.site, submit_answer=SubmitAnswer.EMPTY)
    answer = await partner.post(SUBMIT, json=submission(await calculated(partner)))
    assert (answer.status_code, answer.content, len(tevalis.acts)) == (200, b"", 1)


async def test_the_catalogue_lists_what_can_be_ordered(partner: httpx.AsyncClient) -> None:
    catalogue = (await partner.get(CATALOGUES)).json()
    assert {"PLU": "SOUP", "Name": "Soup", "Price": 4.5, "OptionGroupIDs": []} in catalogue["Products"]
    assert {"TenderTypeID": 14, "Name": "Card", "PLU": "T-CARD"} in catalogue["TenderTypes"]
    assert [group["OptionGroupID"] for group in catalogue["OptionGroups"]] == [55, 56, 57]


@pytest.mark.parametrize(
    ("fault", "acts"),
    [(WebFault.CUT_BEFORE, 0), (WebFault.CUT_AFTER, 1), (WebFault.CUT_DURING, 1)],
)
async def test_a_cut_before_or_after_the_order_is_made(
    tevalis: TevalisSimulator, partner: httpx.AsyncClient, fault: WebFault, acts: int
) -> None:
    uid = await calculated(partner)
    tevalis.faults.plan(fault, path="Submit")
    with pytest.raises(httpx.TransportError):
        await partner.post(SUBMIT, json=submission(uid))
    assert len(tevalis.acts) == acts
    await partner.post(SUBMIT, json=submission(uid))
    assert len(tevalis.acts) == acts + 1


@pytest.mark.parametrize(("fault", "acts"), [(WebFault.DEAF, 0), (WebFault.SILENT, 1)])
async def test_an_answer_that_never_comes(
    tevalis: TevalisSimulator, partner: httpx.AsyncClient, fault: WebFault, acts: int
) -> None:
    uid = await calculated(partner)
    tevalis.faults.plan(fault)
    waiting = asyncio.create_task(partner.post(SUBMIT, json=submission(uid)))
    await until(lambda: tevalis.faults.met == [fault] and len(tevalis.acts) == acts)
    assert not waiting.done()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert (len(tevalis.acts), tevalis.server.count("Submit")) == (acts, 1)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_status_on_demand(tevalis: TevalisSimulator, partner: httpx.AsyncClient, status: int) -> None:
    tevalis.faults.plan(WebFault.STATUS, status=status, body=b'{"Message": "An error has occurred."}', count=2)
    answers = [await partner.post(CALCULATE, json=calculation()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert len(tevalis.calculations) == 1


async def test_an_answer_that_is_no_json_though_the_order_is_made(
    tevalis: TevalisSimulator, partner: httpx.AsyncClient
) -> None:
    uid = await calculated(partner)
    tevalis.faults.plan(WebFault.GARBAGE)
    answer = await partner.post(SUBMIT, json=submission(uid))
    assert (answer.status_code, len(tevalis.acts)) == (200, 1)
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


async def test_a_late_answer_is_the_answer(tevalis: TevalisSimulator, partner: httpx.AsyncClient) -> None:
    tevalis.faults.plan(WebFault.LATE, seconds=0.05)
    assert await calculated(partner) in tevalis.calculations


async def test_what_was_done_outlasts_the_server() -> None:
    simulator = TevalisSimulator()
    with pytest.raises(RuntimeError):
        simulator.base_url  # noqa: B018  # reading it is the test
    headers = simulator.site.credentials.headers() | JSON
    async with httpx.AsyncClient(headers=headers, trust_env=False) as partner:
        async with simulator.serve():
            uid = (await partner.post(simulator.base_url + CALCULATE, json=calculation())).json()["UID"]
            port = simulator.server.port
        async with simulator.serve(port=port):
            await partner.post(simulator.base_url + SUBMIT, json=submission(uid))
    assert [act.uid for act in simulator.acts] == [uid]


async def test_a_server_may_end_before_it_began() -> None:
    async with TevalisSimulator().serve() as simulator:
        assert simulator.base_url.startswith("http://127.0.0.1:")


def test_secrets_stay_out_of_what_is_shown() -> None:
    site = TevalisSimulator().site
    assert site.credentials.guid not in repr(site)
    assert site.credentials.guid2 not in repr(site)
