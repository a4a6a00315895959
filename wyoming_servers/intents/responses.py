"""What to say about a command, where Home Assistant is not there to say it.

The templates are home-assistant-intents'. Home Assistant renders them with the states it has just changed or read;
here only the command is known, and what cannot be said without a state is not said.
"""

import dataclasses
import functools
from datetime import datetime

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from wyoming_servers.intents.recogniser import Command

# A template that looks up the domain of a thing we know too little of then says "Turned on", not "Turned on None".
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, finalize=lambda value: "" if value is None else value
)
_CANNOT_RENDER = (TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError)


def render_response(command: Command, *, now: datetime | None = None) -> str | None:
    """Return the answer to a command that is carried out, None if it needs a state of Home Assistant.

    `now` is the local time, for commands that ask for it.
    """
    if command.response is None:
        return None
    now = now or datetime.now().astimezone()
    slots = {"time": now.time(), "date": now.date(), **command.slots, **command.words}
    state = {"domain": command.domain, **({"name": slots["name"]} if "name" in slots else {})}
    try:
        text = _compiled(command.response).render(slots=slots, state=state)
    except _CANNOT_RENDER:
        return None
    return " ".join(text.split()) or None


def settle_response(command: Command) -> Command:
    """Return the command with a response that stock Home Assistant speaks well.

    It is a template still, but for timers: from values alone Home Assistant would say "1 hours". Text with a brace
    in it is never sent as finished, for Home Assistant would run what somebody said as a template.
    """
    if command.intent != "HassStartTimer" or not (text := render_response(command)) or "{" in text:
        return command
    return dataclasses.replace(command, response=text)


@functools.lru_cache(maxsize=128)
def _compiled(response: str) -> Template:
    return _ENVIRONMENT.from_string(response)
