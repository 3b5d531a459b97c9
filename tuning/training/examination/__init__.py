"""Whether a workload keeps what a search relies on, found by trying: one file, some rules."""
