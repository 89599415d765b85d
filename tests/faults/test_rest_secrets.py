"""No secret of a REST vendor reaches a log, a journal, an event, an error or a metric, whatever goes wrong."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx

from ordernpay.simulator.ros.notices import Verdict
from tests.support import rest
from tests.support.dying import DyingDaemon
from tests.support.poster import Post, by_doshii, post
from tests.support.rest import ask, order


async def test_no_secret_is_found_in_anything_that_a_daemon_has_written(artifacts: Path) -> None:
    said: list[Any] = []
    async with contextlib.AsyncExitStack() as stack:
        ros = await stack.enter_async_context(rest.serve_ros())
        tevalis = await stack.enter_async_context(rest.serve_tevalis())
        doshii = await stack.enter_async_context(rest.serve_doshii())
        places: dict[str, tuple[str, Any]] = {
            "courier": ("ros", ros),
            "hotel": ("tevalis", tevalis),
            "cafe": ("doshii", doshii),
        }
        config = rest.config(
            artifacts,
            {
                "courier": rest.ros_session(ros),
                "hotel": rest.tevalis_session(tevalis),
                "cafe": rest.doshii_session(doshii),
                "refused-courier": rest.ros_session(ros, client_secret="PLANTED-wrong-secret"),
                "refused-hotel": rest.tevalis_session(tevalis, guid="PLANTED-wrong-guid"),
                "refused-cafe": rest.doshii_session(doshii, client_secret="PLANTED-wrong-secret"),
                "gone-hotel": rest.tevalis_session(tevalis, base_url="http://127.0.0.1:1"),
                "gone-courier": rest.ros_session(ros, auth_url="http://127.0.0.1:1/token"),
                "gone-cafe": rest.doshii_session(
                    doshii, base_url="http://127.0.0.1:1/x", socket_url="ws://127.0.0.1:1/"
                ),
            },
        )
        daemon = DyingDaemon(artifacts, config)
        stack.push_async_callback(daemon.kill)
        await daemon.start_to_die("", "--log-level", "debug")
        socket = config["rpc"]["socket"]
        ros.webhooks.url = rest.door(config, "/webhooks/ros/courier")
        for name, (vendor, simulator) in places.items():
            own = {"ros": rest.ROS_SECRET, "tevalis": rest.TEVALIS_GUID, "doshii": rest.DOSHII_SECRET}
            echo = json.dumps({"message": f"refused: {own[vendor]}"}).encode()
            for fault, more in (
                *(("cut_after", {}), ("cut_before", {}), ("cut_during", {}), ("garbage", {}), ("silent", {})),
                *(("status", {"status": status, "body": echo}) for status in (400, 401, 403, 500, 503)),
                (None, {}),
            ):
                if fault is not None:
                    simulator.faults.plan(fault, method="POST", **more)
                call = {"session": name, "timeout": 0.5, "order": order(vendor)}
                said.append((await ask(socket, "order.create", **call)).body)
                simulator.faults.clear()
            for refused in (f"refused-{name}", f"gone-{name}"):
                told = await ask(socket, "order.create", session=refused, timeout=0.4, order=order(vendor))
                assert not told.ok
                said.append(told.body)
        await ros.notify(ros.processed(Verdict(ros.foreign("X"))))
        await ros.webhooks.forged(ros.processed(Verdict(ros.foreign("Y"))))
        await post(rest.door(config, "/webhooks/doshii/cafe"), by_doshii(b'{"event": "x", "data": {}}'))
        await post(rest.door(config, "/webhooks/doshii/cafe"), Post(b"{}", (("Authorization", "Basic PLANTED-guess"),)))
        said += [await rest.read(socket, method) for method in ("session.list", "command.list", "daemon.status")]
        said += await rest.events(socket)
        async with httpx.AsyncClient(trust_env=False) as client:
            said += [(await client.get(rest.door(config, path))).text for path in ("/metrics", "/readyz")]

        assert await daemon.terminate() == 0
        tokens = {
            heard.headers["authorization"].split(" ", 1)[1]
            for simulator in (ros, doshii)
            for heard in simulator.server.heard
            if "authorization" in heard.headers
        }
    assert len(tokens) > 2
    pair = base64.b64encode(f"{rest.DOSHII_KEY}:{rest.DOSHII_TOKEN}".encode()).decode()
    needles = {"PLANTED-", pair, *tokens, *(token.rsplit(".", 1)[1] for token in tokens)}
    written = {"what was said": json.dumps(said, default=str).encode()}
    written |= _files(artifacts)
    assert any("state" in name for name in written)
    assert any(b"command_ended" in text for text in written.values())
    assert any(b'"level": "debug"' in text for text in written.values())
    found = [(name, needle[:12]) for name, text in written.items() for needle in needles if needle.encode() in text]
    assert found == []


def _files(directory: Path) -> dict[str, bytes]:
    """All but the configuration itself."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != "ordernpay.toml")
    return {str(path): path.read_bytes() for path in files}
