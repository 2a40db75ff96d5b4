"""Features that are computed: one function each, which examples and requests both call."""
