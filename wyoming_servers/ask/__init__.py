"""`hearth ask`: one turn with a Wyoming server, done the way Home Assistant does it, and timed."""
