"""Tests of models/approximation/."""
