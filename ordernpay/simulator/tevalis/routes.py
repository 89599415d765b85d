"""Tevalis' API on the network: paths, headers and the bodies of refusals.

Sources: https://api.tevalis.com for the paths, https://github.com/White-Streak-Technologies/tevalis-go for the headers.
The bodies of refusals are those of an ASP.NET Web API that nobody changed.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ordernpay.simulator.pages import FieldError, Record, read_json, write_json
from ordernpay.simulator.tevalis.site import NotFoundError, Site

JSON: Final = "application/json"
CALCULATE: Final = "/v{version}/OnlineOrders/CalculateOnlineOrder"
SUBMIT: Final = "/v{version}/OnlineOrders/SubmitCalculatedOnlineOrder"
CANCEL: Final = "/v{version}/OnlineOrders/CancelOnlineOrder"
CATALOGUES: Final = "/Catalogue/GetCatalogues/{SiteID}"

Handler = Callable[[Request], Awaitable[Response]]


class PointOfSale(Protocol):
    """What answers; each call raises ``FieldError`` or ``NotFoundError`` for what it refuses."""

    site: Site
    refusals: int

    def calculate(self, body: Any) -> Record: ...

    def submit(self, body: Any) -> Record | None: ...

    def cancel(self, body: Any) -> Record: ...

    def catalogues(self, site_id: str) -> Record: ...


def application(pos: PointOfSale) -> Starlette:
    """The API of a point of sale."""
    calls: dict[str, Callable[[Any], Record | None]] = {
        CALCULATE: pos.calculate,
        SUBMIT: pos.submit,
        CANCEL: pos.cancel,
    }

    async def catalogues(request: Request) -> Response:
        return _act(pos, lambda: pos.catalogues(request.path_params["SiteID"]))

    return Starlette(
        routes=[
            *(Route(path, _guarded(pos, _posted(pos, call)), methods=["POST"]) for path, call in calls.items()),
            Route(CATALOGUES, _guarded(pos, catalogues), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _refused},
    )


def _posted(pos: PointOfSale, call: Callable[[Any], Record | None]) -> Handler:
    async def handle(request: Request) -> Response:
        body = await request.body()
        return _act(pos, lambda: call(_read(body)))

    return handle


def _guarded(pos: PointOfSale, handle: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        if request.path_params.get("version", pos.site.version) != pos.site.version:
            raise HTTPException(404, f"No HTTP resource was found that matches the request URI '{request.url.path}'.")
        expected = pos.site.credentials.headers()
        if request.method != "POST":
            del expected["GUID2"]
        if any(request.headers.get(name) != value for name, value in expected.items()):
            raise HTTPException(401, "Authorization has been denied for this request.")
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != JSON:
            raise HTTPException(415, "The request entity's media type is not supported for this resource.")
        return await handle(request)

    return guarded


def _act(pos: PointOfSale, act: Callable[[], Record | None]) -> Response:
    try:
        answer = act()
    except FieldError as error:
        pos.refusals += 1
        path = "model" if " " in error.path else f"model.{error.path}"
        return _json(400, {"Message": "The request is invalid.", "ModelState": {path: [str(error)]}})
    except NotFoundError as error:
        pos.refusals += 1
        return _json(404, {"Message": str(error)})
    return Response(status_code=200) if answer is None else _json(200, answer)


def _read(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise FieldError("The message", "is not UTF-8") from None
    return read_json(text)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = error.detail
    if error.status_code == 405:
        message = f"The requested resource does not support http method '{request.method}'."
    return _json(error.status_code, {"Message": message}, error.headers)


def _json(status: int, body: Record, headers: Any = None) -> Response:
    return Response(write_json(body), status, headers, media_type=f"{JSON}; charset=utf-8")
