"""A loop that has not moved on in time is found; one that waits for somebody else is not blamed."""

from attrs import define

from ordernpay.vendors.pulse import SLACK, Pulse


@define
class Hand:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_loop_is_overdue_when_its_time_and_some_slack_are_over() -> None:
    clock = Hand()
    pulse = Pulse("its probe", clock)
    assert pulse.overdue() is None
    pulse.within(30.0)
    clock.at = 30.0 + SLACK
    assert pulse.overdue() is None
    clock.at += 1.0
    assert pulse.overdue() == "its probe has not moved on for 16 s beyond its time"
    pulse.within(1.0)
    assert pulse.overdue() is None
