"""A first definition drafted from a log's files, by looking at them; what is not sure stays open."""
