"""Settings come from where they should, and wrong ones are named."""

from pathlib import Path

import pytest

from wyoming_servers.errors import ModelError, SettingsError
from wyoming_servers.models.folders import resolve_model
from wyoming_servers.settings import load_settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hearth.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_line_outranks_the_environment_and_that_the_file(tmp_path: Path) -> None:
    toml = write(tmp_path, 'language = "de"\n[stt]\nengine = "whisper"\nthreads = 3\n[tts]\nvoice = "a"\n')
    environ = {"HEARTH_STT_ENGINE": "onnx-asr", "HEARTH_LANGUAGE": "fr"}
    settings = load_settings(toml, environ, {"stt.engine": "pocketsphinx", "tts.voice": None})
    assert (settings.stt.engine, settings.stt.threads, settings.language, settings.tts.voice) == (
        "pocketsphinx",
        3,
        "fr",
        "a",
    )


def test_the_key_comes_from_the_environment_only_and_is_never_shown(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, ""), {"HEARTH_LLM_API_KEY": "s3cret"})
    assert settings.llm_api_key == "s3cret"
    assert "s3cret" not in repr(settings)
    with pytest.raises(SettingsError, match="llm_api_key"):
        load_settings(write(tmp_path, 'llm_api_key = "x"'), {})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[sst]\n", "sst"),
        ("[stt]\nmodle = 'x'\n", "stt.modle"),
        ("[stt]\nthreads = -1\n", "stt.threads"),
        ("[stt]\nthreads = true\n", "stt.threads"),
        ("[hub]\nhttp_port = 70000\n", "hub.http_port"),
        ("stt = 3\n", "stt"),
        ("language = 3\n", "language"),
        ("language = ''\n", "language"),
        ("log_level = 'loud'\n", "log_level"),
        ("model_dirs = 'x'\n", "model_dirs"),
        ("home = 1\n", "home"),
        ("language = \n", "TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_settings(write(tmp_path, text), {})


def test_a_settings_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Cannot read"):
        load_settings(tmp_path / "none.toml", {})


def test_a_model_is_found_in_any_model_folder(tmp_path: Path) -> None:
    second = tmp_path / "second"
    (second / "base").mkdir(parents=True)
    assert resolve_model("base", [tmp_path / "first", second]) == second / "base"
    assert resolve_model(str(second / "base"), [second]) == second / "base"


@pytest.mark.parametrize("name", ["../secret", "/etc", "", " ", ".", "a/../..", "link", "none", "x\0y"])
def test_a_model_can_never_be_a_path_outside(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError):
        resolve_model(name, [folder])
