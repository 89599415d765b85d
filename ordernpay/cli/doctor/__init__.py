"""``ordernpay doctor``: what is wrong or doubtful, from the configuration to the vendors, and what to do."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import click
from rich.text import Text

from ordernpay.cli.configuration import EXIT_CONFIG, config_option
from ordernpay.cli.doctor.door import look_at_daemon, look_at_groups, look_at_socket
from ordernpay.cli.doctor.files import look_at_disk, look_at_permissions, look_at_state
from ordernpay.cli.doctor.findings import Finding, doubtful
from ordernpay.cli.doctor.inbound import look_at_inbound
from ordernpay.cli.doctor.situation import Situation, look_at_configuration, situation_of
from ordernpay.cli.doctor.units import look_at_systemd
from ordernpay.cli.doctor.vendors import look_at_vendors
from ordernpay.cli.terminal import cell, console, print_json, print_table
from ordernpay.config import config_path

Check = Callable[[Situation], Awaitable[list[Finding]]]

EXIT_WRONG: Final = 1
STYLES: Final = {"ok": "green", "doubtful": "yellow", "wrong": "bold red"}


def _quick(check: Callable[[Situation], list[Finding]]) -> Check:
    """A check that only looks at this machine's files, as one that may be waited for."""

    async def look(situation: Situation) -> list[Finding]:
        return check(situation)

    look.__name__ = check.__name__
    return look


CHECKS: Final[tuple[Check, ...]] = (
    _quick(look_at_configuration),
    _quick(look_at_permissions),
    _quick(look_at_state),
    _quick(look_at_disk),
    _quick(look_at_socket),
    _quick(look_at_groups),
    look_at_daemon,
    look_at_vendors,
    look_at_inbound,
    look_at_systemd,
)
"""In the order in which their findings are told."""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="For programs: {ok, file, findings}.")
@click.pass_context
def doctor(ctx: click.Context, config: str | None, *, as_json: bool) -> None:
    """Look for what is wrong, from the configuration to the vendors, and say what to do.

    Looks at the configuration, who may read which files, the disk, the local socket and the daemon behind it, each
    vendor's name, address, TLS certificate and clock, the HTTP door and systemd's units. Nothing is changed, and nothing
    is sent to a vendor but a TLS handshake and HEAD /. It works without root and without a daemon, but root sees more.

    Exit status: 0 nothing is wrong (doubts are no fault), 1 something is wrong, 78 the configuration cannot be used.
    """
    situation = situation_of(config_path(config))
    findings = anyio.run(examine, situation)
    failed = [finding for finding in findings if finding.verdict == "wrong"]
    if as_json:
        print_json(
            {
                "ok": not failed,
                "file": str(situation.path),
                "findings": [finding.as_json() for finding in findings],
            }
        )
    else:
        _print(findings)
    if situation.config is None:
        ctx.exit(EXIT_CONFIG)
    if failed:
        ctx.exit(EXIT_WRONG)


async def examine(situation: Situation) -> list[Finding]:
    """Every check, side by side; their findings in order."""
    found: list[list[Finding]] = [[] for _ in CHECKS]

    async def look(number: int) -> None:
        check = CHECKS[number]
        try:
            found[number] = await check(situation)
        except OSError as error:
            name = check.__name__.removeprefix("look_at_")
            told = f"cannot be looked at: {error.strerror or type(error).__name__}"
            found[number] = [doubtful(name, str(error.filename or "-"), told, "run `ordernpay doctor` as root")]

    async with anyio.create_task_group() as tasks:
        for number in range(len(CHECKS)):
            tasks.start_soon(look, number)
    return [finding for findings in found for finding in findings]


def _print(findings: list[Finding]) -> None:
    rows = []
    for finding in findings:
        verdict = Text(f"{finding.verdict:<8}", style=STYLES[finding.verdict])
        rows.append([verdict, cell(f"{finding.check:<13}"), cell(f"{finding.subject}: {finding.found}")])
        if finding.remedy is not None and finding.verdict != "ok":
            rows.append([cell(" " * 8), cell(f"{'what to do:':<13}", "bold"), cell(finding.remedy, "bold")])
    print_table(["", "", ""], rows)
    out = console()
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in STYLES}
    out.print()
    out.print(Text(f"{counts['wrong']} wrong, {counts['doubtful']} doubtful, {counts['ok']} ok"))
