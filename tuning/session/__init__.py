"""An experiment under way: a run is held, its tasks are given out, and their endings are told to
those whom they concern.
"""
