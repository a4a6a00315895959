"""Engines of the stt task; none imports another."""
