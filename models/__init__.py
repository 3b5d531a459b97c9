"""What is trained: workloads, and what can be done to a model beside its schedule."""
