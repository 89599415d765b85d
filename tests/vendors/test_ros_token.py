"""The bearer token: asked for once for all who wait, kept until shortly before its end, and never used elsewhere."""

import asyncio
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from attrs import define, field
from hypothesis import given

from ordernpay.jsontext import dumps
from ordernpay.outcomes import Outcome
from ordernpay.vendors.http import Answered, Call, NoAnswer, NotSent, Result
from ordernpay.vendors.ros.token import Token, TokenDesk
from tests.support.wait import until
from tests.vendors.given import HandClock, Script, anything, objects, ros

SVC = "https://ros7.example/"


def granted(**changes: Any) -> Answered:
    body: dict[str, Any] = {
        "token_type": "Bearer",
        "access_token": "eyJ.demo.sig",
        "expires_in": 28_800,
        "svc": SVC,
        "org_id": "D",
    }
    return Answered(200, dumps({name: value for name, value in (body | changes).items() if value is not ...}).encode())


def desk(*results: Result, **config: Any) -> tuple[TokenDesk, Script, HandClock]:
    clock, http = HandClock(), Script(*results)
    return TokenDesk(ros(**config), http, clock), http, clock


async def got(tokens: TokenDesk) -> Token:
    token = await tokens.get(2_000.0)
    assert isinstance(token, Token), token
    return token


async def none(tokens: TokenDesk) -> str:
    told = await tokens.get(2_000.0)
    assert isinstance(told, NotSent), told
    return told.why


async def test_the_request_is_that_of_the_page() -> None:
    tokens, http, _ = desk(granted())
    await got(tokens)
    [(call, deadline)] = http.asked
    assert deadline == 1_010.0
    assert (call.method, call.url) == ("POST", "http://127.0.0.1:1/authorisation/token")
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs((call.body or b"").decode(), strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client-1"],
        "client_secret": ["s&cret=1"],
        "org_id": ["DEMOORG"],
        "scope": ["ros offline_access"],
    }


@pytest.mark.parametrize("svc", ["https://ros7.example/", "https://ros7.example", "https://ros7.example//"])
async def test_the_address_comes_with_the_token_with_a_slash_or_without(svc: str) -> None:
    tokens, _, _ = desk(granted(svc=svc))
    assert (await got(tokens)).url("remoteorders/add") == "https://ros7.example/remoteorders/add"


async def test_a_path_of_the_address_is_kept() -> None:
    tokens, _, _ = desk(granted(svc="https://ros7.example/eu/1/"))
    assert (await got(tokens)).url("remoteorders/add") == "https://ros7.example/eu/1/remoteorders/add"


async def test_a_token_is_kept_until_shortly_before_it_ends() -> None:
    tokens, http, clock = desk(granted(expires_in=100), granted(access_token="second"))
    first = await got(tokens)
    clock.monotonic += 49.9
    assert await got(tokens) is first
    clock.monotonic += 0.2
    assert (await got(tokens)).value == "second"
    assert len(http.asked) == 2


async def test_the_margin_is_a_minute_for_a_long_life() -> None:
    tokens, _, clock = desk(granted())
    assert (await got(tokens)).ends == clock.now() + 28_800 - 60


@pytest.mark.parametrize(
    ("life", "left"),
    [
        *((1, 1.0), (2, 1.0), (4, 2.0), ("28800", 28_740.0), ("28800.0", 28_740.0), (Decimal("28800.5"), 28_740.5)),
        *((sane, 540.0) for sane in (0, -5, None, True, "", "soon", "NaN", "inf", "1e400", "31536000000", 10**12, [1])),
        *((sane, 540.0) for sane in (..., "9" * 400, Decimal("0.5"), Decimal("1e300"))),
    ],
)
async def test_a_life_of_any_length_ends_and_one_that_is_not_sane_is_a_modest_one(life: Any, left: float) -> None:
    tokens, _, clock = desk(granted(expires_in=life))
    assert (await got(tokens)).ends == pytest.approx(clock.now() + left)


async def test_only_the_token_that_was_refused_is_forgotten() -> None:
    tokens, http, _ = desk(granted(), granted(access_token="second"))
    first = await got(tokens)
    tokens.forget(Token("other", SVC, 0))
    assert await got(tokens) is first
    tokens.forget(first)
    second = await got(tokens)
    tokens.forget(first)
    assert await got(tokens) is second
    assert len(http.asked) == 2


@define(eq=False)
class Held(Script):
    """Answers when it is told to."""

    go: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_pre_init__(self) -> None:
        super().__init__(granted())

    async def send(self, call: Call, deadline: float, late: Any = None, sending: Any = None) -> Result:
        self.asked.append((call, deadline))
        await self.go.wait()
        return self.results[0]


async def test_all_who_wait_share_one_request() -> None:
    http = Held()
    tokens = TokenDesk(ros(), http, HandClock())
    waiting = [asyncio.create_task(tokens.get(2_000.0)) for _ in range(20)]
    await until(lambda: http.asked)
    http.go.set()
    found = await asyncio.gather(*waiting)
    assert len(http.asked) == 1
    assert len({id(token) for token in found}) == 1


