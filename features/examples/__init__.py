"""Point-in-time examples, built on Beam."""
