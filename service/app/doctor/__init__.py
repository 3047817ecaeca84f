"""Looking an installation over, part by part: what is there, what is wrong, and what to do about it."""
