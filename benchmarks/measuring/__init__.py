"""How figures are taken, drawn and kept: memory, parts of a request, pictures, dated result files."""
