"""What a simulated REST vendor did can be asked of it, and what goes wrong can be planned, while it runs by itself."""

from collections.abc import AsyncIterator

import httpx
import pytest

from ordernpay.simulator.tevalis import TevalisSimulator
from tests.support import rest


@pytest.fixture
async def panel() -> AsyncIterator[tuple[httpx.AsyncClient, TevalisSimulator]]:
    async with (
        rest.serve_tevalis() as simulator,
        httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as http,
    ):
        yield http, simulator


async def test_acts_and_requests_are_told(panel: tuple[httpx.AsyncClient, TevalisSimulator]) -> None:
    http, simulator = panel
    assert (await http.get("/simulator/acts")).json() == {"acts": [], "requests": 0}
    await http.get("/anything")
    assert (await http.get("/simulator/acts")).json() == {"acts": [], "requests": 1}
    assert [heard.path for heard in simulator.server.heard] == ["/anything"]


async def test_a_fault_is_planned_for_a_path(panel: tuple[httpx.AsyncClient, TevalisSimulator]) -> None:
    http, simulator = panel
    planned = await http.post(
        "/simulator/faults", json={"fault": "status", "path": "/thing", "status": 599, "count": 2}
    )
    assert planned.json() == {"planned": "status"}
    assert (await http.get("/other")).status_code != 599
    assert [(await http.get("/thing")).status_code for _ in range(3)][:2] == [599, 599]
    assert simulator.faults.planned == []


@pytest.mark.parametrize(
    "wrong", [b"no JSON", b"\xff", b'{"fault": "deafening"}', b'{"fault": "late", "seconds": "5"}']
)
async def test_a_plan_that_cannot_be_read_is_refused(
    panel: tuple[httpx.AsyncClient, TevalisSimulator], wrong: bytes
) -> None:
    http, simulator = panel
    refused = await http.post("/simulator/faults", content=wrong)
    assert (refused.status_code, simulator.faults.planned) == (400, [])
