"""The way to a vendor, step by step, each with a deadline: name, connection, TLS, time. Nothing is sent but `HEAD /`.

A step that fails ends the way, but for TLS: what a server shows is looked at even where it is not to be trusted, since
that tells what is wrong with it. No secret goes there.
"""

import os
import re
import socket
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Final

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
from anyio.streams.tls import TLSAttribute, TLSStream
from attrs import frozen

from ordernpay.certificates import Certificate, of_peer

DEADLINE: Final = 5.0
"""Seconds for each step."""

MOST_HEAD: Final = 16_384
_DATE: Final = re.compile(rb"^date:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


class NoWay(Exception):
    """A step that failed; the text says how, in a few words."""


@frozen
class Shown:
    """What a server has shown.

    Attributes:
        certificate: None where it spoke no TLS.
        refusal: why its certificate is not to be trusted; None where it is.
        ahead: seconds by which this machine's clock is ahead of its; None where it did not tell the time.
    """

    certificate: Certificate | None = None
    refusal: ssl.SSLCertVerificationError | None = None
    ahead: float | None = None


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host; raises `NoWay`.

    In a thread of its own, which nobody waits for: a resolver can take half a minute to give up.
    """
    done, found, failed = anyio.Event(), list[str](), list[str]()
    token = anyio.lowlevel.current_token()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or type(error).__name__)
        try:
            anyio.from_thread.run_sync(done.set, token=token)
        except anyio.RunFinishedError:
            return

    threading.Thread(target=look_up, daemon=True).start()
    with anyio.move_on_after(DEADLINE):
        await done.wait()
    if failed or not found:
        raise NoWay(failed[0] if failed else f"no answer from DNS within {DEADLINE:g} s")
    return found


async def reach(addresses: list[str], port: int) -> str:
    """The first of some addresses that takes a connection, all tried at once; raises `NoWay`."""
    won: list[str] = []
    failed: list[str] = []
    with anyio.move_on_after(DEADLINE):
        async with anyio.create_task_group() as tasks:

            async def attempt(address: str) -> None:
                try:
                    await (await anyio.connect_tcp(address, port)).aclose()
                except OSError as error:
                    failed.append(_reason(error))
                else:
                    won.append(address)
                    tasks.cancel_scope.cancel()

            for address in addresses:
                tasks.start_soon(attempt, address)
    if not won:
        raise NoWay(failed[0] if len(failed) == len(addresses) else f"no answer within {DEADLINE:g} s")
    return won[0]


async def visit(address: str, port: int, host: str, trust: ssl.SSLContext | None) -> Shown:
    """What the server shows of itself; raises `NoWay`.

    Args:
        address: where to connect to.
        port: likewise.
        host: the name under which it is known, for TLS and HTTP.
        trust: whose certificates count; None for a server without TLS.
    """
    if trust is None:
        return await _look(address, port, host, None)
    try:
        return await _look(address, port, host, trust)
    except ssl.SSLCertVerificationError as error:
        shown = await _look(address, port, host, _curious())
        return Shown(shown.certificate, error, shown.ahead)


def _curious() -> ssl.SSLContext:
    """For looking at a certificate that is not to be trusted."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _look(address: str, port: int, host: str, context: ssl.SSLContext | None) -> Shown:
    stream = await _open(address, port, host, context)
    try:
        certificate = of_peer(stream.extra(TLSAttribute.ssl_object, None))  # noqa: S610 - anyio's, not Django's
        return Shown(certificate, None, await _ahead(stream, host, port))
    finally:
        await anyio.aclose_forcefully(stream)


async def _open(address: str, port: int, host: str, context: ssl.SSLContext | None) -> anyio.abc.ByteStream:
    """Connect, with TLS where there is a context; raises `NoWay` and `ssl.SSLCertVerificationError`."""
    with anyio.move_on_after(DEADLINE):
        try:
            stream = await anyio.connect_tcp(address, port)
            return stream if context is None else await _secured(stream, host, context)
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise NoWay(_reason(error)) from None
    raise NoWay(f"no TLS within {DEADLINE:g} s")


async def _secured(stream: anyio.abc.ByteStream, host: str, context: ssl.SSLContext) -> TLSStream:
    try:
        return await TLSStream.wrap(stream, hostname=host, ssl_context=context, standard_compatible=False)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise


async def _ahead(stream: anyio.abc.ByteStream, host: str, port: int) -> float | None:
    """By how much this machine's clock is ahead of the server's; None where the server does not tell the time."""
    head = bytearray()
    with anyio.move_on_after(DEADLINE):
        try:
            began = time.time()
            name = f"[{host}]" if ":" in host else host
            await stream.send(f"HEAD / HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode("ascii"))
            while b"\r\n\r\n" not in head and len(head) < MOST_HEAD:
                head += await stream.receive()
        except (OSError, UnicodeError, anyio.EndOfStream, anyio.BrokenResourceError):
            pass
        ended = time.time()
    found = _DATE.search(bytes(head))
    if found is None:
        return None
    try:
        told = parsedate_to_datetime(found[1].decode("ascii")).timestamp() + 0.5  # it has no fractions
    except ValueError:
        return None
    return (began + ended) / 2 - told


def _reason(error: Exception) -> str:
    """What is known, in the system's own words; of a name that has several addresses, of the first."""
    cause: BaseException = error
    while (below := cause.__cause__) is not None:
        cause = below.exceptions[0] if isinstance(below, BaseExceptionGroup) else below
    if isinstance(cause, ssl.SSLZeroReturnError | ssl.SSLEOFError):
        return "the connection was closed at once"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS that this machine understands ({cause.reason or type(cause).__name__})"
    if isinstance(cause, anyio.EndOfStream | anyio.BrokenResourceError | ConnectionResetError):
        return "the connection was closed at once"
    number = getattr(cause, "errno", None)
    return os.strerror(number) if isinstance(number, int) else type(cause).__name__
