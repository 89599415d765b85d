"""Figures that the daemon keeps anyway, collected when Prometheus asks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, get_args

from attrs import define, frozen
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ordernpay import __version__
from ordernpay.events import Events
from ordernpay.gateway import Gateway
from ordernpay.inbound import WEBHOOK_RESULTS, HttpDoor
from ordernpay.journal import Figures, Journal, Unsettled
from ordernpay.rpc.server import Stats
from ordernpay.vendors.protocol import Door, Session, SessionState

STATES: Final[tuple[SessionState, ...]] = get_args(SessionState)

Samples = Iterable[tuple[Sequence[str], float]]


@frozen
class Kept:
    """What only the journal's file can tell. `free_bytes`: left on its disk."""

    figures: Figures
    unknown: Mapping[str, Unsettled]
    free_bytes: int


@define(eq=False)
class Metrics(Collector):
    """The daemon as a collector. `kept` is refreshed before each collection; None while the journal cannot be read."""

    gateway: Gateway
    journal: Journal
    events: Events
    client_stats: Callable[[], Stats]
    held_back: Callable[[], int]
    http: Callable[[], HttpDoor | None] = lambda: None
    kept: Kept | None = None

    def collect(self) -> Iterable[Metric]:
        """Every figure that is not a histogram."""
        yield _gauge("build_info", "1, with the version", [((__version__,), 1)], "version")
        yield from self._sessions()
        yield from self._commands()
        yield from self._journal()
        if self.kept is not None:
            yield from self._in_the_journal(self.kept)
        yield from self._doors()
        yield from self._http_server()
        yield _counter("log_lines_held_back", "Lines of the log that were repeats", [((), self.held_back())])

    def _sessions(self) -> Iterable[Metric]:
        told = {name: session.status() for name, session in self.gateway.sessions.items()}
        states = [status.state for status in told.values()]
        yield _gauge("sessions", "Sessions by state", [((state,), states.count(state)) for state in STATES], "state")
        yield _gauge(
            "session_state",
            "1 for the state in which a session is",
            [((name, state), status.state == state) for name, status in told.items() for state in STATES],
            *("session", "state"),
        )
        yield _counter(
            "session_reconnects",
            "How often a session came up again after the first time",
            [((name,), max(0, status.counters.get("connections", 0) - 1)) for name, status in told.items()],
            "session",
        )
        yield _gauge(
            "certificate_expires_timestamp_seconds",
            "When the vendor's certificate ends that was last seen, in seconds since 1970; none where there is no TLS",
            [((name,), end) for name, status in told.items() if (end := status.certificate_expires) is not None],
            "session",
        )
        yield _counter(
            "session_events",
            "What happened on a session",
            [((name, what), count) for name, status in told.items() for what, count in status.counters.items()],
            *("session", "event"),
        )

    def _commands(self) -> Iterable[Metric]:
        counts = self.gateway.counts
        yield _counter(
            "commands", "Commands by how they ended", counts.outcomes.items(), *("session", "method", "outcome")
        )
        flying = dict.fromkeys(self.gateway.sessions, 0) | counts.in_flight
        yield _gauge("in_flight", "Commands under way", [((name,), count) for name, count in flying.items()], "session")

    def _journal(self) -> Iterable[Metric]:
        flushes = self.journal.flushes
        writable = flushes.broken is None
        yield _gauge("journal_writable", "0 while the journal cannot be written", [((), writable)])
        yield _gauge(
            "journal_stalled_seconds",
            "Time that the flush under way has taken until now; 0 where there is none",
            [((), flushes.under_way())],
        )
        yield _gauge("journal_waiting", "Operations that wait for the writer", [((), self.journal.waiting())])
        yield _counter("journal_flushes", "Transactions written", [((), flushes.batches)])
        yield _counter("journal_operations", "Operations written", [((), flushes.operations)])

    def _in_the_journal(self, kept: Kept) -> Iterable[Metric]:
        states, wall = kept.figures.states, self.gateway.clock.wall()
        yield _gauge("journal_commands", "Commands kept", [((one,), count) for one, count in states.items()], "state")
        yield _gauge("journal_bytes", "Size of the journal's files", [((), kept.figures.bytes)])
        yield _gauge("journal_wal_bytes", "Of that, its write-ahead log", [((), kept.figures.wal_bytes)])
        yield _gauge("journal_damaged", "Records and files that were set aside", [((), kept.figures.damaged)])
        yield _gauge("disk_free_bytes", "Space left for the journal", [((), kept.free_bytes)])
        unknown = dict.fromkeys(self.gateway.sessions, Unsettled(0, wall)) | dict(kept.unknown)
        yield _gauge(
            "unknown_commands",
            "Commands whose outcome nobody knows",
            [((name,), one.count) for name, one in unknown.items()],
            "session",
        )
        yield _gauge(
            "oldest_unknown_age_seconds",
            "Time since the oldest unknown command was accepted; 0 where there is none",
            [((name,), max(0.0, wall - one.oldest_at)) for name, one in unknown.items()],
            "session",
        )

    def _doors(self) -> Iterable[Metric]:
        yield _counter("events", "Events published", self.events.published.items(), *("session", "kind"))
        expected = [name for name, session in self.gateway.sessions.items() if _hears_webhooks(session)]
        webhooks = {(name, result): 0 for name in expected for result in WEBHOOK_RESULTS}
        told = webhooks | self.gateway.counts.webhooks
        yield _counter("webhooks", "Webhooks by what became of them", told.items(), *("session", "result"))
        dropped = dict.fromkeys(self.gateway.sessions, 0) | self.gateway.counts.dropped
        yield _counter(
            "late_words_dropped",
            "What a vendor said later of a command and could not be read",
            [((name,), count) for name, count in dropped.items()],
            "session",
        )
        stats = self.client_stats()
        yield _gauge("clients", "Local clients connected", [((), stats.now)])
        yield _counter("clients_connected", "Local clients that have connected", [((), stats.total)])
        yield _counter("clients_cut_off", "Local clients cut off", [((), stats.cut_off)])
        yield _counter("clients_refused", "Local clients refused, since there were too many", [((), stats.refused)])

    def _http_server(self) -> Iterable[Metric]:
        server = self.http()
        if server is None:
            return
        connections = server.connections
        now = [(("proved",), connections.proved), (("unproved",), connections.strangers)]
        yield _gauge(
            "http_connections", "Connections to the HTTP server, by whether they proved themselves", now, "state"
        )
        yield _counter("http_connections_accepted", "Connections accepted by it", [((), connections.accepted)])
        put_out = [((reason,), count) for reason, count in connections.put_out.items()]
        yield _counter("http_connections_put_out", "Unproved connections hung up on, by reason", put_out, "reason")
        if server.identity is not None:
            expires = server.identity.certificate.expires
            says = "When the certificate ends that the HTTP server shows, in seconds since 1970; none where it speaks no TLS"
            yield _gauge("certificate_shown_expires_timestamp_seconds", says, [((), expires)])


def _hears_webhooks(session: Session) -> bool:
    return any(isinstance(door, Door) and door.webhook for door in session.doors())


def _gauge(name: str, says: str, samples: Samples, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"ordernpay_{name}", says, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def _counter(name: str, says: str, samples: Samples, *labels: str) -> Metric:
    family = CounterMetricFamily(f"ordernpay_{name}", says, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family
