"""Every ``hemix`` command: it parses, calls, prints and exits; the work is done elsewhere."""
