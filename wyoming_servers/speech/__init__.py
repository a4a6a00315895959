"""Speech: pure text and audio work, without engines or I/O."""
