"""What a cluster's store can let go of: chosen by one policy, removed, counted afterwards."""
