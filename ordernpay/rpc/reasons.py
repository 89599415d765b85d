"""Why a session is not up, for people: what its last error means, and what to do.

A session's `last_error` is short and technical. The first line below that is found in it counts. What is said here holds
for every vendor; what one vendor alone would say is in its own `last_error`, which is told beside this.
"""

import re
from typing import Final

CREDENTIALS: Final = (
    "The vendor does not accept our credentials. Check them in the configuration and ask the vendor whether they are "
    "still good; then `systemctl reload ordernpay`, or restart it where they are systemd credentials."
)
_SENTENCES: Final = (
    (
        "certificate has expired",
        (
            "The vendor's TLS certificate has expired, or this machine's clock is wrong. Look at `timedatectl`; if the "
            "clock is right, only the vendor can mend it."
        ),
    ),
    (
        "not yet valid",
        (
            "The vendor's TLS certificate is not valid yet, so this machine's clock is most likely wrong. Look at "
            "`timedatectl`."
        ),
    ),
    (
        "(Hostname|IP address) mismatch",
        (
            "What answers there has a certificate for another name. Check the address in the configuration, and whether "
            "the venue's network puts something else in the vendor's place."
        ),
    ),
    (
        "self.signed|local issuer|unable to verify",
        (
            "The certificate there is from an authority that this machine does not know. If it is the POS' own, name the "
            "authority's file as ca_file; else something in the venue's network answers in the vendor's place."
        ),
    ),
    (
        "TLS certificate not accepted|SSLCertVerificationError",
        "The vendor's TLS certificate was not accepted. `ordernpay doctor` tells what is wrong with it.",
    ),
    (
        "client.certificate|client_key",
        (
            "The vendor wants to see a certificate of ours, or does not like the one that it is shown. Set client_certificate "
            "and client_key as the vendor has given them to you, and check that they have not expired."
        ),
    ),
    (
        "ca_file|FileNotFoundError|PermissionError",
        "The file named as ca_file cannot be used by the daemon. Check its path, its content and who may read it.",
    ),
    (
        "SSLError|SSL|TLS failed|speaks (no )?TLS",
        (
            "What answers there speaks no TLS that this machine understands. Check the port and the scheme (wss://, "
            "https://) of the address."
        ),
    ),
    (
        "Name or service not known|name resolution|No address associated|gaierror",
        (
            "The vendor's name cannot be looked up. Check the name in the configuration, then the venue's internet and its "
            "DNS: `resolvectl query NAME`."
        ),
    ),
    (
        "Connection ?Refused",
        (
            "The other machine is there, but nothing listens at that port. Start the POS' interface there, or mend the port "
            "in the configuration."
        ),
    ),
    (
        "No route to host|unreachable",
        "No way leads from this machine to the vendor's. Check cable, router and address.",
    ),
    (
        "no (connection|socket) (within|in time)|timed out|TimeoutError|ConnectTimeout|no token until|no time left",
        "Nothing answers there: the other machine is off, or a firewall drops what we send. Check both.",
    ),
    (
        "an address that may be used",
        (
            "The token comes without the address of ROS, or with one of this machine or its network. If ROS is there, name "
            "the address in service_urls of the session; if not, check auth_url."
        ),
    ),
    (
        "HTTP 40[13]|refused our credentials|refused with HTTP 400|code 1008|answered without a token",
        CREDENTIALS,
    ),
    (
        "HTTP 404",
        (
            "What answers there does not know what we ask for. Check the address and the ids of outlet, site or location in "
            "the configuration."
        ),
    ),
    (
        "HTTP 429",
        "The vendor finds that we ask too often, and lets us wait. It is tried again by itself.",
    ),
    (
        "HTTP 5[0-9][0-9]",
        "The vendor's own service is in trouble. It is tried again by itself; if it lasts, call the vendor.",
    ),
    (
        "HTTP [1-4][0-9][0-9]|no websocket|no JSON",
        "Something answers there, but not as the vendor's interface does. Check host, port and path of the address.",
    ),
    (
        "silent|not answered|no answer",
        (
            "The connection stands, but the other end does not answer. It is tried again by itself; if it lasts, look at "
            "the POS."
        ),
    ),
    (
        "slept",
        "This machine slept, and every connection is made anew.",
    ),
    (
        "events is not connected yet",
        (
            "The vendor answers, but its socket for events has not been opened yet. It is tried again by itself; check "
            "socket_url if it lasts."
        ),
    ),
    (
        "ConnectError|OSError",
        "No connection could be made. `ordernpay doctor` tells how far it comes.",
    ),
    (
        "connection lost|closed|reset|Disconnect|Protocol|superseded|no socket|[A-Z][A-Za-z]+Error",
        (
            "The connection ended. It is made anew by itself; if that happens often, look at the venue's network and at the "
            "POS."
        ),
    ),
)
SENTENCES: Final = tuple((re.compile(pattern, re.IGNORECASE), sentence) for pattern, sentence in _SENTENCES)

NOBODY_CAME: Final = (
    "Nobody has connected yet. A POS that dials us needs the address of [inbound], a way to it and our credentials; "
    "`ordernpay doctor` checks our side."
)
FIRST_TRY: Final = "The first connection is being made."
OTHERWISE: Final = "It is not connected, and is tried again by itself. `ordernpay doctor` looks closer."


def explained(state: str, last_error: str | None) -> str | None:
    """A sentence or two for people; None for a session that is up."""
    if state == "up":
        return None
    if last_error is None:
        return FIRST_TRY if state == "connecting" else NOBODY_CAME
    found = next((sentence for pattern, sentence in SENTENCES if pattern.search(last_error)), None)
    return found or (CREDENTIALS if state == "refused" else OTHERWISE)
