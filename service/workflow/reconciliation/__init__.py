"""What the reconciler looks for, one file per kind of trouble, and how it is settled (06 · decision 7)."""
