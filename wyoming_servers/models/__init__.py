"""Models: where their files may lie and how a name becomes one of them."""
