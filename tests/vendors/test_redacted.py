"""Every vendor's session is opened so that what it tells passes the redaction."""

from typing import Any

import pytest
from attrs import evolve

from ordernpay.config import Inbound
from ordernpay.conversion import structure
from ordernpay.logs import redact
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
from ordernpay.redaction import REDACTED, Redactor, of_session
from ordernpay.vendors import CONFIGS, VENDORS, open_session
from ordernpay.vendors.protocol import Report, SessionStatus, Settlement
from ordernpay.vendors.redacted import RedactedPublish, RedactedSession, secrets_of
from ordernpay.vendors.rest import Unmarked
from tests.support.daemons import session as order_n_pay
from tests.support.fakes import HandClock, ScriptedSession, command
from tests.vendors.given import Journal, doshii, ros, tevalis

PIN = "PIN-9071"
SECRET = "planted-secret-1"


def configured(vendor: str) -> Any:
    table = order_n_pay(url="wss://x.net/", provider_outlet_id="a", pos_remote_id="b", auth_secret="order-n-pay-secret")
    made = {"ros": ros, "tevalis": tevalis, "doshii": doshii}
    return made[vendor]() if vendor in made else structure(table, CONFIGS[vendor])


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_session_of_each_vendor_knows_its_secrets_and_keeps_no_pin(vendor: str) -> None:
    config = configured(vendor)
    secrets = secrets_of(config)
    assert secrets
    session = open_session("named", config, Inbound(), Journal(), HandClock())
    assert isinstance(session, RedactedSession)
    assert all(secret not in of_session("named").text(f"no, {secret}!") for secret in secrets)
    line = redact(None, "", {"event": "x", "session": "named", "reason": f"it said {secrets[0]}"})
    assert line["reason"] == f"it said {REDACTED}"
    request: Any = {"method": "POST", "path": f"x?pin={PIN}", "body": {"staffPin": PIN}}
    if vendor == "order-n-pay":
        request = {"MessageType": 0, "Payload": {"PIN": PIN}, "UserIdentifier": None}
    prepared = session.prepare(command("vendor.request", session="named", request=request))
    assert PIN not in str(prepared.kept)
    assert not prepared.whole


def test_a_configured_user_that_is_a_pin_is_a_secret_and_leaves_a_command_whole() -> None:
    config = structure(order_n_pay(url="wss://x.net/", user=PIN), CONFIGS["order-n-pay"])
    assert secrets_of(config) == [PIN]
    prepared = open_session("s", config, Inbound(), Journal(), HandClock()).prepare(command())
    assert prepared.whole  # the configuration still has it after a restart
    assert PIN not in str(prepared.kept)
    assert PIN not in repr(prepared)
    assert PIN in prepared.work.frame


async def test_outcomes_state_and_reports_are_redacted() -> None:
    async def parrot(asked: Any, *_: Any) -> Outcome:
        return succeeded({"name": f"Asha, {asked.params.pin}"}, {"Echo": f"{SECRET} {asked.params.pin}"})

    inner, journal, redactor = ScriptedSession(script=parrot), Journal(), Redactor([SECRET])
    session = RedactedSession(inner, redactor)
    asked = command("user.lookup", pin="4471")
    outcome = await session.perform(asked, session.prepare(asked), Unmarked(0.0))
    assert (outcome.result, outcome.vendor) == ({"name": f"Asha, {REDACTED}"}, {"Echo": f"{REDACTED} {REDACTED}"})

    late = Settlement("key", "k", lambda _: ended(Failure("rejected", SECRET, vendor_message="4471"), {"x": SECRET}))
    event = Report("vendor.event", {"said": SECRET}, {"pin": 1234, "text": f"by {SECRET}", "id": "4471"}, late)
    await RedactedPublish(journal, redactor)([event])
    [told] = journal.reports
    assert (told.data, told.vendor) == (
        {"said": REDACTED},
        {"pin": REDACTED, "text": f"by {REDACTED}", "id": "4471"},
    )
    assert told.settlement is not None
    settled = told.settlement.outcome(asked)
    assert settled.failure == Failure("rejected", REDACTED, vendor_message=REDACTED)
    assert settled.vendor == {"x": REDACTED}


def test_why_a_session_is_down_is_told_without_secrets() -> None:
    class Down(ScriptedSession):
        def status(self) -> SessionStatus:
            return evolve(super().status(), last_error=f"refused: {SECRET}")

    assert RedactedSession(Down(), Redactor([SECRET])).status().last_error == f"refused: {REDACTED}"
