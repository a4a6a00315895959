"""Hearth: Wyoming servers for local voice, and the hub that joins them."""

__version__ = "0.1.0"
