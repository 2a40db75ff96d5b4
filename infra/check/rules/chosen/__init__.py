"""What an installation chooses, within what does some good: sizes, addresses, disks, times, numbers."""
