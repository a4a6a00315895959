"""Builds the starter's language model for a home: what `hearth train` does, in one to a few seconds.

DATA/starter/current            names the folder in use; replaced last, so that it never names half a model
DATA/starter/<home version>/    home.arpa, classes.def, home.lmctl, home.dict, phones.*, feat.params, model.json
"""

import contextlib
import hashlib
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pocketsphinx

from wyoming_servers.engines.stt.pocketsphinx_features import FEATURE_PARAMETERS
from wyoming_servers.engines.stt.pocketsphinx_lm import TrigramModel, write_classes
from wyoming_servers.engines.stt.pocketsphinx_sounds import Pronunciation, Sounds, load_dictionary
from wyoming_servers.engines.stt.pocketsphinx_words import Vocabulary, collect_vocabulary, sound_lines
from wyoming_servers.errors import ModelError
from wyoming_servers.intents.home import Home, builtin_home
from wyoming_servers.intents.sampling import SentenceGraph, build_graph, sample_sentences
from wyoming_servers.models.files import write_atomically

LANGUAGE = "en"
FORMAT = 1
"""Of the files in a model folder; another number means they have to be built again."""
SENTENCES = 30_000
ACOUSTIC_MODEL = Path(pocketsphinx.get_model_path("en-us")) / "en-us"
_DICTIONARY = Path(pocketsphinx.get_model_path("en-us")) / "cmudict-en-us.dict"
_PHONE_SENTENCES = 4_000


def train(data_dir: Path) -> Path:
    """Build the model of the home in `data_dir` (or of the built-in one), make it the current one, return its folder.

    Raises ModelError if it cannot be written, RequestError if the home's file is no home.
    """
    home = read_home(data_dir)
    starter = data_dir / "starter"
    target = starter / home.version
    try:
        starter.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".building-", dir=starter))
        try:
            build_model(home, work)
            _move(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        before = current_folder(data_dir)
        write_atomically(starter / "current", target.name + "\n")
        _remove_old(starter, {target, before})
    except OSError as err:
        raise ModelError(f"The starter's language model cannot be written: {err.strerror or err}.") from err
    return target


def read_home(data_dir: Path) -> Home:
    """Return the home kept in `data_dir`, the built-in one if none is."""
    try:
        return Home.from_json(json.loads((data_dir / "home.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return builtin_home(LANGUAGE)
    except (OSError, ValueError) as err:
        raise ModelError("The home's file cannot be read; push the home again.") from err


def current_folder(data_dir: Path) -> Path | None:
    """Return the folder `current` names, None if it names none."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        name = (data_dir / "starter" / "current").read_text(encoding="utf-8").strip()
        if name.isalnum():
            return data_dir / "starter" / name
    return None


def home_graph(home: Home) -> SentenceGraph:
    """Return the sentences a home can be told."""
    domains = Counter(entity.domain for entity in home.entities)
    return build_graph(LANGUAGE, domains, has_areas=bool(home.areas), has_floors=bool(home.floors))


def build_model(home: Home, folder: Path) -> None:
    """Write every file of a home's model into an empty folder."""
    dictionary = load_dictionary(_DICTIONARY)
    sounds = Sounds(dictionary)
    vocabulary = collect_vocabulary(home, sounds)
    chance = random.Random(1)  # noqa: S311  # samples, not secrets
    language = TrigramModel()
    language.add(
        vocabulary.place_classes(words, chance)
        for words in sample_sentences(home_graph(home), count=SENTENCES)
        if all(word in vocabulary.choices or not word.startswith("{") for word in words)
    )
    words = sorted(language.words - vocabulary.classes.keys())
    language.write(folder / "home.arpa")
    write_classes(folder / "classes.def", vocabulary.classes)
    # Names in it are relative to it.
    classes = "\n".join(sorted(vocabulary.classes))
    (folder / "home.lmctl").write_text(f"{{ classes.def }}\nhome.arpa home {{\n{classes}\n}}\n", encoding="utf-8")
    spoken = vocabulary.sounds | {word: ways for word in words if (ways := sounds.of_word(word))}
    (folder / "home.dict").write_text("".join(sound_lines(spoken)), encoding="utf-8")
    _write_phone_loop(folder, dictionary, chance)
    (folder / "feat.params").write_text(FEATURE_PARAMETERS, encoding="utf-8")
    _write_description(folder, home, vocabulary)


def _write_phone_loop(folder: Path, dictionary: Mapping[str, list[Pronunciation]], chance: random.Random) -> None:
    """Write a model of any English at all, one phone a word: what a command has to be likelier than."""
    common = sorted(word for word in dictionary if word.isalpha() and len(word) <= 6)
    loop = TrigramModel()
    loop.add(
        [f"ph_{phone}" for word in chance.choices(common, k=6) for phone in dictionary[word][0]]
        for _ in range(_PHONE_SENTENCES)
    )
    loop.write(folder / "phones.arpa")
    lines = (f"{word} {word.removeprefix('ph_')}\n" for word in sorted(loop.words))
    (folder / "phones.dict").write_text("".join(lines), encoding="utf-8")


def _write_description(folder: Path, home: Home, vocabulary: Vocabulary) -> None:
    description = {
        "format": FORMAT,
        "files": {path.name: hash_of(path) for path in sorted(folder.iterdir())},
        "home": home.to_json(),
        "written": {token: spoken.written for token, spoken in vocabulary.spoken.items()},
        "slots": {token: sorted(spoken.slots) for token, spoken in vocabulary.spoken.items()},
    }
    (folder / "model.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")


def hash_of(path: Path) -> str:
    """Return what tells a file from a damaged one: the decoder itself loads half a dictionary without a word."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _move(work: Path, target: Path) -> None:
    """Put a finished model in its place; the one that is there may be damaged, or being read."""
    try:
        work.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        aside = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent))
        target.rename(aside / target.name)
        work.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def _remove_old(starter: Path, kept: set[Path | None]) -> None:
    """Remove models before the last: a worker may still be loading that one."""
    for folder in starter.iterdir():
        if folder.is_dir() and folder not in kept and not folder.name.startswith("."):
            shutil.rmtree(folder, ignore_errors=True)
