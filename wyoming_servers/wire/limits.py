"""How much any client may ask of a server, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one server. Every refusal names the bound it hit."""

    header_bytes: int = 64 * 1024
    """One JSON header line; asyncio's own default for a line."""
    data_bytes: int = 64 * 1024
    payload_bytes: int = 1024 * 1024
    """About 10 s of 48 kHz stereo audio; Home Assistant sends 320 bytes."""
    min_rate_hz: int = 8_000
    max_rate_hz: int = 48_000
    max_channels: int = 2
    utterance_seconds: float = 60.0
    """Audio of one utterance, silence included."""
    text_characters: int = 8_000
    """All text of one request."""
    connections: int = 256
    idle_seconds: float = 120.0
    """Longest wait for the next event while nothing is being done for the client."""
    event_seconds: float = 15.0
    """Longest wait for the rest of an event that has begun."""
    write_seconds: float = 30.0
    """Longest wait for a client to take what it asked for."""
    drain_seconds: float = 5.0
    """How long requests in progress may still run when the server is asked to stop."""
