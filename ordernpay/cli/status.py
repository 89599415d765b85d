"""``ordernpay status``: how the daemon, its sessions and its journal stand."""

import time
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from ordernpay.cli.asking import ask, socket_option
from ordernpay.cli.terminal import (
    cell,
    console,
    duration,
    member,
    objects,
    print_json,
    print_table,
    printable,
    seconds_since_1970,
    size,
    state_cell,
    whole,
)
from ordernpay.client import default_socket
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import STATES

COLUMNS: Final = ("session", "vendor", "state", "since", "in flight", "reconnects", "certificate", "last error")
DAY: Final = 86_400
SOON_DAYS: Final = 21
"""Days before its end from which on a certificate stands out."""

ALARM: Final = "bold red"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: the result of daemon.status.")
@socket_option
def status(socket: Path | None, *, as_json: bool) -> None:
    """Show the daemon, its sessions, its journal and its clients.

    Below the sessions stands for each that is not up why, in words, and what to do. `ordernpay doctor` looks closer.

    It is a report: the exit status is 0 even when a session is down.
    """
    answer = ask(socket, "daemon.status")
    if as_json:
        print_json(answer)
        return
    out = console()
    place = default_socket() if socket is None else socket
    out.print(
        Text(f"ordernpay {printable(answer.get('version'))}", style="bold"),
        f"at {place}, pid {printable(answer.get('pid'))}, up {duration(answer.get('uptime'))}"
        f" since {printable(answer.get('started_at'))}",
    )
    if answer.get("config_error") is not None:
        out.print(Text("The last reload was refused; the configuration before it is in force:", style=ALARM))
        for line in str(answer["config_error"]).splitlines():
            out.print(Text(f"  {printable(line)}"))
    waiting = answer.get("needs_restart")
    if isinstance(waiting, list) and waiting:
        out.print(Text(f"In force after a restart only: {', '.join(map(printable, waiting))}", style="yellow"))
    out.print()
    _print_sessions(objects(answer, "sessions"))
    out.print()
    out.print(*_journal_line(member(answer, "journal")), sep="")
    oldest = member(member(answer, "journal"), "oldest_unknown")
    if oldest:
        out.print(
            Text("oldest unknown: ", style=ALARM),
            f"{printable(oldest.get('command_id'))} of {printable(oldest.get('session'))}, "
            f"for {duration(oldest.get('age'))}; see `ordernpay commands {printable(oldest.get('command_id'))}`",
            sep="",
        )
    out.print(*_disk_line(member(answer, "disk")), sep="")
    inbound = member(answer, "inbound")
    if inbound.get("certificate_expires") is not None or inbound.get("error") is not None:
        out.print("our certificate on [inbound]:", _certificate_cell(inbound.get("certificate_expires")), end="")
        out.print("" if inbound.get("error") is None else Text(f" {printable(inbound.get('error'))}", style=ALARM))
    clients = member(answer, "clients")
    out.print(
        f"clients: {whole(clients, 'now')} now, {whole(clients, 'total')} so far, "
        f"{whole(clients, 'cut_off')} cut off, {whole(clients, 'refused')} refused"
    )


def _print_sessions(sessions: list[JsonObject]) -> None:
    out = console()
    if not sessions:
        out.print("no sessions")
        return
    print_table(COLUMNS, map(_session_row, sessions))
    told = [session for session in sessions if session.get("why") is not None]
    if told:
        out.print()
    for session in told:
        since = seconds_since_1970(session.get("since"))
        lasting = "" if since is None else f" for {duration(max(0.0, time.time() - since))}"
        flips = whole(session, "flips")
        again = f", lost {flips} times since {printable(session.get('unsteady_since'))}" if flips > 1 else ""
        head = f"{printable(session.get('name'))} is {printable(session.get('state'))}{lasting}{again}:"
        out.print(Text(head, style=ALARM), Text(printable(session.get("why"))))


def _session_row(session: JsonObject) -> list[Text]:
    return [
        cell(session.get("name"), "bold"),
        cell(session.get("vendor")),
        state_cell(session.get("state")),
        cell(session.get("since")),
        cell(session.get("in_flight")),
        cell(session.get("reconnects")),
        _certificate_cell(session.get("certificate_expires")),
        cell(session.get("last_error")),
    ]


def _certificate_cell(expires: JsonValue) -> Text:
    """How long a certificate is still good."""
    at = seconds_since_1970(expires)
    if at is None:
        return cell(None)
    days = int((at - time.time()) // DAY)
    if days < 0:
        return Text("expired", style=ALARM)
    return Text(f"{days} days left", style="yellow" if days < SOON_DAYS else "")


def _journal_line(journal: JsonObject) -> list[Text]:
    counts = member(journal, "commands")
    present = [state for state in STATES if whole(counts, state)]
    parts = [Text(f"{whole(counts, state)} {state}", style="" if state != "unknown" else ALARM) for state in present]
    line = [Text("journal: "), Text(", ").join(parts) if parts else Text("no commands")]
    if journal.get("oldest_unknown_at") is not None:
        line.append(Text(f" (oldest since {printable(journal.get('oldest_unknown_at'))})", style=ALARM))
    line.append(
        Text(
            f"; {whole(journal, 'in_flight')} in flight; newest event {whole(journal, 'last_seq')}; "
            f"{size(journal.get('bytes'))}; "
        )
    )
    error = journal.get("error")
    line.append(Text("no error") if error is None else Text(f"ERROR: {printable(error)}", style=ALARM))
    if journal.get("moved_aside") is not None:
        line.append(Text(f"; a damaged journal was moved to {printable(journal.get('moved_aside'))}", style=ALARM))
    return line


def _disk_line(disk: JsonObject) -> list[Text]:
    if disk.get("free") is None:
        return [Text(f"disk: unknown ({printable(disk.get('error'))})", style=ALARM)]
    told = f"disk: {size(disk.get('free'))} free of {size(disk.get('total'))} in {printable(disk.get('path'))}"
    if disk.get("low") is not True:
        return [Text(told)]
    return [Text(told), Text("; LOW: make room, or no order can be taken", style=ALARM)]
