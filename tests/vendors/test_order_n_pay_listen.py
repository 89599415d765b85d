"""The desk where a POS proves itself: all three values, tokens for one outlet, each with a lifetime."""

import json
from typing import Any

import pytest

from ordernpay.conversion import structure
from ordernpay.vendors.order_n_pay.listen import MOST_TOKENS, REFUSAL, TokenDesk
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


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"a":1,"a":2}', b"[" * 5000])
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


async def test_a_token_is_of_one_desk_alone_and_random() -> None:
    clock = HandClock()
    one, other = desk(clock), desk(clock)
    given = await token(one)
    assert not other.knows(given)
    assert not one.knows(given[:-1])
    assert len({await token(one) for _ in range(20)}) == 20
    assert len(given) >= 43


async def test_only_so_many_tokens_live_and_the_oldest_go_first() -> None:
    at = desk(HandClock())
    tokens = [await token(at) for _ in range(MOST_TOKENS + 2)]
    assert [at.knows(given) for given in tokens[:3]] == [False, False, True]
    assert at.knows(tokens[-1])


async def test_no_token_is_kept_as_it_is() -> None:
    at = desk(HandClock())
    given = await token(at)
    assert given not in repr(vars(at))
    assert given.encode() not in b"".join(at._tokens)
