"""Reject requests that do not come from the page itself: any open website can send requests to 127.0.0.1."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OURSELVES = ("127.0.0.1", "localhost")


class OwnPageOnly:
    """ASGI middleware: refuses requests to another host name (DNS rebinding) or from another origin, with status 403.

    The port is free, so that the page can be reached through a tunnel.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or _is_own(dict(scope["headers"])):
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"this playground answers its own page alone"})


def _is_own(headers: dict[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"").decode("latin-1")
    origin = headers.get(b"origin")
    same = origin is None or origin.decode("latin-1") == f"http://{host}"
    return urlsplit(f"//{host}").hostname in OURSELVES and same