@pytest.mark.parametrize("result", [Answered(401), Answered(503), NoAnswer("reset"), NotSent("refused")])
async def test_all_who_wait_share_a_failure_too_and_who_comes_later_asks_anew(result: Result) -> None:
    http = Held()
    http.results[:] = [result]
    tokens = TokenDesk(ros(), http, HandClock())
    waiting = [asyncio.create_task(tokens.get(2_000.0)) for _ in range(20)]
    await until(lambda: http.asked)
    http.go.set()
    found = await asyncio.gather(*waiting)
    assert len(http.asked) == 1
    assert not any(isinstance(told, Token) for told in found)
    assert len({id(told) for told in found}) == 1
    await tokens.get(2_000.0)
    assert len(http.asked) == 2


async def test_a_request_for_a_token_that_is_lost_leaves_time_for_another() -> None:
    tokens, http, clock = desk(granted(), granted())
    await tokens.get(clock.now() + 4)
    tokens.forget(tokens._token)
    await tokens.get(clock.now() + 600)
    assert [deadline - clock.now() for _, deadline in http.asked] == [4, 10]


async def test_who_waits_for_another_gives_up_at_its_own_deadline() -> None:
    http = Held()
    clock = HandClock()
    tokens = TokenDesk(ros(), http, clock)
    first = asyncio.create_task(tokens.get(2_000.0))
    await until(lambda: http.asked)
    assert await tokens.get(clock.now() + 0.05) == NotSent("no token until the timeout")
    assert await tokens.get(clock.now() - 1) == NotSent("no token until the timeout")
    http.go.set()
    assert isinstance(await first, Token)
    assert len(http.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_are_told_as_such(status: int) -> None:
    tokens, _, _ = desk(Answered(status, b'{"error":"invalid_client"}'), granted())
    outcome = await tokens.get(2_000.0)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind, outcome.failure.vendor_code) == ("rejected", "unauthorised", status)
    assert tokens.refused is not None
    await got(tokens)
    assert tokens.refused is None


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (NotSent("ConnectError"), "authorisation server: ConnectError"),
        (NoAnswer("reset"), "authorisation server: reset"),
        (Answered(500), "the authorisation server answered HTTP 500"),
        (Answered(302), "the authorisation server answered HTTP 302"),
        (Answered(200), "the authorisation server answered without a token for an address that may be used (svc)"),
        (
            Answered(200, b"[]"),
            "the authorisation server answered without a token for an address that may be used (svc)",
        ),
    ],
)
async def test_no_token_means_that_nothing_was_sent_to_ros(result: Result, why: str) -> None:
    tokens, http, _ = desk(result, granted())
    assert await none(tokens) == why
    assert tokens.refused is None
    await got(tokens)
    assert len(http.asked) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": ...},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": ["x"]},
        {"svc": ...},
        {"svc": ""},
        {"svc": "ros7.example"},
        {"svc": "ftp://ros7.example/"},
        {"svc": "http://ros7.example/"},
        {"svc": "https://user:pw@ros7.example/"},
        {"svc": "https://ros7.example/?a=b"},
        {"svc": "https://ros7.example/?"},
        {"svc": "https://ros7.example/#a"},
        {"svc": "https://[::1"},
        {"svc": "https://ros7.example:99999/"},
    ],
)
async def test_a_token_that_cannot_be_used_safely_is_none(changes: dict[str, Any]) -> None:
    tokens, _, _ = desk(granted(**changes))
    assert (
        await none(tokens) == "the authorisation server answered without a token for an address that may be used (svc)"
    )


@pytest.mark.parametrize(
    "svc",
    [
        "http://127.0.0.1:9/",
        "http://ros7.example/",
        "http://localhost:1/",
        "https://127.0.0.1:1/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://10.0.0.8/",
        "https://192.168.1.1/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00::1]/",
        "https://169.254.169.254/latest",
        "https://224.0.0.1/",
        "https://till/",
        "https://till.local/",
        "https://ros7.example\\@evil.example/",
    ],
)
async def test_a_token_leads_to_no_other_place_of_this_machine_or_its_network(svc: str) -> None:
    tokens, http, _ = desk(granted(svc=svc), allow_insecure=True)
    assert "(svc)" in await none(tokens)
    assert len(http.asked) == 1


async def test_the_place_of_the_authorisation_server_and_what_the_configuration_names_may_be_used() -> None:
    tokens, _, _ = desk(granted(svc="http://127.0.0.1:1/elsewhere/"))
    await got(tokens)
    tokens, _, _ = desk(granted(svc="http://127.0.0.1:9/x"), service_urls=["http://127.0.0.1:9"])
    await got(tokens)


async def test_the_answer_is_read_in_any_casing() -> None:
    tokens, _, _ = desk(Answered(200, b'{"ACCESS_TOKEN":"t","Svc":"https://a.example","EXPIRES_IN":1e3}'))
    assert await got(tokens) == Token("t", "https://a.example", 1_000.0 + 940)


@given(anything | objects("access_token", "svc", "expires_in"))
async def test_any_answer_is_read_without_a_fault(body: Any) -> None:
    tokens, _, _ = desk(Answered(200, dumps(body).encode()))
    assert isinstance(await tokens.get(2_000.0), Token | NotSent)
