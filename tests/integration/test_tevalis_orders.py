"""Tevalis: what is calculated is what is submitted, once; and what the pages make easy to get wrong."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ordernpay.simulator.tevalis import SubmitAnswer
from ordernpay.simulator.web import WebFault
from tests.support import rest
from tests.support.daemons import DaemonProcess, daemon_inside, tables
from tests.support.dying import DyingDaemon
from tests.support.rest import Bench, fresh, order
from tests.support.wait import until

CALCULATE, SUBMIT, CANCEL = "/CalculateOnlineOrder", "/SubmitCalculatedOnlineOrder", "/CancelOnlineOrder"


def sent(venue: Bench, path: str) -> list[Any]:
    return [rest.loads(heard.body) for heard in venue.simulator.server.heard if heard.path.endswith(path)]


async def test_a_daemon_killed_between_calculate_and_submit_goes_on_with_that_very_uid(artifacts: Path) -> None:
    async with rest.serve_tevalis() as tevalis:
        config = tables(artifacts, {"venue": rest.tevalis_session(tevalis)})
        socket, key = config["rpc"]["socket"], fresh("key")
        daemon = DaemonProcess(artifacts, config)
        try:
            # sending: the UID is durable, the mark as well, no byte of the submission is out; accepted: not even that
            await daemon.start(ORDERNPAY_CRASH="sending")
            await rest.up_outside(socket)
            with pytest.raises(ConnectionError):
                await rest.ask(socket, "order.create", order=order("tevalis"), idempotency_key=key)
            await daemon.wait()
            [uid] = tevalis.calculations
            await daemon.start()
            [row] = (await rest.read(socket, "command.list"))["commands"]
            assert (await until(lambda: _ended(socket, row["command_id"])))["state"] == "unknown"
            assert (await rest.row(socket, row["command_id"]))["vendor_ids"]["uid"] == uid
            assert tevalis.acts == []
            again = await rest.ask(socket, "command.retry", command_id=row["command_id"])
            assert again.ok, again.body
        finally:
            await daemon.kill()
        assert [act.uid for act in tevalis.acts] == [uid]
        assert list(tevalis.calculations) == [uid], "the retry went on with the UID that it had"


async def test_a_daemon_killed_before_its_submission_was_marked_submits_the_uid_it_remembered(artifacts: Path) -> None:
    async with rest.serve_tevalis() as tevalis:
        config = tables(artifacts, {"venue": rest.tevalis_session(tevalis)})
        socket, key = config["rpc"]["socket"], fresh("key")
        daemon = DyingDaemon(artifacts, config)
        try:
            await daemon.start_to_die("remember:after")
            await rest.up_outside(socket)
            with pytest.raises(ConnectionError):
                await rest.ask(socket, "order.create", order=order("tevalis"), idempotency_key=key, timeout=20)
            assert await daemon.wait() == -9
            [uid] = tevalis.calculations
            assert tevalis.acts == []
            await daemon.start()
            [row] = (await rest.read(socket, "command.list"))["commands"]
            settled = await until(lambda: _ended(socket, row["command_id"]))
        finally:
            await daemon.kill()
        assert settled["state"] == "succeeded"
        assert [act.uid for act in tevalis.acts] == [uid]
        assert list(tevalis.calculations) == [uid], "calculated once"


async def _ended(socket: str, command_id: str) -> Any:
    row = await rest.row(socket, command_id)
    return row if row["state"] not in {"accepted", "sent"} else None


async def test_another_total_than_the_kiosk_has_shown_is_rejected_and_nothing_submitted(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        told = await venue.ask("order.create", order=order("tevalis"), options={"expected_total": "4.49"})
        assert (told.code, told.state) == (1001, "rejected")
        assert told.data["details"] == {"expected_total": "4.49", "total": "4.50"}
        body = b'{"UID": "c1efca1b-3931-4329-8a73-4064c264935e", "TotalGross": null}'
        venue.simulator.faults.plan(WebFault.STATUS, path=CALCULATE, status=200, body=body)
        told = await venue.ask("order.create", order=order("tevalis"), options={"expected_total": "4.50"})
        assert (told.state, told.data["details"]["total"]) == ("rejected", None)
        assert "told no total" in told.body["error"]["message"]
        assert (venue.simulator.server.count(SUBMIT), venue.simulator.acts) == (0, [])
        told = await venue.ask("order.create", order=order("tevalis"), options={"expected_total": "4.50"})
        assert told.ok


@pytest.mark.parametrize(
    ("payments", "status", "owing", "unbalanced"),
    [
        ([], "open", "4.50", None),
        ([{"method": "card", "amount": "4.50"}], "closed", "0.00", None),
        ([{"method": "card", "amount": "3.00"}], "open", "1.50", {"tendered": "3.00", "expected": "4.50"}),
        ([{"method": "card", "amount": "5.00"}], "open", "-0.50", {"tendered": "5.00", "expected": "4.50"}),
        ([{"method": "card", "amount": "4.50", "tip": "1.00"}], "closed", "0.00", None),
        ([{"method": "a", "amount": "4.00"}, {"method": "b", "amount": "0.50", "tip": "2.00"}], "closed", "0.00", None),
    ],
)
async def test_tenders_that_fall_short_are_said(
    payments: list[Any], status: str, owing: str, unbalanced: Any, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        told = await venue.ask("order.create", order=order("tevalis", payments=payments))
        assert (told.result["order"]["status"], told.result["order"]["owing"]) == (status, owing)
        assert told.result.get("unbalanced") == unbalanced
        [act] = venue.simulator.acts
        assert act.paid == (status == "closed"), "the till agrees"


async def test_no_service_charge_and_the_automatic_one_differ_on_the_wire(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        totals = []
        for charge in (None, "0", "0.00", "1.25"):
            told = await venue.ask("order.quote", order=order("tevalis", table="24", service_charge=charge))
            totals.append(told.result["order"]["total"])
        assert [body["ServiceChargeAmount"] for body in sent(venue, CALCULATE)] == [None, 0, 0, Decimal("1.25")]
        assert all("ServiceChargeAmount" in body for body in sent(venue, CALCULATE))
        assert totals == ["4.95", "4.50", "4.50", "5.75"]


async def test_a_gratuity_of_nothing_is_not_sent(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        for tip in (None, "0", "0.00", "0.01"):
            payment = {"method": "card", "amount": "4.50"} | ({} if tip is None else {"tip": tip})
            assert (await venue.ask("order.create", order=order("tevalis", payments=[payment]))).ok
        gratuities = [body.get("GratuityAmount", "left out") for body in sent(venue, SUBMIT)]
        assert gratuities == ["left out"] * 3 + [Decimal("0.01")]
        assert not any("DeliveryChargeAmount" in body for body in sent(venue, SUBMIT))


def nested(depth: int) -> list[Any]:
    children: list[Any] = []
    for level in range(depth):
        children = [{"product": "57:760", "name": "Ketchup", "quantity": 1, "children": children}]
        del level
    return children


async def test_options_deeper_than_five_are_refused_here(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        chips = {"product": "CHIPS", "name": "Chips", "quantity": 1}
        told = await venue.ask("order.quote", order=order("tevalis", lines=[chips | {"children": nested(6)}]))
        assert told.code == -32602
        assert told.data["details"][0]["path"] == "order.lines[0]" + ".children[0]" * 5 + ".children"
        assert venue.simulator.server.heard == []
        assert (await venue.ask("order.quote", order=order("tevalis", lines=[chips | {"children": nested(5)}]))).ok


async def test_every_line_has_a_reference_of_its_own(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        soup = rest.line("tevalis")
        lines = [soup | {"id": "line-2"}, soup, soup, soup | {"id": "line-2'"}, soup]
        assert (await venue.ask("order.quote", order=order("tevalis", lines=lines))).ok
        [body] = sent(venue, CALCULATE)
        references = [item["ItemRef"] for item in body["OrderItems"]]
        assert len(set(references)) == len(references) == 5
        assert (references[0], references[3]) == ("line-2", "line-2'")
        twice = await venue.ask("order.quote", order=order("tevalis", lines=[soup | {"id": "a"}] * 2))
        assert twice.code == -32602


@pytest.mark.parametrize("answers", SubmitAnswer)
async def test_a_round_for_an_order_made_here_finds_its_table(answers: SubmitAnswer, artifacts: Path) -> None:
    nothing = answers is SubmitAnswer.EMPTY
    async with rest.bench(artifacts, "tevalis", submit_answers_nothing=nothing) as venue:
        rest.site_with(venue.simulator, submit_answer=answers)
        made = await venue.ask("order.create", order=order("tevalis", table="24"))
        chips = {"product": "CHIPS", "name": "Chips", "quantity": 1}
        for _ in range(2):  # the second round goes to the bill, too, whichever of its orders names it
            told = await venue.ask("order.update", order_id=made.order_id, lines=[chips])
            assert told.ok, told.body
            assert sent(venue, CALCULATE)[-1]["TableNumber"] == 24
            assert sent(venue, SUBMIT)[-1]["MergeOnToExistingBill"] is True
        third = await venue.ask("order.update", order_id=told.order_id, lines=[chips])
        assert third.ok, third.body
        assert [act.kind for act in venue.simulator.acts] == ["submit", "merge", "merge", "merge"]
        assert len({act.reference for act in venue.simulator.acts}) == 1
        cancelled = await venue.ask("order.cancel", order_id=third.order_id, reason="not wanted")
        assert cancelled.ok
        assert venue.simulator.acts[-1].uid == third.order_id


async def test_a_round_for_a_quote_that_was_placed_finds_its_table(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        quoted = await venue.ask("order.quote", order=order("tevalis", table="24"))
        made = await venue.ask("order.create", quote_id=quoted.result["quote_id"])
        told = await venue.ask("order.update", order_id=made.order_id, lines=[rest.line("tevalis")])
        assert told.ok, told.body
        assert [act.kind for act in venue.simulator.acts] == ["submit", "merge"]


async def test_a_round_for_an_order_of_nobody_needs_its_table(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        call = {"order_id": rest.UNKNOWN_GUID, "lines": [rest.line("tevalis")]}
        told = await venue.ask("order.update", **call)
        assert not told.ok
        assert "options.table" in told.body["error"]["message"]
        assert venue.simulator.server.heard == []
        assert (await venue.ask("order.update", **call, options={"table": 24})).ok


@pytest.mark.parametrize("fault", [WebFault.CUT_BEFORE, WebFault.CUT_AFTER, WebFault.CUT_DURING, WebFault.SILENT])
async def test_an_ambiguous_submission_is_unknown_and_its_uid_can_be_cancelled(
    fault: WebFault, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        venue.simulator.faults.plan(fault, path=SUBMIT)
        call = {"order": order("tevalis"), "idempotency_key": fresh("key")}
        told = await venue.ask("order.create", **call, timeout=1)
        assert (told.code, told.state) == (1006, "unknown")
        again = await venue.ask("order.create", **call, timeout=1)
        assert (again.code, again.command_id) == (1006, told.command_id)
        assert venue.simulator.server.count(SUBMIT) == 1
        [uid] = venue.simulator.calculations
        assert (await venue.row(told))["vendor_ids"]["uid"] == uid
        cancelled = await venue.ask("order.cancel", order_id=uid, reason="nobody knows")
        if fault is WebFault.CUT_BEFORE:
            assert (cancelled.code, cancelled.state) == (1002, "rejected"), "it was never submitted"
        else:
            assert cancelled.ok
            assert all(one.is_cancelled for one in venue.simulator.orders)


@pytest.mark.parametrize(
    ("status", "state", "asked"),
    [
        *((400, "rejected", 1), (401, "rejected", 1), (403, "rejected", 1), (404, "rejected", 1), (409, "rejected", 1)),
        *((429, "failed", 1), (307, "failed", 1), (308, "failed", 1)),
        *((status, "unknown", 1) for status in (302, 408, 425, 500, 501, 502, 503, 504, 520, 524)),
    ],
)
async def test_each_status_of_a_submission_has_its_end(status: int, state: str, asked: int, artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        venue.simulator.faults.plan(WebFault.STATUS, path=SUBMIT, status=status, body=b'{"Message": "no"}')
        call = {"order": order("tevalis"), "idempotency_key": fresh("key"), "timeout": 2}
        told = await venue.ask("order.create", **call)
        codes = {400: 1001, 401: 1004, 403: 1004, 404: 1002, 409: 1005, 429: 1008, 307: 1008, 308: 1008}
        assert (told.code, told.state) == (codes.get(status, 1006), state)
        assert venue.simulator.server.count(SUBMIT) == asked
        assert (told.data["vendor_code"], told.data["vendor_message"]) == (status, "no")
        assert set(told.data) >= {"kind", "command_id", "state", "retryable", "details"}
        if state != "failed":
            again = await venue.ask("order.create", **call)
            assert (again.state, venue.simulator.server.count(SUBMIT)) == (state, asked), "not sent again"


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        *((WebFault.GATEWAY_AFTER, status, b"") for status in (500, 502, 503, 504, 520, 524)),
        (WebFault.BROKEN, 503, b'{"Message": "Not now."}'),
        (WebFault.PORTAL, 200, b""),
        (WebFault.EMPTY, 200, b""),
        *((WebFault.BROKEN, 200, body) for body in (b"{}", b"[]", b'"OK"', b'{"UID": "OK"}')),
        (WebFault.BROKEN, 200, b'{"UID": "00000000-0000-0000-0000-000000000000"}'),
    ],
    ids=str,
)
async def test_a_submission_that_may_have_reached_the_till_is_sent_once_and_unknown(
    fault: WebFault, status: int, body: bytes, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "tevalis", submit_again_after_503=status == 503 and not body) as venue:
        venue.simulator.faults.plan(fault, path=SUBMIT, status=status, body=body)
        call = {"order": order("tevalis"), "idempotency_key": fresh("key"), "timeout": 3}
        told = await venue.ask("order.create", **call)
        assert (told.code, told.state) == (1006, "unknown"), told.body
        assert (await venue.ask("order.create", **call)).state == "unknown"
        assert venue.simulator.server.count(SUBMIT) == 1
        assert len(venue.simulator.orders) == (fault is not WebFault.PORTAL)


async def test_where_tevalis_says_so_a_503_of_its_own_is_waited_for(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis", submit_again_after_503=True) as venue:
        venue.simulator.faults.plan(WebFault.STATUS, path=SUBMIT, status=503, count=2)
        assert (await venue.ask("order.create", order=order("tevalis"))).ok
        assert venue.simulator.server.count(SUBMIT) == 3


@pytest.mark.parametrize("said", ["false", '"false"', "0", '"No"'])
async def test_a_no_in_any_spelling_is_a_refusal(said: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        body = f'{{"IsSuccess": {said}, "ErrorMsg": "Terminal offline"}}'.encode()
        venue.simulator.faults.plan(WebFault.STATUS, path=SUBMIT, status=200, body=body)
        told = await venue.ask("order.create", order=order("tevalis"))
        assert (told.code, told.state, told.data["vendor_message"]) == (1001, "rejected", "Terminal offline")


async def test_a_catalogue_that_is_none_is_no_menu(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        for body in (b'{"status": "sign in first"}', b"{}", b"[]", b'"OK"', b""):
            venue.simulator.faults.plan(WebFault.STATUS, path="/GetCatalogues", status=200, body=body, count=100)
            told = await venue.ask("menu.get", timeout=0.4)
            assert (told.code, told.state) == (1008, "failed")
            venue.simulator.faults.clear()


@pytest.mark.parametrize(("status", "code", "state"), [(500, 1006, "unknown"), (504, 1006, "unknown")])
async def test_a_cancel_that_only_met_errors_ends_with_them_and_may_be_repeated(
    status: int, code: int, state: str, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        made = await venue.ask("order.create", order=order("tevalis"))
        venue.simulator.faults.plan(WebFault.STATUS, path=CANCEL, status=status, count=4)
        call = {"order_id": made.order_id, "reason": "x", "idempotency_key": fresh("key")}
        told = await venue.ask("order.cancel", **call)
        assert (told.code, told.state, told.data["retryable"]) == (code, state, True)
        assert venue.simulator.server.count(CANCEL) == 4
        assert (await venue.ask("order.cancel", **call)).ok, "the same key repeats it: a second cancel does no harm"


@pytest.mark.parametrize("status", [503, 500, 429])
async def test_a_quote_or_a_cancel_is_repeated(status: int, artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        venue.simulator.faults.plan(WebFault.STATUS, path=CALCULATE, status=status, count=2)
        assert (await venue.ask("order.quote", order=order("tevalis"))).ok
        assert venue.simulator.server.count(CALCULATE) == 3
        made = await venue.ask("order.create", order=order("tevalis"))
        venue.simulator.faults.plan(WebFault.STATUS, path=CANCEL, status=status, count=2)
        assert (await venue.ask("order.cancel", order_id=made.order_id, reason="x")).ok
        assert venue.simulator.server.count(CANCEL) == 3


@pytest.mark.parametrize(("method", "path"), [("order.quote", CALCULATE), ("menu.get", "/GetCatalogues")])
async def test_a_read_that_something_on_the_way_answered_was_not_answered(
    method: str, path: str, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        given = {"order": order("tevalis")} if method == "order.quote" else {}
        venue.simulator.faults.plan(WebFault.GARBAGE, path=path)
        assert (await venue.ask(method, **given)).ok, "asked again"
        venue.simulator.faults.plan(WebFault.GARBAGE, path=path, count=100)
        told = await venue.ask(method, **given, timeout=0.5)
        assert (told.code, told.state) == (1008, "failed")


@pytest.mark.parametrize("method", ["order.quote", "order.create", "order.update"])
async def test_nobody_waits_for_a_session_that_is_down_who_does_not_want_to(method: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        given: Any = {"order": order("tevalis")}
        if method == "order.update":
            given = {"order_id": rest.UNKNOWN_GUID, "lines": [rest.line("tevalis")], "options": {"table": 24}}
        venue.simulator.faults.plan(WebFault.STATUS, path="/GetCatalogues", status=500, count=1_000)
        session = venue.daemon.gateway.sessions["venue"]
        session.reconnect()
        await until(lambda: session.status().state == "down")
        told = await venue.ask(method, **given, when_offline="fail")
        assert (told.code, told.state) == (-32000, "failed")
        assert venue.simulator.server.count(CALCULATE) == 0
        assert (await venue.ask(method, **given)).ok, "who waits finds out that it is there"


NO = b'{"IsSuccess": false, "ErrorMsg": "Several bills are open on the table"}'


@pytest.mark.parametrize("path", [CALCULATE, SUBMIT, CANCEL])
async def test_a_200_that_says_no_is_no_success(path: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        made = await venue.ask("order.create", order=order("tevalis"))
        venue.simulator.faults.plan(WebFault.STATUS, path=path, status=200, body=NO)
        told = await (
            venue.ask("order.cancel", order_id=made.order_id, reason="x")
            if path == CANCEL
            else venue.ask("order.create", order=order("tevalis"))
        )
        assert (told.code, told.state) == (1001, "rejected")
        assert told.data["vendor_message"] == "Several bills are open on the table"


async def test_a_second_cancel_that_is_told_no_may_be_too_late(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        made = await venue.ask("order.create", order=order("tevalis"))
        venue.simulator.faults.plan(WebFault.CUT_AFTER, path=CANCEL)
        venue.simulator.faults.plan(WebFault.STATUS, path=CANCEL, status=200, body=NO)
        told = await venue.ask("order.cancel", order_id=made.order_id, reason="x")
        assert (told.code, told.state) == (1006, "unknown")


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("method", ["order.quote", "order.create"])
@pytest.mark.parametrize(
    ("body", "words"),
    [(b"{}", None), (b"", None), (b'{"Message": "Terminal offline"}', "Terminal offline"), (b'{"UID": "%s"}', None)],
)
async def test_an_answer_that_is_no_calculation_prices_nothing_and_submits_nothing(
    method: str, body: bytes, words: str | None, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        venue.simulator.faults.plan(
            WebFault.STATUS, path=CALCULATE, status=200, body=body.replace(b"%s", NOBODY.encode())
        )
        told = await venue.ask(method, order=order("tevalis"))
        assert (told.code, told.state, told.data["vendor_message"]) == (1008, "failed", words)
        assert venue.simulator.server.count(SUBMIT) == 0


async def test_an_order_keeps_the_calculated_uid_where_the_submission_tells_none(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        quoted = await venue.ask("order.quote", order=order("tevalis"))
        venue.simulator.faults.plan(
            WebFault.STATUS, path=SUBMIT, status=200, body=f'{{"UID": "{NOBODY}", "TotalGross": 4.5}}'.encode()
        )
        told = await venue.ask("order.create", quote_id=quoted.result["quote_id"])
        assert told.order_id == quoted.result["quote_id"]


async def test_a_quote_makes_one_order_however_many_keys_ask_for_it(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        for fault in (None, WebFault.CUT_AFTER):
            quoted = await venue.ask("order.quote", order=order("tevalis"))
            before = venue.simulator.server.count(SUBMIT)
            if fault is not None:
                venue.simulator.faults.plan(fault, path=SUBMIT)
            calls = [{"quote_id": quoted.result["quote_id"], "idempotency_key": fresh("key")} for _ in range(4)]
            told = await asyncio.gather(*(venue.ask("order.create", **call) for call in calls))
            again = await asyncio.gather(*(venue.ask("order.create", **call) for call in calls))
            assert [one.state for one in again] == [one.state for one in told]
            [mine] = [one for one in told if one.state != "rejected"]
            assert mine.state == ("succeeded" if fault is None else "unknown")
            assert {one.code for one in told if one is not mine} == {1005}
            assert venue.simulator.server.count(SUBMIT) == before + 1


async def test_a_quote_is_submitted_by_its_id_and_no_items_are_sent_again(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis") as venue:
        quoted = await venue.ask("order.quote", order=order("tevalis"))
        uid = quoted.result["quote_id"]
        call = {"quote_id": uid, "idempotency_key": fresh("key")}
        both = await asyncio.gather(venue.ask("order.create", **call), venue.ask("order.create", **call))
        assert {one.order_id for one in both} == {uid}
        assert venue.simulator.server.count(SUBMIT) == 1
        assert len(venue.simulator.calculations) == 1


async def test_what_the_pages_forbid_is_refused_before_anything_is_sent(artifacts: Path) -> None:
    async with rest.bench(artifacts, "tevalis", tender_type_id=None) as venue:
        given: dict[str, dict[str, Any]] = {
            "order.table": {"table": "terrace"},
            "order.lines": {"lines": []},
            "order.notes": {"notes": ["no place"]},
            "order.adjustments": {"adjustments": [{"name": "10 %", "amount": "-1.00"}]},
            "order.lines[0].product": {"lines": [{"name": "no PLU"}]},
            "order.lines[0].note": {"lines": [rest.line("tevalis", note="rare")]},
            "order.lines[0].children[0].product": {"lines": [rest.line("tevalis", children=[{"product": "x"}])]},
            "options.tender_type_id": {"payments": [{"method": "card", "amount": "4.50"}]},
            "order.lines[0].unit_price": {"prices": "kiosk", "lines": [{"product": "SOUP", "name": "Soup"}]},
        }
        for path, change in given.items():
            told = await venue.ask("order.create", order=order("tevalis", **change))
            assert told.code == -32602, (path, told.body)
            assert path in [fault["path"] for fault in told.data["details"]], told.data["details"]
        assert venue.simulator.server.heard == []


async def test_a_late_refusal_of_a_submission_settles_it(artifacts: Path) -> None:
    async with rest.serve_tevalis() as tevalis, rest.bench(artifacts, "tevalis", tevalis) as venue:
        quoted = await venue.ask("order.quote", order=order("tevalis"))
        del tevalis.calculations[quoted.result["quote_id"]]
        tevalis.faults.plan(WebFault.LATE, path=SUBMIT, seconds=0.9)
        told = await venue.ask("order.create", quote_id=quoted.result["quote_id"], timeout=0.4)
        assert told.state == "unknown"
        row = await until(lambda: _known(venue, told))
        assert (row["state"], row["error"]["code"]) == ("rejected", 1002)


async def _known(venue: Bench, told: rest.Told) -> Any:
    row = await venue.row(told)
    return row if row["state"] != "unknown" else None


async def test_a_till_that_is_inside_is_still_the_one_that_counts(artifacts: Path) -> None:
    """Prices that change between a quote and its order are the POS' business; the kiosk is told what they came to."""
    async with rest.serve_tevalis() as tevalis:
        config = rest.config(artifacts, {"venue": rest.tevalis_session(tevalis)})
        async with daemon_inside(config) as daemon:
            await rest.up(daemon)
            tevalis.reprice("SOUP", Decimal("7.00"))
            told = await rest.ask(config["rpc"]["socket"], "order.create", order=order("tevalis"))
            assert told.result["order"]["total"] == "7.00"
