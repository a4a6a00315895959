"""Who may use the hub over HTTP.

A hub that only this machine can reach asks for no token, but a web page in its browser could reach it too: by a
name that resolves to 127.0.0.1, or by a form sent from elsewhere. So the host must be spelled as this machine, and
whatever changes something must come from here. A hub others can reach asks everybody for its token.
"""

import hmac
import ipaddress
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from wyoming_servers.errors import SettingsError

_READS = frozenset({"GET", "HEAD"})


def is_loopback(host: str) -> bool:
    """Return whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load_token(folder: Path) -> tuple[str, Path]:
    """Return the access token and where it lies; it is made the first time. Raises SettingsError if that fails."""
    path = folder / "token"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise SettingsError(f"The access token in {path} can be neither read nor made.") from err
    if len(token) < 16:
        raise SettingsError(f"The access token in {path} is too short: delete the file to have a new one made.")
    return token, path


def refusal(status: int, code: str, text: str) -> web.Response:
    """Return an error in the one form all of the API uses."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"code": code, "text": text}, status=status, headers=headers)


def guard(host: str, token: str | None) -> Middleware:
    """Return what lets only the right requests through to a server bound to `host`."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if token is None and not is_loopback(_hostname(request.headers.get("Host", ""))):
            return refusal(403, "bad-host", f"Use this machine's own address, such as {host}.")
        if request.method not in _READS and _is_foreign(request):
            return refusal(403, "cross-origin", "Pages of other servers may not change anything here.")
        if token is not None and not _is_bearer(request.headers.get("Authorization", ""), token):
            return refusal(401, "unauthorized", "Send the token as 'Authorization: Bearer TOKEN'.")
        return await handler(request)

    return check


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        return True
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}


def _is_bearer(header: str, token: str) -> bool:
    scheme, _, given = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
