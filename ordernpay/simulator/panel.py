"""The own paths of a simulated REST vendor, as those of the tills: what it did, and what shall go wrong.

``GET /simulator/acts``; ``POST /simulator/faults`` with ``{"fault": "late", "path": "/orders", "seconds": 5}``, by the
fields of ``web.Planned``.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ordernpay.simulator.pages import (
    Field,
    FieldError,
    Record,
    read_json,
    record,
    required,
    seconds,
    text,
    whole,
    write_json,
)

PLACE: Final = "/simulator/"


def panel(
    acts: Callable[[], Iterable[Any]], heard: Callable[[], int], plan: Callable[..., object], faults: Iterable[str]
) -> Starlette:
    """The application below ``/simulator/``.

    Args:
        acts: what was done so far, in order.
        heard: how many requests came.
        plan: plans a fault by its fields.
        faults: the names of those there are.
    """
    names = frozenset(faults)

    def fault(value: Any, path: str) -> str:
        if value not in names:
            raise FieldError(path, f"must be one of {', '.join(sorted(names))}")
        return str(value)

    plans = record(
        {
            "fault": required(fault),
            "count": Field(whole(least=1), required=False, default=1),
            "path": Field(text(200), required=False, default=""),
            "method": Field(text(10), required=False, default=""),
            "seconds": Field(seconds, required=False, default=1.0),
            "status": Field(whole(least=400), required=False, default=503),
        }
    )

    async def on_acts(_: Request) -> Response:
        return _json({"acts": [attrs.asdict(act) for act in acts()], "requests": heard()})

    async def on_faults(request: Request) -> Response:
        try:
            planned = plans(read_json((await request.body()).decode()), "")
        except (FieldError, UnicodeDecodeError) as error:
            return _json({"error": str(error)}, 400)
        plan(**planned)
        return _json({"planned": planned["fault"]})

    return Starlette(routes=[Route(f"{PLACE}acts", on_acts), Route(f"{PLACE}faults", on_faults, methods=["POST"])])


def _json(content: Record, status: int = 200) -> Response:
    return Response(write_json(content), status, media_type="application/json")
