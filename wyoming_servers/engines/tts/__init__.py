"""Engines of the tts task; none imports another."""
