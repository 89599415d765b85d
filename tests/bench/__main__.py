"""What the daemon costs beside its floors: ``python -m tests.bench [--rounds N] [--json FILE] [SCENARIO …]``.

Each scenario measures the daemon and its floor or baseline in turns within one run, so that a busy machine slows both.
Read the ratios; the times are only those of this machine at this moment.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench import floors, growth, listening
from tests.bench.driving import (
    Load,
    Program,
    Rpc,
    closed_loop,
    create,
    daemon,
    free_port,
    open_loop,
    running,
    update,
    wait_for,
)

Figures = dict[str, float]
MS: Final = 1000.0


def median(loads: list[Load], name: str) -> float:
    """Return the median of one figure over the rounds."""
    values: list[float] = [getattr(load, name) for load in loads]
    return statistics.median(values)


@contextmanager
def till_and_daemon(folder: Path) -> Iterator[tuple[Program, str]]:
    """Run a till that answers at once and a daemon that dials it."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}/"
    table = {
        "vendor": "order-n-pay",
        "role": "dial",
        "url": url,
        "provider_id": 1,
        "provider_name": "P",
        "device_id": "D",
        "user": "1",
    }
    with running(folder, "tests.bench.peers", "pos", str(port)), daemon(folder, {"bar": table}) as program:
        rpc = Rpc(program.socket)
        while rpc.call("session.get", session="bar")["session"]["state"] != "up":
            time.sleep(0.05)
        rpc.close()
        yield program, url


def commands(folder: Path, rounds: int) -> Figures:
    """Measure one durable command of Order N Pay with 1, 8 and 64 in flight, beside the least code and the bare parts."""
    with ExitStack() as stack:
        own, url = stack.enter_context(till_and_daemon(folder))
        path = str(folder / "least")
        process = stack.enter_context(running(folder, "tests.bench.least", path, url, str(folder / "least.sqlite3")))
        wait_for(path, process)
        least = Program(process.pid, path)
        parts: list[tuple[float, float, float]] = []
        loads: dict[tuple[str, int], list[Load]] = {}
        flushes: list[float] = []
        for number in range(rounds + 1):
            measured = (asyncio.run(floors.websocket(url)), floors.line(own.socket), floors.commit(folder))
            for width, count in ((1, 300), (8, 1200), (64, 2000)):
                for name, program in (("least", least), ("own", own)):
                    before = own.metric("ordernpay_journal_flushes_total") if name == "own" else 0.0
                    load = closed_loop(program.socket, program.pid, "order.update", update, count=count, width=width)
                    if number:  # the first round warms up
                        loads.setdefault((name, width), []).append(load)
                    if number and name == "own" and width == 64:
                        flushes.append((own.metric("ordernpay_journal_flushes_total") - before) / count)
            if number:
                parts.append(measured)
        half = median(loads["own", 64], "rate") / 2
        opened = asyncio.run(open_loop(own.socket, own.pid, "order.update", update, rate=half, seconds=5))
    floor = sum(
        statistics.median(part) * times for part, times in zip(zip(*parts, strict=True), (1, 1, 2), strict=True)
    )
    figures = {
        "floor p50 ms, 1 in flight": floor * MS,
        "least p50 ms, 1 in flight": median(loads["least", 1], "p50") * MS,
        "p50 ms, 1 in flight": median(loads["own", 1], "p50") * MS,
        "p50 over the floor, ms": (median(loads["own", 1], "p50") - floor) * MS,
        "flushes a command, 64 in flight": statistics.median(flushes),
        "open loop at half the rate, p50 ms": opened.p50 * MS,
        "open loop at half the rate, p99 ms": opened.p99 * MS,
    }
    for width in (1, 8, 64):
        ours, theirs = loads["own", width], loads["least", width]
        figures |= {
            f"rate, {width} in flight": median(ours, "rate"),
            f"rate / least, {width} in flight": median(ours, "rate") / median(theirs, "rate"),
            f"processor ms, {width} in flight": median(ours, "processor") * MS,
            f"processor / least, {width} in flight": median(ours, "processor") / median(theirs, "processor"),
        }
    return figures


def rest(folder: Path, rounds: int) -> Figures:
    """Measure an ``order.create`` of ROS beside a bare POST over a kept connection."""
    port = free_port()
    table = {
        "vendor": "ros",
        "auth_url": f"http://127.0.0.1:{port}/token",
        "organisation": "ORG",
        "client_id": "c",
        "client_secret": "s",
        "outlet_id": "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02",
        "provider_id": 1,
        "provider_name": "P",
    }
    with running(folder, "tests.bench.peers", "ros", str(port)), daemon(folder, {"courier": table}) as own:
        bare, loads = [], dict[int, list[Load]]()
        for number in range(rounds + 1):
            took = asyncio.run(floors.rest(f"http://127.0.0.1:{port}/add"))
            for width, count in ((1, 200), (8, 500)):
                load = closed_loop(own.socket, own.pid, "order.create", create, count=count, width=width)
                if number:
                    loads.setdefault(width, []).append(load)
            if number:
                bare.append(took)
        commit = floors.commit(folder)
    post = statistics.median(bare)
    return {
        "bare POST p50 ms": post * MS,
        "p50 ms, 1 in flight": median(loads[1], "p50") * MS,
        "p50 / (POST + 2 commits)": median(loads[1], "p50") / (post + 2 * commit),
        "rate, 8 in flight": median(loads[8], "rate"),
        "processor ms, 8 in flight": median(loads[8], "processor") * MS,
        "processor / bare POST, 8 in flight": median(loads[8], "processor") / post,
    }


def events(folder: Path, rounds: int) -> Figures:
    """Measure what 1 and 200 subscribers cost the commands that they hear of."""
    figures: Figures = {}
    with till_and_daemon(folder) as (own, _):
        for number in range(rounds + 1):
            for subscribers in (0, 1, 200):
                with _subscribers(own, subscribers) as heard:
                    began = time.perf_counter()
                    load = closed_loop(own.socket, own.pid, "order.update", update, count=400, width=8)
                    while subscribers and min(heard) < 400:
                        time.sleep(0.01)
                    took = time.perf_counter() - began
                if number == rounds:
                    figures[f"command p50 ms, {subscribers} subscribers"] = load.p50 * MS
                    if subscribers:
                        figures[f"events a second to {subscribers}"] = 400 * subscribers / took
    figures["p50, 200 subscribers / none"] = (
        figures["command p50 ms, 200 subscribers"] / figures["command p50 ms, 0 subscribers"]
    )
    return figures


@contextmanager
def _subscribers(own: Program, count: int) -> Iterator[list[int]]:
    heard = [0] * count
    connections = [Rpc(own.socket) for _ in range(count)]

    def listen(number: int) -> None:
        try:
            while True:
                heard[number] += connections[number].message().get("method") == "event"
        except (OSError, ValueError):
            return

    for rpc in connections:
        rpc.call("event.subscribe")
    threads = [threading.Thread(target=listen, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        for rpc in connections:
            rpc.shut()


SCENARIOS: Final[dict[str, Callable[[Path, int], Figures]]] = {
    "commands": commands,
    "rest": rest,
    "events": events,
    "webhooks": listening.webhooks,
    "growth": growth.growth,
    "sessions": listening.sessions,
}


def main() -> int:
    """Run the scenarios, print a table each, and write all figures as JSON where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="one of: " + ", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    results: dict[str, Figures] = {}
    for name in asked.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results[name] = SCENARIOS[name](Path(folder), asked.rounds)
        _print(name, results[name])
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


def _print(name: str, figures: Figures) -> None:
    table = Table("figure", "", title=name, title_justify="left")
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
