"""What a value weighs, what is held at a time, and what is done beside the loop."""

import threading

import pytest

from ordernpay.jsontext import dumps
from ordernpay.workload import LARGE, Load, beside_if_large, weigh, weigh_text

VALUES = [1, "x" * 5_000, [], {}, [[]], {"a": [1, 2, {"b": None}]}, [{"id": 1, "name": "soup"}] * 50]


@pytest.mark.parametrize("value", VALUES)
def test_a_text_is_never_taken_for_lighter_than_its_value_by_more_than_one_entry(value: object) -> None:
    text = dumps(value).encode()  # type: ignore[arg-type]
    assert weigh_text(text) + 200 >= weigh(value)


def test_weighing_stops_where_it_is_enough() -> None:
    class Endless(list[object]):
        def __iter__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
            raise AssertionError("looked at")

    assert weigh([Endless(), "x" * 1_000], enough=1_000) >= 1_000


def test_one_holder_and_all_together_have_their_bounds_and_what_is_given_back_is_free() -> None:
    load = Load(100, 150)
    assert load.has_room("a", 100)
    assert not load.has_room("a", 101)
    with load.holding("a", 100):
        assert not load.has_room("a", 1)
        assert load.has_room("b", 50)
        assert not load.has_room("b", 51)
    assert (load.total, dict(load.each)) == (0, {})


async def test_what_looks_at_a_large_value_is_done_in_a_thread() -> None:
    here = threading.current_thread()
    small, large = [1], [1] * LARGE
    assert await beside_if_large(small, threading.current_thread) is here
    assert await beside_if_large(large, threading.current_thread) is not here
