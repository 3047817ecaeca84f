"""GitHub as a place where code is: branches, their heads, and tokens that may read one repository."""
