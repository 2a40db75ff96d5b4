"""Deploy: put a version that passed its gate into service."""
