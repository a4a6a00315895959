"""An error nobody expected is found by its place, and its text, which may hold what was said, is not kept."""

from aiohttp import web
from wyoming.error import Error
from wyoming.event import Event

from tests.support.raw_wire import event, exchange
from wyoming_servers.hub.http import _answer_errors
from wyoming_servers.wire.server import Server

SAID = "the secret words"


class Failing:
    """Fails with what was said in the error."""

    async def handle(self, _event: Event) -> None:
        raise ValueError(SAID)

    async def end(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def test_a_client_and_the_log_learn_no_words(caplog):
    server = Server(lambda _connection: Failing())
    await server.start("tcp://127.0.0.1:0")
    try:
        received = await exchange(server.uri, event("transcript", {"text": SAID}))
    finally:
        await server.stop()
    assert [Error.from_event(one).code for one in received] == ["internal"]
    assert "ValueError" in caplog.text
    assert "in handle" in caplog.text
    assert SAID not in caplog.text + received[0].data["text"]


async def test_http_tells_neither(caplog):
    async def fail(_request: web.Request) -> web.StreamResponse:
        raise ValueError(SAID)

    response = await _answer_errors(None, fail)
    assert response.status == 500
    assert "in fail" in caplog.text
    assert SAID not in caplog.text + response.text
