"""The configuration as the doctor sees it: faults, doubts, and secrets that only systemd has."""

import os
from pathlib import Path

import pytest

from ordernpay import credentials
from ordernpay.cli.doctor.findings import Finding
from ordernpay.cli.doctor.situation import look_at_configuration, situation_of
from tests.cli.doctor.conftest import Becoming
from tests.cli.doctor.given import situation, verdicts
from tests.support.daemons import session
from tests.support.venues import listening

WITH_SECRET = session(
    url="wss://pos.example.net/",
    provider_outlet_id="venue-42",
    pos_remote_id="remote-7",
    auth_secret={"credential": "bar"},
)


def test_a_good_file_names_its_sessions(tmp_path: Path) -> None:
    [finding] = look_at_configuration(situation(tmp_path))
    assert (finding.verdict, finding.found) == ("ok", "sessions: bar")


def test_a_credential_that_only_systemd_has_is_no_fault_and_says_who_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_001)
    given = situation(tmp_path, {"bar": WITH_SECRET})
    assert given.config is not None
    assert given.plain_secrets == []
    fine, withheld = look_at_configuration(given)
    assert (fine.verdict, withheld.verdict) == ("ok", "doubtful")
    assert withheld.subject == f"{given.path}: sessions.bar.auth_secret"
    assert 'credential "bar"' in withheld.found
    assert withheld.remedy is not None
    assert "run `ordernpay doctor` as root" in withheld.remedy
    assert "/etc/ordernpay/credentials" in withheld.remedy
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    withheld = look_at_configuration(given)[1]
    assert (withheld.remedy or "").startswith("a credential is a file of its name in /etc/ordernpay/credentials")


def test_a_credential_that_root_finds_in_its_place_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(credentials, "GIVEN", tmp_path)
    (tmp_path / "bar").write_text("a secret", encoding="utf-8")
    fine, read = look_at_configuration(situation(tmp_path, {"bar": WITH_SECRET}))
    assert (fine.verdict, read.verdict, read.subject) == ("ok", "ok", "credentials")
    assert "/etc/ordernpay/credentials" in read.found
    assert read.found.endswith(": sessions.bar.auth_secret")


def test_a_credential_that_can_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bar").write_text("a secret", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert verdicts(look_at_configuration(situation(tmp_path, {"bar": WITH_SECRET}))) == ["ok"]


@pytest.mark.parametrize("secret", [{"file": "/nowhere/secret"}, {"env": "NOT_SET_HERE"}])
def test_a_secret_elsewhere_that_cannot_be_had_is_no_fault(tmp_path: Path, secret: dict[str, str]) -> None:
    assert verdicts(look_at_configuration(situation(tmp_path, {"bar": WITH_SECRET | {"auth_secret": secret}}))) == [
        "ok",
        "doubtful",
    ]


@pytest.mark.parametrize("secret", [{"credential": ""}, {"vault": "x"}, 5])
def test_a_secret_that_is_not_one_is_a_fault(tmp_path: Path, secret: object) -> None:
    given = situation(tmp_path, {"bar": WITH_SECRET | {"auth_secret": secret}})
    [finding] = look_at_configuration(given)
    assert (given.config, finding.verdict) == (None, "wrong")
    assert "expected a secret" in finding.found


def test_a_plain_secret_is_doubtful(tmp_path: Path) -> None:
    given = situation(tmp_path, {"bar": listening()})
    assert given.plain_secrets == ["sessions.bar.auth_secret"]
    assert verdicts(look_at_configuration(given)) == ["ok", "doubtful"]


def test_a_rule_for_what_is_not_there_is_doubtful(tmp_path: Path) -> None:
    rule = {"group": "root", "methods": ["order.*", "ordr.*"], "sessions": ["bar", "cellar"]}
    told = look_at_configuration(situation(tmp_path, rpc={"socket": str(tmp_path / "s"), "access": [rule]}))
    assert verdicts(told) == ["ok", "doubtful", "doubtful"]
    assert [finding.found for finding in told[1:]] == ["no method is called ordr.*", "there is no session cellar"]


def test_every_fault_is_told_with_its_key(tmp_path: Path) -> None:
    given = situation(tmp_path, {"bar": session(url="ws://pos.example.net/")}, journal={"keep_days": "many"})
    findings = look_at_configuration(given)
    assert [finding.subject for finding in findings] == [
        f"{given.path}: journal.keep_days",
        f"{given.path}: sessions.bar.url",
    ]
    assert verdicts(findings) == ["wrong", "wrong"]
    assert all(finding.remedy for finding in findings)


def test_a_file_that_is_not_there_leads_to_the_first_one(tmp_path: Path) -> None:
    [finding] = look_at_configuration(situation_of(tmp_path / "none.toml"))
    assert finding.verdict == "wrong"
    assert finding.remedy is not None
    assert "examples/ordernpay.toml" in finding.remedy


def test_a_file_that_this_user_may_not_read_leads_to_root(tmp_path: Path, as_nobody: Becoming) -> None:
    given = situation(tmp_path)
    with as_nobody():
        [finding] = look_at_configuration(situation_of(given.path))
    assert finding == Finding(
        "configuration",
        str(given.path),
        "wrong",
        "cannot be read: Permission denied",
        "run `ordernpay doctor` as root, or mend the file",
    )
