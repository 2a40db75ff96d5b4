"""Which steps in which order, and the commands that run them."""
