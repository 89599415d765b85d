"""The command: its exit status, its words, its JSON, and no secret in any of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ordernpay.cli import doctor as module
from ordernpay.cli import main
from ordernpay.cli.doctor.findings import Finding, doubtful, ok, wrong
from ordernpay.cli.doctor.situation import Situation
from tests.cli.doctor.given import situation
from tests.cli.program import Venue, ordernpay
from tests.support import planted
from tests.support.daemons import session


def finds(*findings: Finding) -> Callable[[Situation], object]:
    async def look_at_things(_: Situation) -> list[Finding]:
        return [*findings]

    return look_at_things


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ((ok("a", "b", "c"),), 0),
        ((ok("a", "b", "c"), doubtful("a", "b", "c")), 0),
        ((doubtful("a", "b", "c"), wrong("a", "b", "c")), 1),
    ],
)
def test_doubts_are_no_fault_and_faults_end_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], status: int
) -> None:
    monkeypatch.setattr(module, "CHECKS", (finds(*findings),))
    file = str(situation(tmp_path).path)
    assert CliRunner().invoke(main, ["doctor", "--config", file]).exit_code == status
    told = json.loads(CliRunner().invoke(main, ["doctor", "--json", "--config", file]).output)
    assert told["ok"] is (status == 0)
    assert told["file"] == file
    assert [finding["verdict"] for finding in told["findings"]] == [finding.verdict for finding in findings]
    assert set(told["findings"][0]) == {"check", "subject", "verdict", "found", "remedy"}


def test_people_get_a_line_for_each_and_below_it_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = (finds(ok("disk", "/x", "fine")), finds(wrong("tls", "bar", "ex\x1bpired", "renew it")))
    monkeypatch.setattr(module, "CHECKS", checks)
    ended = CliRunner().invoke(main, ["doctor", "--config", str(situation(tmp_path).path)])
    assert ended.output.splitlines() == [
        "ok        disk           /x: fine",
        "wrong     tls            bar: ex\N{REPLACEMENT CHARACTER}pired",
        "          what to do:    renew it",
        "",
        "1 wrong, 0 doubtful, 1 ok",
    ]


def test_a_check_that_meets_what_nobody_thought_of_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_at_files(_: Situation) -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/x")

    monkeypatch.setattr(module, "CHECKS", (look_at_files, finds(ok("a", "b", "c"))))
    ended = CliRunner().invoke(main, ["doctor", "--config", str(situation(tmp_path).path)])
    assert ended.exit_code == 0
    assert ended.output.splitlines()[0] == "doubtful  files          /x: cannot be looked at: Permission denied"
    assert ended.output.splitlines()[-1] == "0 wrong, 1 doubtful, 1 ok"


@pytest.mark.parametrize("text", [None, "[", "[rpc]\nmode = 5\n"])
def test_a_configuration_that_cannot_be_used_ends_with_78_and_the_rest_is_still_looked_at(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ordernpay.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("ORDERNPAY_SOCKET", str(tmp_path / "none"))
    ended = CliRunner().invoke(main, ["doctor", "--config", str(file)])
    assert ended.exit_code == 78
    assert f"socket         {tmp_path / 'none'}: not there" in ended.output


async def test_a_venue_that_works_has_nothing_wrong(venue: Venue) -> None:
    file = venue.daemon.directory / "ordernpay.toml"
    file.chmod(0o600)
    ended = await ordernpay("doctor", "--config", str(file))
    assert (ended.status, ended.err) == (0, ""), ended.out
    lines = ended.out.splitlines()
    assert any(line.startswith("ok        session        bar: up") for line in lines)
    assert any(line.startswith("ok        reach          bar, 127.0.0.1:") for line in lines)
    assert lines[-1].startswith("0 wrong, ")


async def test_no_secret_is_told(tmp_path: Path) -> None:
    secret = {"provider_outlet_id": "venue-42", "pos_remote_id": "remote-7", "auth_secret": planted.AUTH_SECRET}
    given = situation(tmp_path, {"bar": session(url="ws://127.0.0.1:9/", user=planted.PIN, **secret)})
    given.path.chmod(0o644)
    for words in ((), ("--json",)):
        ended = await ordernpay("doctor", "--config", str(given.path), *words)
        assert ended.status == 1
        assert "sessions.bar.auth_secret" in ended.out
        assert planted.AUTH_SECRET not in ended.out + ended.err
        assert planted.PIN not in ended.out + ended.err
