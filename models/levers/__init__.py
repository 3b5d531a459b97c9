"""Levers inside a model: what else than the schedule makes a step cheaper.

See the module of each step.
"""
