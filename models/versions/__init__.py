"""The exported model version: written, checked, loaded, scored."""
