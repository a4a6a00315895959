"""What the llm worker remembers of its conversations: a little, for a short while, in memory only."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from wyoming_servers.engines.base import Message

_AGE_SECONDS = 300.0
"""As long as Home Assistant keeps a conversation."""
_MOST_CONVERSATIONS = 64
_MOST_TURNS = 6
_MOST_CHARACTERS = 4_000


class Memory:
    """The last turns of each conversation; used on the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty; `clock` gives seconds."""
        self._clock = clock
        self._turns: OrderedDict[str, tuple[float, deque[tuple[str, str]]]] = OrderedDict()

    def recall(self, conversation_id: str | None) -> Sequence[Message]:
        """Return what was said, oldest first; nothing for None or a conversation that is too old."""
        self._forget()
        if conversation_id is None or conversation_id not in self._turns:
            return ()
        messages: list[Message] = []
        for question, answer in self._turns[conversation_id][1]:
            messages += (Message(role="user", content=question), Message(role="assistant", content=answer))
        return messages

    def remember(self, conversation_id: str | None, question: str, answer: str) -> None:
        """Add one turn, and drop the oldest that are over a bound."""
        if conversation_id is None:
            return
        turns = self._turns[conversation_id][1] if conversation_id in self._turns else deque(maxlen=_MOST_TURNS)
        turns.append((question, answer))
        while sum(len(asked) + len(said) for asked, said in turns) > _MOST_CHARACTERS:
            turns.popleft()
        self._turns[conversation_id] = (self._clock(), turns)
        self._turns.move_to_end(conversation_id)
        self._forget()

    def _forget(self) -> None:
        oldest = self._clock() - _AGE_SECONDS
        while self._turns:
            first = next(iter(self._turns))
            if len(self._turns) <= _MOST_CONVERSATIONS and self._turns[first][0] >= oldest:
                return
            del self._turns[first]
