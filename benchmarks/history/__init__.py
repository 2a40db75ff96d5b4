"""AUC against history length, at equal data and at equal compute."""
