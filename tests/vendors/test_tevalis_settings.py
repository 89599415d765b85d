"""What a session of Tevalis can be told, by file and by call."""

from decimal import Decimal
from typing import Any

import pytest

from ordernpay.config import config_faults
from ordernpay.conversion import Faults, structure
from ordernpay.vendors.tevalis.settings import Options, TevalisConfig
from tests.vendors.given import tevalis

LEAST = {"site_id", "company_id", "dev_id", "guid", "guid2"}


def paths(table: dict[str, Any], kind: type[Any]) -> set[str]:
    with pytest.raises(Faults) as caught:
        structure(table, kind)
    return {fault.path for fault in caught.value.faults}


def test_what_has_to_be_there() -> None:
    assert paths({"vendor": "tevalis"}, TevalisConfig) == LEAST


def test_the_defaults() -> None:
    config = tevalis()
    assert (config.base_url, config.api_version, config.merge) == ("https://api.tevalis.com", "2", False)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("site_id", 0, -1),
        ("site_id", 2**31 - 1, 2**31),
        ("company_id", 4021, "4021"),
        ("api_version", "2.1", "v2"),
        ("api_version", "1" * 8, "1" * 9),
        ("dev_id", "a" * 64, ""),
        ("sales_area", "a" * 10_000, "a" * 10_001),
        ("origin", "a", ""),
        ("tender_plu", "a" * 10_000, "a" * 10_001),
        ("merge", True, "true"),
        ("macro_items", [{}], [1]),
        ("note_field", "Text", ""),
        ("error_delays", [], [4_000]),
    ],
)
def test_both_sides_of_each_limit(name: str, good: Any, bad: Any) -> None:
    tevalis(**{name: good})
    with pytest.raises(Faults) as caught:
        tevalis(**{name: bad})
    assert caught.value.faults[0].path.startswith(name)


@pytest.mark.parametrize(
    ("table", "path"),
    [({"expected_total": "-1"}, "expected_total"), ({"table": "T"}, "table"), ({"tabel": 1}, "tabel")],
)
def test_options_that_are_none(table: dict[str, Any], path: str) -> None:
    assert paths(table, Options) == {path}


def test_what_is_of_one_call_alone_is_no_key_of_the_file() -> None:
    for name in ("expected_total", "table"):
        with pytest.raises(Faults):
            tevalis(**{name: 1})


def test_plain_http_is_for_loopback() -> None:
    assert config_faults(tevalis(base_url="http://127.0.0.1:9/")) == []
    assert [fault.path for fault in config_faults(tevalis(base_url="http://api.example/"))] == ["base_url"]


def test_a_secret_does_not_show_itself() -> None:
    assert "PLANTED" not in repr(tevalis(guid="PLANTED-1", guid2="PLANTED-2"))


def test_a_calls_options_go_over_the_sessions_own() -> None:
    config = tevalis(tender_type_id=14, merge=True, origin="own", macro_items=[{"a": 1}])
    merged = config.merged(Options(tender_type_id=0, merge=False, expected_total=Decimal(9), table=0))
    assert (merged.tender_type_id, merged.merge, merged.origin) == (0, False, "own")
    assert (merged.expected_total, merged.table, merged.price_group_id) == (Decimal(9), 0, 3)
    assert (merged.macro_items, config.merged(Options(macro_items=())).macro_items) == (({"a": 1},), ())


@pytest.mark.parametrize(
    ("own", "called", "tender"),
    [
        ({"tender_type_id": 14}, {"tender_plu": "CARD"}, (None, "CARD")),
        ({"tender_plu": "CASH"}, {"tender_type_id": 14}, (14, "CASH")),
        ({"tender_type_id": 14, "tender_plu": "CASH"}, {"tender_plu": "CARD"}, (None, "CARD")),
        ({"tender_type_id": 14}, {}, (14, None)),
    ],
)
def test_a_calls_tender_goes_over_the_sessions_own_whichever_way_it_is_named(
    own: dict[str, Any], called: dict[str, Any], tender: tuple[int | None, str | None]
) -> None:
    merged = tevalis(**own).merged(Options(**called))
    assert (merged.tender_type_id, merged.tender_plu) == tender
