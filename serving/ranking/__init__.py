"""Request in, answer out; knows no protocol."""
