"""Engines of the llm task; none imports another."""
