"""An experiment under way.

A run is held, its tasks are given out, their endings told to whom they concern.
"""
