"""Recipe in, trained weights out."""
