"""``ordernpay commands``: what the journal holds."""

from pathlib import Path
from typing import Final

import click
from rich.text import Text

from ordernpay.cli.asking import ask, socket_option
from ordernpay.cli.completing import session_names
from ordernpay.cli.terminal import cell, console, member, objects, print_json, print_table, state_cell
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import STATES

COLUMNS: Final = ("accepted", "command", "session", "method", "state", "error")


@click.command()
@click.argument("command_id", required=False)
@click.option("--session", metavar="NAME", shell_complete=session_names, help="Only of this session.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="For programs: the result of command.list or command.get.")
@socket_option
def commands(
    command_id: str | None,
    session: str | None,
    state: str | None,
    limit: int,
    socket: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show the journal's commands, newest first, or all of one, by COMMAND_ID."""
    if command_id is not None:
        if session is not None or state is not None:
            raise click.UsageError("--session and --state choose from the list; leave them out with a COMMAND_ID.")
        _show_one(ask(socket, "command.get", {"command_id": command_id}), as_json=as_json)
        return
    params: JsonObject = {"limit": limit}
    if session is not None:
        params["session"] = session
    if state is not None:
        params["state"] = state
    answer = ask(socket, "command.list", params)
    if as_json:
        print_json(answer)
        return
    rows = objects(answer, "commands")
    if not rows:
        click.echo("No such commands.", err=True)
        return
    out = console()
    print_table(COLUMNS, map(_row, rows))
    if answer.get("next") is not None:
        out.print(f"\nThere may be more than these {limit}: --limit takes up to 1000.")
    unknown = sum(row.get("state") == "unknown" for row in rows)
    if unknown:
        out.print()
        out.print(Text(f"{unknown} unknown: may or may not have acted.", style="bold red"), _remedy("COMMAND_ID"))


def _row(command: JsonObject) -> list[Text]:
    return [
        cell(command.get("accepted_at")),
        cell(command.get("command_id")),
        cell(command.get("session")),
        cell(command.get("method")),
        state_cell(command.get("state")),
        cell(member(command, "error").get("message")),
    ]


def _show_one(command: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print_json(command)
        return
    out = console()
    rows = [
        [cell(name, "bold"), state_cell(value) if name == "state" else cell(value)] for name, value in command.items()
    ]
    print_table(["", ""], rows)
    if command.get("state") == "unknown":
        out.print()
        out.print(_remedy(str(command.get("command_id"))))


def _remedy(command_id: str) -> str:
    """What a person can do about an unknown command."""
    return (
        "Look at the till. If it is there:\n"
        f"  ordernpay call command.resolve command_id={command_id} state=succeeded note='seen at the till'\n"
        "If it is not, either give it up with state=failed, or have it sent again:\n"
        f"  ordernpay call command.retry command_id={command_id}\n"
        "Only Order N Pay knows a repeat; any other vendor would do once more what is there already."
    )
