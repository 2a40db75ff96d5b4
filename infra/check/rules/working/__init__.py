"""Objects that every controller accepts and that would not do their work in a night."""
