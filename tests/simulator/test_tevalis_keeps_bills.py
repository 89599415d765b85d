"""What a submit and a cancel do: nothing is compared, tenders must match, orders merge onto the bill of their table."""

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from ordernpay.simulator.pages import FieldError
from ordernpay.simulator.tevalis import NotFoundError, SubmitAnswer, TevalisSimulator
from tests.simulator.tevalis_requests import Message, calculation, cancellation, item, parsed, submission, tender


@pytest.fixture
def simulator() -> TevalisSimulator:
    return TevalisSimulator()


def placed(simulator: TevalisSimulator, *tenders: Message, table: int | None = None, **fields: Any) -> str:
    """The UID of a soup for 4.50, submitted."""
    uid = calculated(simulator, table=table)
    simulator.submit(parsed(submission(uid, *tenders, **fields)))
    return uid


def calculated(simulator: TevalisSimulator, *, table: int | None = None) -> str:
    message = calculation(item(), TableNumber=table, ServiceChargeAmount=0)
    return str(simulator.calculate(parsed(message))["UID"])


@pytest.mark.parametrize(
    ("tenders", "extras", "paid"),
    [
        ([], {}, False),
        ([4.49], {}, False),
        ([4.5], {}, True),
        ([2.25, 2.25], {}, True),
        ([4.51], {}, False),
        ([4.5], {"GratuityAmount": 0.5}, False),
        ([5.0], {"GratuityAmount": 0.5}, True),
        ([4.5, 3.0], {"GratuityAmount": 0.5, "DeliveryChargeAmount": 2.5}, True),
    ],
)
def test_a_bill_is_paid_when_tenders_equal_it(
    simulator: TevalisSimulator, *, tenders: list[float], extras: Message, paid: bool
) -> None:
    uid = placed(simulator, *(tender(amount) for amount in tenders), **extras)
    act = simulator.acts[0]
    assert (act.kind, act.uid, act.reference, act.total, act.paid) == ("submit", uid, 1001, Decimal("4.50"), paid)
    assert act.tendered == sum(Decimal(str(amount)) for amount in tenders)
    assert simulator.bills[0].is_open is not paid


def test_a_uid_submitted_twice_makes_two_orders(simulator: TevalisSimulator) -> None:
    uid = placed(simulator)
    simulator.submit(submission(uid))
    assert [(act.uid, act.reference) for act in simulator.acts] == [(uid, 1001), (uid, 1002)]
    assert len(simulator.orders) == 2


def test_a_forgotten_calculation_is_not_found(simulator: TevalisSimulator) -> None:
    uid = calculated(simulator)
    del simulator.calculations[uid]
    with pytest.raises(NotFoundError):
        simulator.submit(submission(uid))
    assert simulator.acts == []


def test_what_the_partner_says_of_the_order_is_kept(simulator: TevalisSimulator) -> None:
    said: Message = {
        "ThirdPartyTransactionID": "EX-1",
        "ThirdPartyReference": "A17",
        "CustomerInfo": {"FirstName": "Robin"},
    }
    placed(simulator, **said)
    kept = simulator.orders[0].request
    assert (kept["ThirdPartyTransactionID"], kept["ThirdPartyReference"]) == ("EX-1", "A17")
    assert kept["CustomerInfo"]["FirstName"] == "Robin"


@pytest.mark.parametrize(("at_submit", "total", "paid"), [(False, "4.50", True), (True, "4.75", False)])
def test_a_price_that_changes_before_submit(
    simulator: TevalisSimulator, *, at_submit: bool, total: str, paid: bool
) -> None:
    simulator.site = evolve(simulator.site, prices_at_submit=at_submit)
    uid = calculated(simulator)
    simulator.reprice("SOUP", Decimal("4.75"))
    answer = simulator.submit(parsed(submission(uid, tender(4.5))))
    assert answer is not None
    assert (str(answer["TotalGross"]), simulator.acts[0].paid) == (total, paid)


def test_a_submitted_order_may_have_a_uid_of_its_own(simulator: TevalisSimulator) -> None:
    simulator.site = evolve(simulator.site, submit_answer=SubmitAnswer.OTHER_UID)
    uid = calculated(simulator)
    answer = simulator.submit(submission(uid))
    assert answer is not None
    assert answer["UID"] == simulator.orders[0].uid != uid
    with pytest.raises(NotFoundError):
        simulator.cancel(cancellation(uid))
    assert simulator.cancel(cancellation(answer["UID"])) == answer


