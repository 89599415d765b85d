"""Why a session is not up: every error that a session can tell becomes words that say what it is and what to do."""

import pytest

from ordernpay.rpc.reasons import CREDENTIALS, FIRST_TRY, NOBODY_CAME, OTHERWISE, SENTENCES, explained

CASES = [
    ("TLS certificate not accepted: certificate has expired", "has expired, or this machine's clock"),
    ("TLS certificate not accepted: certificate is not yet valid", "clock is most likely wrong"),
    ("TLS certificate not accepted: IP address mismatch, certificate is not valid for '127.0.0.1'.", "another name"),
    ("TLS certificate not accepted: Hostname mismatch, certificate is not valid for 'pos'", "another name"),
    ("TLS certificate not accepted: unable to get local issuer certificate", "as ca_file"),
    ("TLS certificate not accepted: self-signed certificate in certificate chain", "as ca_file"),
    ("TLS certificate not accepted: CRL has expired", "`ordernpay doctor` tells"),
    ("no socket: SSLCertVerificationError", "`ordernpay doctor` tells"),
    ("ca_file /etc/ordernpay/ca.pem: cannot be used (No such file or directory)", "named as ca_file cannot be used"),
    ("FileNotFoundError: No such file or directory", "named as ca_file cannot be used"),
    ("client_certificate /etc/x.pem: cannot be used (No such file or directory)", "certificate of ours"),
    ("the other end wants a client certificate: set client_certificate and client_key", "certificate of ours"),
    ("no websocket there: what answers there speaks TLS: the address has to begin with wss://", "Check the port"),
    ("SSLError: [SSL] record layer failure", "speaks no TLS"),
    ("ConnectError: Name or service not known", "name cannot be looked up"),
    ("gaierror: Temporary failure in name resolution", "name cannot be looked up"),
    ("authorisation server: ConnectError: Connection refused", "nothing listens at that port"),
    ("ConnectionRefusedError: Connection refused", "nothing listens at that port"),
    ("no socket: ConnectionRefusedError", "nothing listens at that port"),
    ("OSError: Network is unreachable", "Check cable, router and address"),
    ("ConnectError: No route to host", "Check cable, router and address"),
    ("no connection within 10 s", "off, or a firewall"),
    ("session hotel is down: no connection in time", "off, or a firewall"),
    ("no socket within 10 s", "off, or a firewall"),
    ("no token until the timeout", "off, or a firewall"),
    ("the POS refused the connection with HTTP 403", "does not accept our credentials"),
    ("token handshake: refused with HTTP 401", "does not accept our credentials"),
    ("token handshake: answered without a token", "does not accept our credentials"),
    ("the authorisation server refused our credentials with HTTP 400", "does not accept our credentials"),
    ("closed by the POS with code 1008", "does not accept our credentials"),
    ("the vendor answered HTTP 401: no such key", "does not accept our credentials"),
    ("the vendor answered HTTP 404", "ids of outlet, site or location"),
    ("the vendor answered HTTP 429", "too often"),
    ("the vendor answered HTTP 503: maintenance", "in trouble"),
    ("the authorisation server answered HTTP 500", "in trouble"),
    ("the POS answered HTTP 200 instead of opening a websocket", "Check host, port and path"),
    ("no websocket there (InvalidMessage)", "Check host, port and path"),
    ("token handshake: the answer is no JSON", "Check host, port and path"),
    ("the authorisation server answered without a token for an address that may be used (svc)", "service_urls"),
    ("silent: no answer to a ping within 10 s", "does not answer"),
    ("sent, and not answered: RemoteProtocolError; it had no effect", "does not answer"),
    ("the machine slept for 61 s", "slept"),
    ("the socket for events is not connected yet", "socket_url"),
    ("connection lost", "made anew by itself"),
    ("closed by the POS with code 1001", "made anew by itself"),
    ("token handshake: ConnectTimeout", "off, or a firewall"),
    ("token handshake: ConnectError: Name or service not known", "name cannot be looked up"),
    ("token handshake: TLS certificate not accepted: certificate has expired", "has expired, or this machine's clock"),
    ("OSError", "No connection could be made"),
    ("ConnectError", "No connection could be made"),
    ("OSError: Address family not supported by protocol", "No connection could be made"),
    ("token handshake: ReadError", "made anew by itself"),
    ("no socket: InvalidMessage", "made anew by itself"),
]


@pytest.mark.parametrize(("last_error", "words"), CASES)
def test_an_error_is_told_in_words_that_say_what_to_do(last_error: str, words: str) -> None:
    told = explained("down", last_error)
    assert told is not None
    assert words in told
    assert told.endswith(".")


def test_no_sentence_is_there_in_vain() -> None:
    told = {explained("down", last_error) for last_error, _ in CASES}
    assert {sentence for _, sentence in SENTENCES} <= told


def test_a_session_that_is_up_needs_no_reason() -> None:
    assert explained("up", "connection lost") is None


def test_a_session_without_an_error_yet_waits() -> None:
    assert explained("connecting", None) == FIRST_TRY
    assert explained("down", None) == NOBODY_CAME


def test_what_no_line_knows_still_gets_words() -> None:
    assert explained("down", "something new") == OTHERWISE
    assert explained("refused", "something new") == CREDENTIALS
