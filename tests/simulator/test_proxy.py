"""The breakable network that other tests rely on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.simulator.requests import until
from tests.support.proxy import Direction, TcpProxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[tuple[TcpProxy, asyncio.Queue[asyncio.StreamWriter]]]:
    """A proxy before a server that sends back what it gets."""
    served: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.put_nowait(writer)
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, asyncio.timeout(10), TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy, served


@contextlib.asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def echoes(streams: Streams, text: bytes) -> bool:
    streams[1].write(text)
    return await streams[0].readexactly(len(text)) == text


async def test_bytes_go_both_ways_and_are_counted() -> None:
    async with echoing() as (proxy, _), connected(proxy) as streams:
        assert await echoes(streams, b"x" * 1_000_000)
        assert proxy.carried == {Direction.TO_SERVER: 1_000_000, Direction.TO_CLIENT: 1_000_000}
        assert (proxy.connections, proxy.accepted) == (1, 1)
        streams[1].write_eof()
        assert await streams[0].read() == b""
        await until(lambda: proxy.connections == 0)


async def test_drop_resets_every_connection() -> None:
    async with echoing() as (proxy, _), connected(proxy) as one, connected(proxy) as two:
        assert await echoes(one, b"a")
        assert await echoes(two, b"b")
        proxy.drop()
        for reader, _writer in (one, two):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        async with connected(proxy) as three:
            assert await echoes(three, b"c")


async def test_a_black_hole_swallows_and_keeps_connections_open() -> None:
    async with echoing() as (proxy, served), connected(proxy) as losing, connected(proxy) as idle:
        assert await echoes(losing, b"a")
        assert await echoes(idle, b"b")
        proxy.blackhole()
        losing[1].write(b"lost")
        async with connected(proxy) as new:
            new[1].write(b"lost too")
            await until(lambda: proxy.swallowed == len(b"lost" + b"lost too"))
            served.get_nowait().write(b"lost as well")
            await until(lambda: proxy.swallowed > len(b"lost" + b"lost too"))
            assert not any(reader.at_eof() for reader, _ in (losing, idle, new))
            proxy.restore()
            assert await echoes(idle, b"here again")
            async with connected(proxy) as newer:
                assert await echoes(newer, b"here too")
        assert proxy.carried[Direction.TO_SERVER] == len(b"ab" + b"here again" + b"here too")


async def test_an_end_in_a_black_hole_is_not_seen_before_it_is_restored() -> None:
    async with echoing() as (proxy, served):
        async with connected(proxy) as streams:
            assert await echoes(streams, b"a")
            far_end = served.get_nowait()
            proxy.blackhole()
        async with connected(proxy):
            await until(lambda: proxy.accepted == 2)  # what came before it was met before it
        assert not far_end.is_closing()
        proxy.restore()
        await until(lambda: proxy.connections == 0)
        await until(far_end.is_closing)


async def test_refuse_and_accept_keep_the_port() -> None:
    async with echoing() as (proxy, _), connected(proxy) as staying:
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await echoes(staying, b"still up")
        proxy.accept()
        assert proxy.port == port
        async with connected(proxy) as new:
            assert await echoes(new, b"back")


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("n_bytes", [0, 3])
async def test_cut_after_so_many_bytes(direction: Direction, n_bytes: int) -> None:
    async with echoing() as (proxy, _), connected(proxy) as streams:
        assert await echoes(streams, b"before")
        proxy.cut_after(n_bytes, direction)
        streams[1].write(b"123456")
        with pytest.raises(ConnectionResetError):
            await streams[0].read()
        assert proxy.carried[direction] == len(b"before") + n_bytes
        async with connected(proxy) as next_one:
            assert await echoes(next_one, b"uncut once more")


async def test_latency_holds_each_way() -> None:
    async with echoing() as (proxy, _), connected(proxy) as streams:
        proxy.latency(0.05)
        started = asyncio.get_running_loop().time()
        assert await echoes(streams, b"ping")
        assert asyncio.get_running_loop().time() - started >= 0.1


async def test_a_target_that_is_not_there_resets() -> None:
    async with echoing() as (proxy, _):
        gone = proxy.port
    async with TcpProxy("127.0.0.1", gone) as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_everything_ends_with_the_context() -> None:
    before = asyncio.all_tasks()
    async with TcpProxy("127.0.0.1", 9) as idle, echoing() as (proxy, _), connected(proxy) as streams:
        assert await echoes(streams, b"a")
        proxy.blackhole()
        assert idle.connections == 0
    await until(lambda: asyncio.all_tasks() <= before)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