def test_the_answer_to_submit_may_be_nothing(simulator: TevalisSimulator) -> None:
    simulator.site = evolve(simulator.site, submit_answer=SubmitAnswer.EMPTY)
    uid = calculated(simulator)
    assert simulator.submit(submission(uid)) is None
    assert simulator.cancel(cancellation(uid))["UID"] == uid


def test_a_round_merges_onto_the_bill_of_its_table(simulator: TevalisSimulator) -> None:
    bill = simulator.open_bill(24, Decimal("10.00"))
    simulator.open_bill(25, Decimal("10.00"))
    placed(simulator, table=24, MergeOnToExistingBill=True)
    placed(simulator, tender(14.5), table=24, MergeOnToExistingBill=True)
    assert [(act.kind, act.reference, act.paid) for act in simulator.acts] == [("merge", 1001, False)] * 2
    assert (bill.due, bill.tendered) == (Decimal("19.00"), Decimal("14.50"))
    bill.pay_at_till()
    assert bill.is_paid
    assert [order.bill for order in simulator.orders] == [bill, bill]


def test_the_last_tender_pays_for_the_rounds_before(simulator: TevalisSimulator) -> None:
    placed(simulator, table=24)
    placed(simulator, tender(9), table=24, MergeOnToExistingBill=True)
    assert [(act.kind, act.reference, act.paid) for act in simulator.acts] == [
        ("submit", 1001, False),
        ("merge", 1001, True),
    ]


@pytest.mark.parametrize("before", ["nothing", "paid", "cancelled", "other table"])
def test_without_an_open_bill_a_merge_opens_one(simulator: TevalisSimulator, before: str) -> None:
    if before == "paid":
        placed(simulator, tender(4.5), table=24)
    if before == "cancelled":
        simulator.cancel(cancellation(placed(simulator, table=24)))
    if before == "other table":
        placed(simulator, table=25)
    placed(simulator, table=24, MergeOnToExistingBill=True)
    last = simulator.acts[-1]
    assert (last.kind, last.reference) == ("submit", 1000 + len(simulator.bills))


def test_without_merging_a_table_gets_another_bill(simulator: TevalisSimulator) -> None:
    placed(simulator, table=24)
    placed(simulator, table=24)
    assert [act.reference for act in simulator.acts] == [1001, 1002]


@pytest.mark.parametrize(("bills", "table"), [(2, 24), (0, None)])
def test_a_merge_that_is_not_clear_is_refused(simulator: TevalisSimulator, bills: int, table: int | None) -> None:
    for _ in range(bills):
        simulator.open_bill(24, Decimal(10))
    with pytest.raises(FieldError) as raised:
        placed(simulator, table=table, MergeOnToExistingBill=True)
    assert raised.value.path == "MergeOnToExistingBill"
    assert (simulator.acts, simulator.orders, len(simulator.bills)) == ([], [], bills)


def test_a_cancelled_order_is_not_due(simulator: TevalisSimulator) -> None:
    first = placed(simulator, table=24)
    second = placed(simulator, table=24, MergeOnToExistingBill=True)
    simulator.cancel(cancellation(second))
    bill = simulator.bills[0]
    assert (bill.due, bill.is_open) == (Decimal("4.50"), True)
    simulator.cancel(cancellation(first))
    assert (bill.is_void, bill.is_open, bill.is_paid) == (True, False, False)
    assert [act.kind for act in simulator.acts] == ["submit", "merge", "cancel", "cancel"]
    assert [order.reasons for order in simulator.orders] == [["Customer changed plans (A17)"]] * 2


@pytest.mark.parametrize("again", [True, False])
def test_a_second_cancel_changes_nothing(simulator: TevalisSimulator, *, again: bool) -> None:
    simulator.site = evolve(simulator.site, cancels_again=again)
    uid = placed(simulator)
    answer = simulator.cancel(cancellation(uid))
    if again:
        assert simulator.cancel(cancellation(uid)) == answer
    else:
        with pytest.raises(NotFoundError):
            simulator.cancel(cancellation(uid))
    assert [act.kind for act in simulator.acts] == ["submit", "cancel"]
    assert len(simulator.orders[0].reasons) == 1 + again


def test_of_two_orders_with_one_uid_each_cancel_takes_one(simulator: TevalisSimulator) -> None:
    uid = placed(simulator)
    simulator.submit(submission(uid))
    simulator.cancel(cancellation(uid))
    assert [order.is_cancelled for order in simulator.orders] == [False, True]
    simulator.cancel(cancellation(uid))
    assert [act.reference for act in simulator.acts] == [1001, 1002, 1002, 1001]
