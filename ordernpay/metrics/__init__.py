"""What Prometheus is told. Names, labels and units are part of the public interface: the README lists them all."""

from typing import Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from ordernpay.journal import JournalUnavailable
from ordernpay.metrics.collected import Kept, Metrics
from ordernpay.metrics.lag import LoopLag
from ordernpay.metrics.process import Process

__all__ = ["Exposition", "Metrics"]

JOURNAL_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
COMMAND_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)


class Exposition:
    """A registry of this daemon's own: its figures, its histograms, its process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._registry.register(metrics)
        self._registry.register(Process(metrics.gateway.clock))
        self._lag = LoopLag(metrics.gateway.clock, self._registry)
        flush = Histogram(
            "ordernpay_journal_flush_seconds",
            "Time of one journal transaction",
            buckets=JOURNAL_BUCKETS,
            registry=self._registry,
        )
        whole = Histogram(
            "ordernpay_command_seconds",
            "Time from a command's acceptance to its outcome",
            ["method"],
            buckets=COMMAND_BUCKETS,
            registry=self._registry,
        )
        parts = Histogram(
            "ordernpay_stage_seconds",
            "Time that a journaled command waited for the journal in all, and for the vendor once it was sent",
            ["stage", "method"],
            buckets=tuple(sorted({*JOURNAL_BUCKETS, *COMMAND_BUCKETS})),
            registry=self._registry,
        )

        def observe(stage: str, method: str, seconds: float) -> None:
            histogram = whole.labels(method) if stage == "whole" else parts.labels(stage, method)
            histogram.observe(seconds)

        metrics.journal.flushes.observe = flush.observe
        metrics.gateway.counts.observe = observe

    async def measure_loop(self) -> None:
        """Measure how late the loop is, until cancelled."""
        await self._lag.run()

    async def text(self) -> bytes:
        """The page that Prometheus reads; without the journal's figures while it cannot be read."""
        journal = self._metrics.journal
        try:
            self._metrics.kept = Kept(
                await journal.figures(), await journal.unknown_by_session(), await journal.free_bytes()
            )
        except JournalUnavailable:
            self._metrics.kept = None
        return generate_latest(self._registry)
