"""ordernpay.service(8): the daemon as systemd runs it."""

from typing import Final

from ordernpay.cli.manual.roff import Example, Page, Section, Term, Under

DESCRIPTION: Final = (
    (
        "`ordernpay.service` runs `ordernpay run`, the daemon between kiosk apps and points of sale. `ordernpay.socket` holds "
        "its local socket, so that connections queue while the service is restarted or upgraded, instead of being refused."
    ),
    (
        "The service is ready once its journal is replayed and its socket is served, whether or not any point of sale can be "
        "reached; `systemctl status ordernpay` shows how many sessions are up and how many commands are unknown. It is restarted "
        "whenever it ends, and when it does not show systemd's watchdog that it still moves on."
    ),
    (
        "What was under way when it ended, however it ended, is in the journal: the next start goes on with it while its timeout "
        "lasts. Else it ends `failed` if it was never sent and `unknown` if it was."
    ),
)

SIGNALS: Final = (
    Term(
        "`SIGTERM`, `SIGINT`",
        "Stop: no new command is taken, those under way may end within `daemon.drain_seconds`, the "
        "rest is left to the next start. Exit status 0. What `systemctl stop` does.",
    ),
    Term(
        "`SIGHUP`",
        "Read the configuration again: sessions and access rules that have changed come into force, sessions "
        "that have not are left alone. A file that cannot be used is refused and the old one stays in force; `ordernpay "
        "status`, `systemctl status` and the log say so. What `systemctl reload` does, which also fails then.",
    ),
    Term("`SIGKILL`", "Harms nothing, like a power cut."),
)

EXIT_STATUS: Final = (
    Term("0", "Stopped as told."),
    Term(
        "1",
        "It could not start: the journal or the socket is in use by another daemon, the journal cannot be written or "
        "is of a newer version, or [inbound] cannot listen. The last line of the log says which.",
    ),
    Term("78", "The configuration cannot be used."),
)

FILES: Final = (
    Term("`/etc/ordernpay/ordernpay.toml`", "The configuration, see ordernpay.toml(5)."),
    Term(
        "`/etc/ordernpay/credentials/`, `/etc/ordernpay/credentials.encrypted/`",
        "Secrets, a file each, for root alone; see CREDENTIALS.",
    ),
    Term(
        "`/run/ordernpay/ordernpay.sock`", "The local socket, held by `ordernpay.socket`; group `ordernpay`, mode 0660."
    ),
    Term(
        "`/var/lib/ordernpay/`",
        "The journal; for the daemon's user alone. A journal found damaged is moved aside here as "
        "`journal.sqlite3.damaged-`...",
    ),
    Term(
        "`/opt/ordernpay/releases/`, `/opt/ordernpay/current`",
        "What is installed, a directory for each release, and the one in use.",
    ),
)

CREDENTIALS: Final = (
    (
        'A secret that the configuration names `{ credential = "NAME" }` is the content of `/etc/ordernpay/credentials/NAME`. '
        "systemd reads it as root and hands the daemon a copy that no other user can read; it stands in no environment, no unit "
        "and no command line. Credentials are fixed for a run: a new one needs `systemctl restart ordernpay`."
    ),
    Example(
        "install -m 0600 /dev/stdin /etc/ordernpay/credentials/bar-auth-secret\n"
        "ordernpay check\n"
        "systemctl restart ordernpay"
    ),
    (
        "In `/etc/ordernpay/credentials.encrypted/` the same stands encrypted to this machine, so that a disk that is stolen "
        "tells nothing; see systemd-creds(1). A file there is made by:"
    ),
    Example("systemd-creds encrypt --name= - /etc/ordernpay/credentials.encrypted/bar-auth-secret"),
    "As root, `ordernpay check` and `ordernpay doctor` look there too.",
)

ACCOUNTS: Final = (
    Term("user `ordernpay`, group `ordernpay-daemon`", "The daemon. Nobody else is in this group."),
    Term(
        "group `ordernpay`",
        "Users of kiosk apps: who may open the socket, and nothing more. `adduser USER ordernpay`, then log in again.",
    ),
    Term(
        "group `ordernpay-admin`",
        "Who may also reconnect sessions, resolve commands and send a vendor's own requests; set as `rpc.admin_group`.",
    ),
)

TROUBLE: Final = (
    "Begin with `ordernpay doctor`, as root: it says what is wrong and what to do. Then:",
    Under("A session is down or refused"),
    "`ordernpay status` says why, in words. It is tried again by itself.",
    Under("A command is unknown"),
    (
        "It was sent and not answered, and may have acted. Look at the till, then `ordernpay call command.resolve`; "
        "`ordernpay commands ID` shows the two ways out."
    ),
    Under("The service does not start"),
    Example("journalctl -u ordernpay -b -n 50\nordernpay check"),
)

EXAMPLES: Final = (
    "The log of one session, a line for each event:",
    Example('journalctl -u ordernpay -o cat | grep \'"session": *"bar"\''),
    "A changed configuration, into force:",
    Example("ordernpay check && systemctl reload ordernpay"),
    "Health, for a watchman of your own:",
    Example("curl -fsS http://127.0.0.1:8710/readyz"),
)


def page() -> Page:
    """The page."""
    return Page(
        "ordernpay.service",
        8,
        "the order daemon under systemd",
        [
            Section("SYNOPSIS", ["`ordernpay.service`", "`ordernpay.socket`"]),
            Section("DESCRIPTION", DESCRIPTION),
            Section("SIGNALS", SIGNALS),
            Section("EXIT STATUS", EXIT_STATUS),
            Section("FILES", FILES),
            Section("CREDENTIALS", CREDENTIALS),
            Section("USERS AND GROUPS", ACCOUNTS),
            Section("WHAT TO DO", TROUBLE),
            Section("EXAMPLES", EXAMPLES),
            Section(
                "SEE ALSO",
                ["ordernpay(1), ordernpay.toml(5), systemd.exec(5), systemd-creds(1), systemctl(1), journalctl(1)"],
            ),
        ],
    )
