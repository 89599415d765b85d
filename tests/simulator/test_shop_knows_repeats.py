"""A RequestID acts once, whatever comes of it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ordernpay.simulator.shop import Shop
from tests.simulator.requests import TRANSACTION, create, frame, product, update


def test_a_repeat_is_answered_with_the_first_answer_and_does_nothing() -> None:
    shop = Shop()
    text = frame(create())
    first, again = shop.answer(text), shop.answer(text)
    assert again.response == first.response
    assert (first.acted, first.replayed) == (True, False)
    assert (again.acted, again.replayed) == (False, True)
    assert len(shop.acts) == len(shop.orders) == shop.repeats == 1
    assert shop.requests == [text, text]


def test_a_repeat_may_be_written_differently() -> None:
    shop = Shop()
    message = create()
    shop.answer(frame(message))
    assert shop.answer(json.dumps(dict(reversed(message.items())), indent=1)).replayed


def test_other_content_under_a_known_id_is_refused_and_counted() -> None:
    shop = Shop()
    message = create()
    first = shop.answer(frame(message))
    message["Payload"]["Covers"] = 3
    second = shop.answer(frame(message))
    assert second.response["ResultCode"] == 3
    assert second.response["ErrorMessage"].startswith("RequestID ")
    assert (shop.conflicts, shop.refusals, len(shop.acts)) == (1, 1, 1)
    message["Payload"]["Covers"] = 2
    assert shop.answer(frame(message)).response == first.response


def test_a_lack_of_stock_is_remembered_too() -> None:
    shop = Shop()
    text = frame(create(product("1402")))
    assert shop.answer(text).response["ResultCode"] == 6
    shop.kitchen.stock["1402"] = 5
    assert shop.answer(text).response["ResultCode"] == 6
    assert shop.acts == []


@given(st.lists(st.integers(0, 4), max_size=20))
def test_any_order_of_repeats_acts_once_for_each_id(sent: list[int]) -> None:
    shop = Shop()
    shop.open_order(sales_transaction_id=TRANSACTION)
    frames = [frame(create() if number % 2 else update(product())) for number in range(5)]
    for number in sent:
        shop.answer(frames[number])
    assert len(shop.acts) == len({act.request_id for act in shop.acts}) == len(set(sent))
    assert shop.repeats == len(sent) - len(set(sent))
