"""The page's files, and what is pushed to it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Response

from monitor.admin_api import ReadGate, gated_route
from monitor.page.hub import Hub, TooManyViewers
from monitor.page.live import LiveEvents

STATIC = Path(__file__).parent / "static"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Nothing from elsewhere, nothing inline, and no text is ever read as HTML: names of models and
# replicas are other people's words.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def page_files() -> dict[str, Path]:
    """The files by their route. The page itself is at ``/page``; its files are beside it."""
    files = {f"/page/{path.name}": path for path in sorted(STATIC.iterdir())}
    files["/page"] = files.pop("/page/page.html")
    return files


def build_page_router(hub: Hub, admin_key: str | None) -> APIRouter:
    """Every route of the page.

    Args:
        admin_key: needed for what is pushed, if there is one. The files say nothing about the
            fleet, and the key has to be entered somewhere.
    """
    router = APIRouter(tags=["page"])
    for path, file in page_files().items():
        router.add_api_route(path, _file(file), methods=["GET"], include_in_schema=False)
    live = APIRouter(route_class=gated_route(ReadGate(admin_key)))

    @live.get("/api/live", include_in_schema=False)
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """Server-sent events: a picture, then what changes; or what changed since the last id."""
        if hub.is_over:
            raise HTTPException(503, "this process is about to stop", {"retry-after": "2"})
        try:
            return LiveEvents(hub.join(last_event_id))
        except TooManyViewers as error:
            raise HTTPException(503, str(error), {"retry-after": "10"}) from error

    router.include_router(live)
    return router


def _file(path: Path) -> Callable[[], Awaitable[Response]]:
    content, media_type = path.read_bytes(), _TYPES[path.suffix]

    async def give() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return give
