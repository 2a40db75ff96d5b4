"""Rankers that multiply vectors pair by pair, from the factorisation machine on."""
