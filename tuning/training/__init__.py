"""One task in one process: from its id to its record. All of torch's part."""
