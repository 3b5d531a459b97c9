"""What was asked for, and everything that can be wrong with it. Reads no other run."""
