"""Engines: loaded models behind one small protocol per task. The only room that imports ML libraries."""
