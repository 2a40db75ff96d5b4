"""What measures; dated results live in results/."""
