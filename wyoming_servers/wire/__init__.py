"""The wire: bounded Wyoming events in and out, and the server skeleton every process shares."""
