"""Where and how Beam runs."""
