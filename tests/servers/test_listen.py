"""`hearth listen`: turns with a microphone and a loudspeaker that stand in for the machine's."""

import asyncio
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_hub import FakeHub, served
from tests.support.wav import tone
from wyoming_servers.ask.answer import Answer
from wyoming_servers.ask.turn import Asking
from wyoming_servers.errors import RequestError
from wyoming_servers.listen import Loudspeaker, Microphone, listen, load_sounddevice


class FakeDevice(types.ModuleType):
    """The part of `sounddevice` that is used, with a thread for the microphone as PortAudio has."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.opened: list[Any] = []
        self.played: list[bytes] = []
        device = self

        class RawInputStream:
            def __init__(self, *, samplerate: int, blocksize: int, callback: Callable[..., None], **_: Any) -> None:
                self.frame = tone(blocksize / samplerate)
                self.callback = callback
                self.is_open = True
                device.opened.append(self)

            def start(self) -> None:
                self.thread = threading.Thread(target=self.record)
                self.thread.start()

            def record(self) -> None:
                while self.is_open:
                    self.callback(memoryview(self.frame), 160, None, None)
                    time.sleep(0.01)

            def close(self) -> None:
                self.is_open = False

        class RawOutputStream:
            def __init__(self, **form: Any) -> None:
                device.opened.append(form)

            def start(self) -> None:
                pass

            def write(self, pcm: bytes) -> None:
                device.played.append(pcm)

            def stop(self) -> None:
                pass

            def close(self) -> None:
                device.played.append(b"")

        self.RawInputStream = RawInputStream
        self.RawOutputStream = RawOutputStream


async def take_turns(hub: FakeHub, device: FakeDevice, turns: int) -> list[Answer]:
    shown: list[Answer] = []
    done = asyncio.Event()

    def show(answer: Answer) -> None:
        shown.append(answer)
        if len(shown) == turns:
            done.set()

    async with served(hub) as uri:
        listening = asyncio.create_task(
            listen(Asking(uri=uri), show, lambda: Microphone(device), lambda: Loudspeaker(device))
        )
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait({listening, waiting}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        for task in (listening, waiting):
            task.cancel()
        await asyncio.gather(listening, waiting, return_exceptions=True)
    for stream in device.opened:
        if thread := getattr(stream, "thread", None):
            await asyncio.to_thread(thread.join)
    return shown


async def test_turn_follows_turn_in_one_conversation_and_replies_are_played() -> None:
    device, hub = FakeDevice(), FakeHub()

    answers = await take_turns(hub, device, turns=2)

    assert [answer.reply for answer in answers] == ["It is noon."] * 2
    assert device.played[:3] == [tone(0.1), tone(0.1), b""]
    contexts = [event.data["context"] for events in hub.received for event in events if event.type == "transcript"]
    assert contexts[0] == contexts[1]


async def test_the_microphone_is_closed_while_hearth_speaks() -> None:
    device = FakeDevice()

    await take_turns(FakeHub(), device, turns=1)

    assert device.opened[0].is_open is False


async def test_the_end_of_speech_is_the_servers_word() -> None:
    (answer,) = await take_turns(FakeHub(ends_after=40), FakeDevice(), turns=1)

    # The fake hub says that speech ended 200 ms into the stream, and says so after 400 ms.
    assert answer.timings_ms.endpoint is not None
    assert answer.timings_ms.endpoint >= 150


async def test_a_turn_in_which_nothing_was_said_is_not_shown() -> None:
    hub = FakeHub(hears="", ends_after=5)
    device, shown = FakeDevice(), []

    async with served(hub) as uri:
        turns = listen(Asking(uri=uri), shown.append, lambda: Microphone(device), lambda: Loudspeaker(device))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(turns, 1.0)

    assert shown == []
    assert len(hub.received) >= 2


async def test_listening_ends_when_nobody_answers() -> None:
    shown: list[Answer] = []
    device = FakeDevice()

    await listen(Asking(uri="tcp://127.0.0.1:9"), shown.append, lambda: Microphone(device), lambda: Loudspeaker(device))

    assert [answer.error for answer in shown] == ["Nothing answers at tcp://127.0.0.1:9."]


async def test_a_microphone_that_does_not_open_is_told_in_words() -> None:
    device = FakeDevice()

    def refuse(**_: Any) -> None:
        raise device.PortAudioError("no default device")

    device.RawInputStream = refuse

    (answer,) = await take_turns(FakeHub(), device, turns=1)

    assert answer.error == "The microphone cannot be opened: no default device."


def test_without_sounddevice_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    with pytest.raises(RequestError, match=r"pip install 'hearth-voice\[mic\]'"):
        load_sounddevice()

    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    with pytest.raises(RequestError, match="libportaudio2"):
        load_sounddevice()
