"""The desk where a POS proves itself: all three values, tokens for one outlet, each with a lifetime."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from ordernpay.conversion import structure
from ordernpay.vendors.order_n_pay.listen import REFUSAL, TokenDesk, outlet_of, outlet_of_token
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.protocol import HttpAnswer, HttpRequest
from tests.support import planted
from tests.support.daemons import session
from tests.support.fakes import HandClock

GOOD = {
    "ProviderOutletID": planted.PROVIDER_OUTLET_ID,
    "POSRemoteID": planted.POS_REMOTE_ID,
    "AuthSecret": planted.AUTH_SECRET,
}


def desk(clock: HandClock, **changes: Any) -> TokenDesk:
    table = session(
        role="listen",
        provider_outlet_id=planted.PROVIDER_OUTLET_ID,
        pos_remote_id=planted.POS_REMOTE_ID,
        auth_secret=planted.AUTH_SECRET,
        token_seconds=60.0,
    )
    return TokenDesk(structure(table | changes, OrderNPayConfig), clock)


async def ask(at: TokenDesk, body: Any) -> HttpAnswer | None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await at.authenticate(HttpRequest({}, {}, raw, "127.0.0.1"))


async def token(at: TokenDesk) -> str:
    answer = await ask(at, GOOD)
    assert answer is not None
    assert isinstance(answer.body, dict)
    given = answer.body["AccessToken"]
    assert isinstance(given, str)
    return given


async def test_all_three_values_give_a_token_that_is_known() -> None:
    at = desk(HandClock())
    answer = await ask(at, GOOD)
    assert answer is not None
    assert (answer.status, set(answer.body)) == (200, {"AccessToken", "ErrorMessage"})  # type: ignore[arg-type]
    assert at.knows(await token(at))


async def test_names_are_read_in_any_casing() -> None:
    camel = {
        "providerOutletID": GOOD["ProviderOutletID"],
        "posRemoteID": GOOD["POSRemoteID"],
        "authsecret": GOOD["AuthSecret"],
    }
    assert await ask(desk(HandClock()), camel) is not None


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", ["", "wrong", None, 7, [], "é", "missing"])
async def test_one_wrong_value_gives_none(name: str, value: Any) -> None:
    body = GOOD | {name: value}
    if value == "missing":
        del body[name]
    assert await ask(desk(HandClock()), body) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000])
async def test_what_is_no_object_is_told_so(body: bytes) -> None:
    answer = await ask(desk(HandClock()), body)
    assert answer == HttpAnswer(400, {"AccessToken": None, "ErrorMessage": "Expected a JSON object."})


def test_a_refusal_tells_nothing_of_what_was_wrong() -> None:
    assert (REFUSAL.status, REFUSAL.body) == (
        401,
        {"AccessToken": None, "ErrorMessage": "The credentials do not match."},
    )


async def test_a_session_without_its_three_values_lets_nobody_in() -> None:
    table = session(url="wss://pos.example.net/")
    bare = TokenDesk(structure(table, OrderNPayConfig), HandClock())
    assert bare.knows("") is False
    for body in (GOOD, {"ProviderOutletID": "", "POSRemoteID": "", "AuthSecret": ""}, {}):
        assert await ask(bare, body) is None


async def test_a_token_lives_as_long_as_it_is_told_to_suspended_or_not() -> None:
    clock = HandClock()
    at = desk(clock)
    given = await token(at)
    clock.forward(59)
    assert at.knows(given)
    clock.asleep += 1
    assert not at.knows(given)


async def test_a_token_outlives_a_restart_and_is_known_to_every_node_that_has_the_secret() -> None:
    clock = HandClock()
    given = await token(desk(clock))
    assert desk(clock).knows(given)
    assert desk(HandClock(at=clock.at + 30)).knows(given)
    assert not desk(clock, auth_secret="another-secret-of-32-characters-or-so").knows(given)


async def test_a_token_is_of_one_outlet_alone_and_random() -> None:
    clock = HandClock()
    one, other = desk(clock), desk(clock, pos_remote_id="remote-8")
    given = await token(one)
    assert not other.knows(given)
    assert outlet_of_token(given) == one.outlet != other.outlet
    assert len({await token(one) for _ in range(20)}) == 20


async def test_nothing_of_a_token_can_be_changed() -> None:
    at = desk(HandClock())
    given = await token(at)
    raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    for place in range(len(raw)):
        forged = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert not at.knows(base64.urlsafe_b64encode(forged).decode().rstrip("=")), place
    for odd in ("", given[:-2], given + "AAAA", "\u00e9" + given, "\ud800", given.replace("-", "+") + " "):
        assert not at.knows(odd)


async def test_a_token_of_a_time_when_the_clock_was_ahead_is_not_good_for_ever() -> None:
    clock = HandClock()
    clock.stepped = 40 * 86_400
    at = desk(clock)
    given = await token(at)
    assert at.knows(given)
    clock.stepped = 0
    assert not at.knows(given)


def test_no_two_outlets_share_a_digest_by_where_one_name_ends() -> None:
    assert outlet_of("ab", "c") != outlet_of("a", "bc")


@pytest.mark.parametrize(
    "write",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode() + b"\0",
    ],
)
async def test_credentials_are_read_however_they_are_written(write: Callable[[str], bytes]) -> None:
    assert await ask(desk(HandClock()), write(json.dumps(GOOD))) is not None
