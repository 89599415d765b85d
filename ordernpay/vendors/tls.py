"""TLS to a vendor: whom we trust, what we show, and in words for people why it did not come about."""

import os
import ssl
from typing import Final

import httpx
from attrs import field, frozen

from ordernpay.config import SessionConfig

_NO_TLS: Final = "what answers there speaks no TLS: check the port, or whether the address is one of ws:// or http://"
_NO_PLAIN: Final = "what answers there speaks TLS: the address has to begin with wss:// or https://"
_SHOW_ONE: Final = "set client_certificate and client_key"
_NOT_OURS: Final = "the other end does not accept our client_certificate"
_WORDS: Final = (
    (
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"),
        _NO_TLS,
    ),
    (("CERTIFICATE_REQUIRED",), f"the other end wants a client certificate: {_SHOW_ONE}"),
    (
        (
            "ALERT_UNKNOWN_CA",
            "ALERT_BAD_CERTIFICATE",
            "ALERT_UNSUPPORTED_CERTIFICATE",
            "ALERT_CERTIFICATE_",
            "ALERT_ACCESS_DENIED",
        ),
        _NOT_OURS,
    ),
    (("HANDSHAKE_FAILURE",), f"the other end refused the TLS handshake; if it wants a client certificate, {_SHOW_ONE}"),
    (
        ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS"),
        "the other end speaks no TLS of version 1.2 or newer",
    ),
    (("UNRECOGNIZED_NAME",), "the other end has no certificate for the name in the address"),
)
TLS_RECORDS: Final = ("\\x15\\x03", "\x15\x03")
"""How a TLS alert begins, shown or as it is."""


class Unusable(OSError):
    """A file or a key of the configuration that TLS cannot use; the text names it."""


@frozen
class ClientTls:
    """What a session brings along for TLS.

    Attributes:
        ca_file: authorities to trust beside the system's.
        certificate: file of the certificate that we show, with its chain.
        key: its key, PEM.
    """

    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: SessionConfig) -> "ClientTls":
        """As a session's configuration says."""
        key = config.client_key
        return cls(config.ca_file, config.client_certificate, None if key is None else key.reveal())

    def context(self) -> ssl.SSLContext:
        """The system's authorities, those of a file beside them, and our certificate; raises `Unusable`."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:  # ssl.SSLError is one
                raise Unusable(f"ca_file {self.ca_file}: cannot be used ({_why(error)})") from None
        if self.certificate is not None and self.key is not None:
            self._show(context, self.certificate, self.key)
        return context

    @staticmethod
    def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
        try:
            with open(certificate, "rb"):  # noqa: PTH123 - only to tell which of the two files it is
                pass
        except OSError as error:
            raise Unusable(f"client_certificate {certificate}: cannot be used ({_why(error)})") from None
        memory = os.memfd_create("client_key", os.MFD_CLOEXEC)  # OpenSSL takes a path alone, and a key is no file here
        try:
            os.write(memory, key.encode())
            context.load_cert_chain(certificate, f"/proc/self/fd/{memory}", password=lambda: "")
        except OSError as error:
            both = f"client_certificate {certificate} and client_key: cannot be used together"
            raise Unusable(f"{both} ({_why(error)})") from None
        finally:
            os.close(memory)

    def reason(self, error: BaseException, *, secure: bool, sent: bool = False) -> str:
        """What is known of a failure without its text, which may hold an address with its query.

        Args:
            error: the failure, with what it came from.
            secure: whether TLS was wanted.
            sent: whether a connection stood that was good enough to send an order over; then no hint is given.
        """
        cause, texts = error, [str(error)]
        while not isinstance(cause, Unusable) and (below := cause.__cause__ or cause.__context__) is not None:
            cause = below
            texts.append(str(cause))
        if isinstance(cause, Unusable):
            return str(cause)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return _words(cause)
        if not secure and any(record in text for record in TLS_RECORDS for text in texts):
            return _NO_PLAIN
        if _hung_up(error, cause) and not sent:
            return f"it hung up without a word (connection lost); {self._hint(secure=secure)}"
        text = getattr(cause, "strerror", None)
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    def _hint(self, *, secure: bool) -> str:
        if not secure:
            return "if it speaks TLS, use wss:// or https://"
        if self.certificate is None:
            return f"if it wants a client certificate, {_SHOW_ONE}"
        return "it may not accept our client_certificate"


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or type(error).__name__).lower().replace("_", " ")
    return error.strerror or type(error).__name__


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate not accepted: {error.verify_message}"
    reason = error.reason or type(error).__name__
    words = next((words for names, words in _WORDS if any(name in reason for name in names)), None)
    return words or f"TLS failed: {reason.lower().replace('_', ' ')}"


def _hung_up(error: BaseException, cause: BaseException) -> bool:
    """Whether the other end closed the connection instead of answering."""
    if isinstance(error, httpx.RemoteProtocolError):
        return str(error).startswith("Server disconnected")
    return isinstance(cause, EOFError | ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionResetError)
