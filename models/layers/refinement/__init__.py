"""Feature refinement: layers between a row's field vectors and what crosses them."""
