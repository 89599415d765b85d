"""ordernpay(1), from the commands themselves."""

import inspect
import re

import click

from ordernpay.cli import COMMANDS, main
from ordernpay.cli.manual.roff import Block, Example, Page, Section, Term, Under

DESCRIPTION = (
    (
        "`ordernpay` is the software on a venue's own box that lets any kiosk app talk to the point of sale, and never loses or "
        "doubles an order. `ordernpay run` is the daemon: kiosk apps speak JSON-RPC to its local socket, and it speaks to the "
        "points of sale. Every command is written down before it is sent, every outcome before it is told."
    ),
    (
        "The other commands ask the daemon, look at its configuration, or do without both. Under systemd the daemon is "
        "`ordernpay.service`, see ordernpay.service(8); its configuration is described in ordernpay.toml(5)."
    ),
)

EXIT_STATUS = (
    Term("0", "Done. `status`, `events` and `commands` are reports: what they tell, be it bad, is no error."),
    Term(
        "1",
        "The daemon answered an error, which is told on standard error in words and, by `call`, as JSON; or `doctor` "
        "found something wrong.",
    ),
    Term("2", "Wrong usage."),
    Term("69", "There is no daemon at the socket, or this user may not open it; the text says which group is missing."),
    Term(
        "74", "The output cannot be written: a full disk, or standard output is closed. A reader that left is no error."
    ),
    Term("78", "The configuration cannot be used."),
    Term("130", "Ended by Ctrl-C."),
)

ENVIRONMENT = (
    Term("`ORDERNPAY_SOCKET`", "Where the daemon's socket is, for every command that has no --socket."),
    Term("`ORDERNPAY_CONFIG`", "Where the configuration is, for every command that has no --config."),
    Term("`CREDENTIALS_DIRECTORY`", "Set by systemd: where the secrets are that the configuration calls credentials."),
)

FILES = (
    Term("`/etc/ordernpay/ordernpay.toml`", "The configuration."),
    Term("`/run/ordernpay/ordernpay.sock`", "The local socket."),
    Term("`/var/lib/ordernpay/journal.sqlite3`", "The journal: every command and event."),
)

EXAMPLES: tuple[Block, ...] = (
    "A first order, with everything simulated:",
    Example(
        "ordernpay simulate | tee trial.toml\n"
        "ordernpay run --config trial.toml\n"
        "export ORDERNPAY_SOCKET=ordernpay.sock\n"
        "ordernpay call order.create session=bar idempotency_key=A1 order.reference=A1 \\\n"
        '    order.table=\'"7"\' order.lines=\'[{"product": "1203", "name": "Soup"}]\''
    ),
    "What is wrong here, and since when a session is down:",
    Example("ordernpay doctor\nordernpay status"),
    "What nobody knows the outcome of, and a person's verdict on it:",
    Example(
        "ordernpay commands --state unknown\n"
        "ordernpay call command.resolve command_id=ID state=succeeded note='seen on the till'"
    ),
)

SEE_ALSO = "ordernpay.toml(5), ordernpay.service(8), systemctl(1), journalctl(1)"


def page() -> Page:
    """The page."""
    context = click.Context(main, info_name="ordernpay")
    blocks: list[Block] = []
    for name in COMMANDS:
        command = main.get_command(context, name)
        if command is not None:
            blocks += _command(click.Context(command, parent=context, info_name=name), command)
    return Page(
        "ordernpay",
        1,
        "orders from any kiosk app to any point of sale",
        [
            Section("SYNOPSIS", ["`ordernpay` COMMAND [OPTION]... [ARGUMENT]...", *_synopsis(context)]),
            Section("DESCRIPTION", DESCRIPTION),
            Section("COMMANDS", blocks),
            Section("OPTIONS", _options(context, main)),
            Section("EXIT STATUS", EXIT_STATUS),
            Section("ENVIRONMENT", ENVIRONMENT),
            Section("FILES", FILES),
            Section("EXAMPLES", EXAMPLES),
            Section("SEE ALSO", [SEE_ALSO]),
        ],
    )


def _synopsis(context: click.Context) -> list[Block]:
    lines = []
    for name in COMMANDS:
        command = main.get_command(context, name)
        if command is not None:
            pieces = " ".join(command.collect_usage_pieces(click.Context(command, parent=context, info_name=name)))
            lines.append(f"ordernpay {name} {pieces}")
    return [Example("\n".join(lines))]


def _command(context: click.Context, command: click.Command) -> list[Block]:
    pieces = " ".join(command.collect_usage_pieces(context))
    blocks: list[Block] = [Under(f"{context.info_name} {pieces}")]
    blocks += _prose(command.help or "")
    blocks += _options(context, command)
    return blocks + _prose(command.epilog or "")


def _options(context: click.Context, command: click.Command) -> list[Block]:
    """The options, but for the one that every command has."""
    options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    records = [param.get_help_record(context) for param in options if "--help" not in param.opts or command is main]
    return [Term(f"`{name}`", meaning) for name, meaning in filter(None, records)]


def _prose(text: str) -> list[Block]:
    """A command's help: paragraphs, and what begins with click's mark for lines that stay as they are."""
    blocks: list[Block] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if not paragraph.strip():
            continue
        if not paragraph.startswith("\b"):
            blocks.append(paragraph)
            continue
        first, *rest = paragraph.removeprefix("\b").strip("\n").splitlines()
        blocks += [first, Example(inspect.cleandoc("\n".join(["", *rest])))]
    return blocks
