"""What a workload is made of, as its source says it: digests, and what it is given from outside."""
