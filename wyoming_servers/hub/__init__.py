"""The hub: one process without ML libraries that joins the workers."""
