"""GitHub: where code is read, and where people see what became of it. Each with a token that may do that alone."""
