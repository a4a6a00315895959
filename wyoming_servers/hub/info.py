"""What the hub says of itself: one program per service, made of what its workers say.

Home Assistant creates its entities from the first answer it gets and freezes most of it, so a service whose
worker is still starting is described from the settings rather than left out.
"""

from collections.abc import Sequence

from wyoming.info import (
    AsrModel,
    AsrProgram,
    Attribution,
    HandleProgram,
    Info,
    IntentModel,
    IntentProgram,
    TtsProgram,
    TtsVoice,
)

from wyoming_servers import __version__
from wyoming_servers.hub.supervisor import Supervisor

PROGRAM = "hearth"
_OURS = Attribution(name="Hearth", url="https://www.home-assistant.io/voice_control/")


def merged_info(supervisor: Supervisor, language: str, intent_languages: Sequence[str]) -> Info:
    """Return the hub's `info`: asr, tts and intent, and handle where a language model answers.

    Home Assistant makes one conversation entity, from `intent` if there is one; it takes `handled` from it too.
    """
    return Info(
        asr=_asr(supervisor, language),
        tts=_tts(supervisor, language),
        intent=[_intent(intent_languages)],
        handle=_handle(supervisor),
    )


def _asr(supervisor: Supervisor, language: str) -> list[AsrProgram]:
    worker = supervisor["stt"]
    theirs = next((program for program in worker.info.asr if program.installed), None) if worker.info else None
    if not worker.plan.is_set_up:
        return []
    model = AsrModel(
        name=PROGRAM,
        attribution=_OURS,
        installed=True,
        description="Speech-to-text, starting",
        version=__version__,
        languages=[language],
    )
    return [
        AsrProgram(
            name=PROGRAM,
            attribution=_OURS,
            installed=True,
            description="Local speech-to-text",
            version=__version__,
            models=theirs.models if theirs else [model],
            supports_transcript_streaming=theirs.supports_transcript_streaming if theirs else True,
            requires_external_vad=theirs.requires_external_vad if theirs else False,
            prefers_auto_gain_enabled=theirs.prefers_auto_gain_enabled if theirs else False,
            prefers_noise_reduction_enabled=theirs.prefers_noise_reduction_enabled if theirs else False,
        )
    ]


def _tts(supervisor: Supervisor, language: str) -> list[TtsProgram]:
    worker = supervisor["tts"]
    theirs = next((program for program in worker.info.tts if program.installed), None) if worker.info else None
    if not worker.plan.is_set_up:
        return []
    voice = TtsVoice(
        name=PROGRAM,
        attribution=_OURS,
        installed=True,
        description="Text-to-speech, starting",
        version=__version__,
        languages=[language],
    )
    return [
        TtsProgram(
            name=PROGRAM,
            attribution=_OURS,
            installed=True,
            description="Local text-to-speech",
            version=__version__,
            voices=theirs.voices if theirs else [voice],
            supports_synthesize_streaming=theirs.supports_synthesize_streaming if theirs else True,
        )
    ]


def _intent(languages: Sequence[str]) -> IntentProgram:
    model = IntentModel(
        name="commands",
        attribution=Attribution(name="Home Assistant", url="https://github.com/OHF-Voice/intents"),
        installed=True,
        description="Commands for the home",
        version=__version__,
        languages=list(languages),
    )
    return IntentProgram(
        name=PROGRAM,
        attribution=_OURS,
        installed=True,
        description="Local conversation",
        version=__version__,
        models=[model],
    )


def _handle(supervisor: Supervisor) -> list[HandleProgram]:
    info = supervisor["llm"].info
    theirs = next((program for program in info.handle if program.installed), None) if info else None
    if theirs is None:
        return []
    return [
        HandleProgram(
            name=PROGRAM,
            attribution=_OURS,
            installed=True,
            description="Answers from the local language model",
            version=__version__,
            models=theirs.models,
            supports_handled_streaming=theirs.supports_handled_streaming,
            supports_home_control=theirs.supports_home_control,
        )
    ]
