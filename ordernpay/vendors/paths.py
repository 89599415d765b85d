"""Paths of requests: what a kiosk gives as an id must not lead out of the place where ids stand."""

import re
from typing import Any, Final
from urllib.parse import quote, unquote

CLIMBING: Final = frozenset({".", ".."})
LAYERS: Final = 2
"""How often a path is decoded on its way, by a proxy and by a server."""


def climbs(path: str) -> bool:
    """Whether a path has a segment of dots, also an encoded one: clients, proxies and servers resolve them."""
    for _ in range(LAYERS):
        path = unquote(path)
    return not CLIMBING.isdisjoint(re.split(r"[/\\]", path))


def segment(identity: str) -> str:
    """An id as one segment of a path.

    Raises:
        ValueError: no path can hold it, since it would be resolved away.
    """
    if not identity or climbs(identity):
        raise ValueError("expected an id, got nothing or dots that would lead out of its path")
    return quote(identity, safe="")


def inside(_: Any, __: Any, url: str) -> None:
    """Refuse an address whose path climbs; a validator of attrs.

    Raises:
        ValueError: it does.
    """
    if climbs(re.split(r"[?#]", url, maxsplit=1)[0]):
        raise ValueError("the path of a request has dots that would lead out of it")
