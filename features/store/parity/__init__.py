"""The gate that holds what is served to what was trained on."""
