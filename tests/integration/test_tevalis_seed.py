"""Tevalis' CancelOnlineOrder page: its sample is what goes over the wire, its printed answer comes back untouched.

Source: api.tevalis.com/Help/Api/POST-vversion-OnlineOrders-CancelOnlineOrder
"""

from decimal import Decimal
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ordernpay.jsontext import loads
from ordernpay.simulator import web
from tests.support import rest
from tests.support.daemons import daemon_inside

SAMPLE = {"SiteId": 1, "UID": "2fc9f484-237d-43d5-8390-7dc58d311ee7", "Reason": "sample string 1"}
PRINTED = (Path(__file__).parents[1] / "data" / "tevalis_cancel_answer.json").read_bytes()


async def test_the_sample_goes_out_and_the_printed_answer_comes_back_whole(artifacts: Path) -> None:
    async def answer(_: Request) -> Response:
        return Response(PRINTED, media_type="application/json")

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    async with web.serve(app) as server, rest.serve_tevalis() as tevalis:
        session = rest.tevalis_session(tevalis, base_url=server.base_url, site_id=1)
        config = rest.config(artifacts, {"venue": session})
        async with daemon_inside(config) as daemon:
            await rest.up(daemon)
            told = await rest.ask(
                config["rpc"]["socket"], "order.cancel", order_id=SAMPLE["UID"], reason=SAMPLE["Reason"]
            )

        heard = server.heard[-1]
        assert (heard.method, heard.path) == ("POST", "/v2/OnlineOrders/CancelOnlineOrder")
        assert loads(heard.body) == SAMPLE
        assert list(rest.loads(heard.body)) == list(SAMPLE)
        assert heard.headers["content-type"] == "application/json"
        sent = {name: heard.headers[name] for name in ("companyid", "guid", "guid2", "devid")}
        assert sent == {
            "companyid": "4021",
            "guid": rest.TEVALIS_GUID,
            "guid2": rest.TEVALIS_GUID2,
            "devid": "partner-dev-17",
        }

    assert told.vendor == rest.loads(PRINTED)
    assert list(told.vendor) == list(rest.loads(PRINTED))
    order = told.result["order"]
    assert order["id"] == SAMPLE["UID"], "the answer's own UID is one to submit: it is not this order's"
    assert (order["status"], order["table"], order["covers"], order["total"]) == ("cancelled", "1", 3, "5.00")
    assert order["service_charge"] == "1.00"
    assert [entry["product"] for entry in order["lines"]] == ["sample string 1"] * 4
    assert [Decimal(entry["total"]) for entry in order["lines"]] == [Decimal(4)] * 4
    assert [entry["note"] for entry in order["lines"]] == ["sample string 1 sample string 2"] * 4
    assert [len(entry["children"]) for entry in order["lines"]] == [2, 2, 4, 4], "two deals with two parts each"
    assert [entry["pos_id"] for entry in order["adjustments"]] == ["1", "1", "1", "1"]
    assert order["estimated_at"] == "2024-11-21T06:36:24.3650088+00:00"


async def test_a_reason_has_a_character_at_least(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        for reason in ("", "x" * 10_001, None):
            told = await venue.ask("order.cancel", order_id=SAMPLE["UID"], reason=reason)
            assert told.code == -32602
            assert [fault["path"] for fault in told.data["details"]] == ["reason"]
        assert venue.simulator.server.heard == []
