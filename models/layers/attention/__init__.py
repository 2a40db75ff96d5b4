"""Query-mixed attention over events without padding, and what each way of computing it costs."""
