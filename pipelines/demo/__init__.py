"""``make demo``, and the replay of held-out users."""
