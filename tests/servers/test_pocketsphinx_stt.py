"""PocketsphinxStt end to end: speech made here, real models, real decoders."""

import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("pocketsphinx", reason="the extra 'starter' is not installed")

from tests.support.speaker import Speaker
from wyoming_servers.cli import main
from wyoming_servers.engines.base import EngineOptions, SttRequest
from wyoming_servers.engines.stt.pocketsphinx import PocketsphinxStt
from wyoming_servers.engines.stt.pocketsphinx_build import current_folder
from wyoming_servers.errors import EngineError, ModelError, RequestError

OTHER_SPEECH = [
    "my brother lives in a small town near the sea",
    "i went to the shop yesterday to buy some shoes",
    "translate good morning into spanish",
    "the dog has been barking all morning",
]


def write_home(folder, *names: str) -> None:
    entities = [{"entity_id": f"light.one_{number}", "name": name} for number, name in enumerate(names)]
    areas = [{"id": "kitchen", "name": "Kitchen"}]
    (folder / "home.json").write_text(json.dumps({"language": "en", "areas": areas, "entities": entities}))


@pytest.fixture(scope="module")
def say():
    speaker = Speaker()

    def sound(text: str) -> np.ndarray:
        pcm = speaker(text) + bytes(9_600)
        return np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768

    return sound


@pytest.fixture(scope="module")
def zorblax(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zorblax")
    write_home(folder, "Zorblax lantern", "Ceiling light")
    engine = PocketsphinxStt(EngineOptions(data_dir=folder))
    yield engine
    engine.close()


def hear(engine: PocketsphinxStt, sound: np.ndarray, language: str | None = None) -> str:
    stream = engine.stream(SttRequest(language=language))
    for start in range(0, sound.size, 512):
        stream.feed(sound[start : start + 512])
    result = stream.finish()
    stream.close()
    return result.text


def test_names_no_dictionary_has_are_heard_and_written_as_the_home_does(zorblax, say):
    assert hear(zorblax, say("turn on the zorblax lantern")) == "turn on the Zorblax lantern"


def test_numbers_are_written_in_digits(zorblax, say):
    assert hear(zorblax, say("set a timer for five minutes")) == "set a timer for 5 minutes"
    assert "to 50 percent" in hear(zorblax, say("set the ceiling light brightness to fifty percent"))


@pytest.mark.parametrize("text", OTHER_SPEECH)
def test_other_speech_is_no_command(zorblax, say, text):
    assert hear(zorblax, say(text)) == ""


def test_words_are_told_in_a_pause_and_finish_needs_no_more_decoding(zorblax, say):
    stream = zorblax.stream(SttRequest())
    told = [stream.feed(part) for part in np.array_split(say("turn on the ceiling light"), 100)]
    began = time.process_time()
    text = stream.finish().text
    assert time.process_time() - began < 0.02
    assert [one for one in told if one][-1] == text == "turn on the Ceiling light"


def test_loudness_does_not_matter(zorblax, say):
    assert hear(zorblax, say("turn on the zorblax lantern") * 0.05) == "turn on the Zorblax lantern"


def test_a_long_speech_is_refused_at_once(zorblax, say):
    sound = np.tile(say("turn on the zorblax lantern"), 20)
    assert hear(zorblax, sound) == ""


def test_two_at_once_are_heard_as_one_alone(zorblax, say):
    sounds = [say("turn on the zorblax lantern"), say("turn on the ceiling light")] * 2
    texts = [""] * 4

    def listen(index: int) -> None:
        texts[index] = hear(zorblax, sounds[index])

    threads = [threading.Thread(target=listen, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["turn on the Zorblax lantern", "turn on the Ceiling light"] * 2


def test_other_languages_are_refused_in_a_sentence(zorblax):
    with pytest.raises(RequestError, match="only English"):
        zorblax.stream(SttRequest(language="de"))
    with pytest.raises(EngineError, match="only English"):
        PocketsphinxStt(EngineOptions(language="fr"))


def test_a_new_home_is_understood_without_a_restart(tmp_path, say):
    write_home(tmp_path, "Ceiling light")
    engine = PocketsphinxStt(EngineOptions(data_dir=tmp_path))
    assert "Quibbit" not in hear(engine, say("turn on quibbit"))
    write_home(tmp_path, "Quibbit")
    assert main(["train", "--data-dir", str(tmp_path)]) == 0
    deadline = time.monotonic() + 60
    while (text := hear(engine, say("turn on quibbit"))) != "turn on Quibbit" and time.monotonic() < deadline:
        time.sleep(0.1)
    engine.close()
    assert text == "turn on Quibbit"


def test_without_a_home_or_a_folder_common_names_are_understood(say):
    engine = PocketsphinxStt(EngineOptions())
    assert hear(engine, say("open the garage door")) == "open the Garage door"
    engine.close()


@pytest.mark.parametrize("file", ["model.json", "home.lmctl", "home.dict", "home.arpa"])
def test_a_damaged_model_is_built_again(tmp_path, say, file):
    write_home(tmp_path, "Ceiling light")
    main(["train", "--data-dir", str(tmp_path)])
    (current_folder(tmp_path) / file).write_bytes(b"\0damaged")
    engine = PocketsphinxStt(EngineOptions(data_dir=tmp_path))
    assert hear(engine, say("turn on the ceiling light")) == "turn on the Ceiling light"
    engine.close()


@pytest.mark.parametrize("content", [b"", b"../../etc", b"\xff\xfe", b"missing"])
def test_a_damaged_pointer_is_written_again(tmp_path, content):
    write_home(tmp_path, "Ceiling light")
    folder = tmp_path / "starter"
    folder.mkdir()
    (folder / "current").write_bytes(content)
    PocketsphinxStt(EngineOptions(data_dir=tmp_path)).close()
    assert current_folder(tmp_path).is_dir()


def test_a_damaged_new_model_leaves_the_one_in_use(tmp_path, say):
    write_home(tmp_path, "Ceiling light")
    engine = PocketsphinxStt(EngineOptions(data_dir=tmp_path))
    (tmp_path / "starter" / "current").write_text("missing")
    assert hear(engine, say("turn on the ceiling light")) == "turn on the Ceiling light"
    engine.close()
    assert hear(engine, say("turn on the ceiling light")) == "turn on the Ceiling light"


def test_a_file_that_is_no_home_is_refused(tmp_path):
    (tmp_path / "home.json").write_text("{nonsense")
    with pytest.raises(ModelError, match="push the home again"):
        PocketsphinxStt(EngineOptions(data_dir=tmp_path))
