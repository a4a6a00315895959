"""Intents: what a home is called, and which command a sentence is."""
