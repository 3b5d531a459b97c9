"""What things cost: a search, a trial, a step, the store."""
