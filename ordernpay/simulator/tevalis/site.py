"""The pretend site: its numbers and secrets, and how it decides what the pages leave open."""

from collections.abc import Container
from decimal import Decimal
from enum import StrEnum
from typing import Final

from attrs import field, frozen


class NotFoundError(Exception):
    """There is no such thing at this site."""


@frozen
class Credentials:
    """What every request shows in its headers; ``guid2`` where it changes something."""

    company_id: int = 4021
    guid: str = field(default="0b7c0e5e-51a4-4b0e-9a63-6f1f2f5d8c11", repr=False)
    guid2: str = field(default="8d9f5a52-3c0d-4f47-8b1e-1f7f1f0f6a22", repr=False)
    dev_id: str = field(default="partner-dev-17", repr=False)

    def headers(self) -> dict[str, str]:
        """The credentials as headers."""
        return {
            "CompanyId": str(self.company_id),
            "GUID": self.guid,
            "GUID2": self.guid2,
            "DevID": self.dev_id,
        }


class SubmitAnswer(StrEnum):
    """What SubmitCalculatedOnlineOrder answers, which no page shows."""

    SAME_UID = "same_uid"
    """The calculated order with its own UID."""
    OTHER_UID = "other_uid"
    """The calculated order with a UID that the submitted order has got."""
    EMPTY = "empty"
    """200 and nothing."""


EXAMPLE: Final = Credentials()


@frozen
class Site:
    """A site of a company that uses Tevalis.

    Attributes:
        version: What stands behind ``v`` in the paths.
        tables: The numbers on the floorplan.
        auto_covers: The covers that the site applies by itself, and then takes from nobody; None where it does not.
        service_percent: The automatic service charge on orders at a table.
        answers_sales_area: Answers have ``SalesArea``, as in the newer copies of the pages.
        time_suffix: What follows the seven decimals of a date: copies of the pages differ between an offset and nothing.
        reduction_sign: 1 or -1, by which the value of a promotion or a discount is multiplied in an answer.
        submit_answer: What is answered to a submit.
        prices_at_submit: The prices count that hold at submit, not the calculated ones.
        cancels_again: A cancelled order can be cancelled again, with no effect; otherwise that is 404.
    """

    site_id: int = 812
    version: str = "2"
    credentials: Credentials = EXAMPLE
    price_groups: tuple[int, ...] = (1, 3)
    tables: Container[int] = range(1, 100)
    terminal: str = "TILL-02"
    minutes: int = 15
    auto_covers: int | None = None
    service_percent: Decimal = Decimal(10)
    answers_sales_area: bool = False
    time_suffix: str = "+00:00"
    reduction_sign: int = -1
    submit_answer: SubmitAnswer = SubmitAnswer.SAME_UID
    prices_at_submit: bool = False
    cancels_again: bool = True
