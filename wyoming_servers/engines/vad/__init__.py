"""Engines of the vad task; none imports another."""
