"""Tests of models.adapters."""
