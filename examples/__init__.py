"""Workloads and loops to copy: each file is complete, and is run by a test."""
