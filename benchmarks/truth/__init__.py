"""Whether what is said holds: the clock, the verdict, early stopping."""
