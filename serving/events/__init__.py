"""Live events at the endpoint: checked at the door, kept, and followed by every version that serves."""
