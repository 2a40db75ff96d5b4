"""Which version answered whom with what: the exposure log."""
