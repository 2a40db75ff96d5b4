"""What people write, and how it is read, shown and passed on."""
