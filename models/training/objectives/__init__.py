"""What a training minimises: terms that any ranker may learn from, a file each."""
