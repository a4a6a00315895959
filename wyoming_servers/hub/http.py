"""The hub's HTTP side: health, metrics, status, and the home."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from wyoming_servers.errors import AddressError, HearthError, RequestError, where_it_failed
from wyoming_servers.hub.guard import guard, is_loopback, load_token, refusal
from wyoming_servers.hub.homes import Homes
from wyoming_servers.hub.metrics import CONTENT_TYPE_LATEST, Metrics
from wyoming_servers.hub.router import Router
from wyoming_servers.hub.status import Status
from wyoming_servers.settings import Settings
from wyoming_servers.speech.text import clean_text

_LOGGER = logging.getLogger(__name__)
_BODY_BYTES = 2 * 1024 * 1024
_TEXT_CHARACTERS = 8_000


def _etag(version: str) -> str:
    return f'"{version}"'


class HttpApi:
    """The routes and what they show."""

    def __init__(self, settings: Settings, status: Status, homes: Homes, router: Router, metrics: Metrics) -> None:
        """Serve what the hub knows; `start` listens."""
        self._settings = settings
        self._status = status
        self._homes = homes
        self._router = router
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self.url = ""
        """Where it listens, with the real port; set once it does."""

    async def start(self) -> None:
        """Begin to listen. Raises AddressError if the address cannot be bound."""
        host, token = self._settings.hub.http_host, None
        if not is_loopback(host):
            token, path = await asyncio.to_thread(load_token, self._settings.data_dir)
            _LOGGER.info("HTTP is open to the network; its access token lies in %s", path)
        app = web.Application(client_max_size=_BODY_BYTES, middlewares=[_answer_errors, guard(host, token)])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/metrics", self._expose),
                web.get("/api/v1/status", self._show_status),
                web.get("/api/v1/home", self._get_home),
                web.put("/api/v1/home", self._put_home),
                web.get("/api/v1/route", self._route),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, self._settings.hub.http_port)
        try:
            await site.start()
        except OSError as err:
            await self._runner.cleanup()
            raise AddressError(f"http://{host}:{self._settings.hub.http_port}", err) from err
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._runner.addresses[0][1]}"
        self._status.http_url = self.url

    async def stop(self) -> None:
        """Stop listening and end what is in progress."""
        if self._runner:
            await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        health = self._status.health()
        return web.json_response(health, status=200 if health["status"] == "ok" else 503)

    async def _expose(self, request: web.Request) -> web.Response:
        self._status.measure(self._metrics)
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _show_status(self, request: web.Request) -> web.Response:
        return web.json_response(self._status.everything())

    async def _get_home(self, request: web.Request) -> web.Response:
        home = self._homes.home
        headers = {"ETag": _etag(home.version), "Cache-Control": "no-cache"}
        known = request.if_none_match or ()
        if any(tag.value in {home.version, "*"} for tag in known):
            return web.Response(status=304, headers=headers)
        return web.json_response(home.to_json(), headers=headers)

    async def _put_home(self, request: web.Request) -> web.Response:
        home = await self._homes.put(await asyncio.to_thread(_parse, await request.read()))
        return web.json_response({"version": home.version}, headers={"ETag": _etag(home.version)})

    async def _route(self, request: web.Request) -> web.Response:
        text = clean_text(request.query.get("text"), limit=_TEXT_CHARACTERS)
        language = request.query.get("language") or self._homes.home.language
        device_id = request.query.get("device_id")
        commands = await self._router.route(text, language=language, device_id=device_id)
        return web.json_response(
            {
                "commands": [
                    {"intent": one.intent, "slots": dict(one.slots), "response": one.response} for one in commands
                ]
            }
        )


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise RequestError("bad-json", "The body is not valid JSON.") from None


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every failure the form {code, text}, and a sentence instead of a traceback."""
    try:
        return await handler(request)
    except RequestError as err:
        return refusal(400, err.code, str(err))
    except HearthError as err:
        _LOGGER.warning("HTTP request failed: %s", err)
        return refusal(500, err.code, str(err))
    except web.HTTPRequestEntityTooLarge:
        return refusal(413, "too-large", f"The body is over the limit of {_BODY_BYTES} bytes.")
    except web.HTTPException as err:
        response = refusal(err.status, err.reason.lower().replace(" ", "-"), f"{err.reason}.")
        if "Allow" in err.headers:
            response.headers["Allow"] = err.headers["Allow"]
        return response
    except Exception as err:  # noqa: BLE001  # the boundary to the client: whatever it is, it must not see it
        _LOGGER.error("Unexpected failure over HTTP: %s", where_it_failed(err))  # noqa: TRY400  # not its text
        return refusal(500, "internal", "Something went wrong inside the server; its log says more.")
