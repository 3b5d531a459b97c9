"""Tests of benchmarks/: that each runs, and what it concludes from what it measured."""
