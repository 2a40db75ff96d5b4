"""What is wrong with a definition and its files, all of it at once, before anything is run."""
