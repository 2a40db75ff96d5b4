"""Commands on what goes into runs."""
