"""Commands that talk to a running endpoint."""
