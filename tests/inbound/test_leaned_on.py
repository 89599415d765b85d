"""Parts of uvicorn, h11, websockets and asyncio that the HTTP server leans on without their being documented.

What they do for us is held fast by the other tests. This one says at once which of them has moved with a new version.
"""

import asyncio
import inspect
import logging
import ssl
from asyncio import sslproto
from collections.abc import Iterator
from importlib.metadata import version

import h11
import pytest
import uvicorn
from uvicorn.protocols.http import h11_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.websockets import websockets_sansio_impl
from uvicorn.server import ServerState

from tests.test_house import PROJECT


@pytest.fixture
def config() -> Iterator[uvicorn.Config]:
    level = logging.getLogger("uvicorn.error").level

    async def answer(scope: object, receive: object, send: object) -> None: ...

    told = uvicorn.Config(answer, interface="asgi3", lifespan="off", log_config=None, log_level=logging.CRITICAL)
    told.load()
    yield told
    logging.getLogger("uvicorn.error").setLevel(level)


def overridden_signature(owner: type, name: str) -> list[str]:
    return list(inspect.signature(getattr(owner, name)).parameters)


def test_uvicorn_is_pinned_to_the_version_whose_insides_are_known() -> None:
    [wanted] = [one for one in PROJECT["project"]["dependencies"] if one.startswith("uvicorn")]
    assert wanted == "uvicorn>=0.54,<0.55"
    assert version("uvicorn").startswith("0.54.")


async def test_uvicorns_http(config: uvicorn.Config) -> None:
    protocol = h11_impl.H11Protocol(config, ServerState(), {"connection": 1}, asyncio.get_running_loop())
    assert issubclass(h11_impl.H11Protocol, asyncio.Protocol)
    assert protocol.app_state == {"connection": 1}
    assert protocol.conn.their_state is h11.IDLE
    assert protocol.conn.trailing_data == (b"", False)
    for name, parameters in {
        "connection_made": ["self", "transport"],
        "connection_lost": ["self", "exc"],
        "data_received": ["self", "data"],
        "on_response_complete": ["self"],
        "handle_websocket_upgrade": ["self", "event"],
        "shutdown": ["self"],
    }.items():
        assert overridden_signature(h11_impl.H11Protocol, name) == parameters, name
    flow = FlowControl(asyncio.Transport())
    assert flow.read_paused is False
    source = inspect.getsource(h11_impl.RequestResponseCycle)
    assert "self.on_response()" in source
    assert "not self.keep_alive" in source
    assert '"state": self.app_state.copy()' in inspect.getsource(h11_impl.H11Protocol)
    upgrade = inspect.getsource(h11_impl.H11Protocol.handle_websocket_upgrade)
    assert "app_state=self.app_state" in upgrade
    assert "protocol.data_received" in upgrade  # the whole head, in one call


async def test_uvicorns_websockets(config: uvicorn.Config) -> None:
    owner = websockets_sansio_impl.WebSocketsSansIOProtocol
    protocol = owner(config, ServerState(), {"connection": 1}, asyncio.get_running_loop())
    assert protocol.app_state == {"connection": 1}
    assert protocol.handshake_initiated is False
    assert protocol.writable.is_set()
    assert protocol.queue.empty()
    assert protocol.conn.data_to_send() == []
    assert (protocol.frames, protocol.curr_msg_data_type) == ([], "bytes")
    assert protocol.conn.parser_exc is None
    assert protocol.conn.reader.buffer == b""
    for name, parameters in {
        "connection_lost": ["self", "exc"],
        "data_received": ["self", "data"],
        "handle_ping": ["self"],
        "send_receive_event_to_app": ["self"],
        "handle_parser_exception": ["self"],
        "keepalive_timeout": ["self"],
        "shutdown": ["self"],
    }.items():
        assert overridden_signature(owner, name) == parameters, name
    assert "handshake_initiated = True" in inspect.getsource(owner.handle_connect)


def test_uvicorns_state_of_a_server() -> None:
    state = ServerState()
    assert (state.connections, state.tasks, state.default_headers) == (set(), set(), [])


async def test_asyncios_tls() -> None:
    owner = sslproto.SSLProtocol
    assert owner.max_size == 256 * 1024
    protocol = owner(
        asyncio.get_running_loop(),
        asyncio.Protocol(),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        None,  # type: ignore[arg-type]
        server_side=True,
        ssl_handshake_timeout=5,
        ssl_shutdown_timeout=2,
    )
    assert isinstance(protocol, asyncio.BufferedProtocol)
    assert protocol._ssl_reading_paused is False  # type: ignore[attr-defined]
    assert len(protocol.get_buffer(-1)) == owner.max_size
    protocol.connection_lost(None)
    for name, parameters in {
        "connection_made": ["self", "transport"],
        "connection_lost": ["self", "exc"],
        "buffer_updated": ["self", "nbytes"],
    }.items():
        assert overridden_signature(owner, name) == parameters, name
