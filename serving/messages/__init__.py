"""What a ranking request and its answer hold, whatever protocol brought them."""
