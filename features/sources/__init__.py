"""Any log, read into typed columns."""
