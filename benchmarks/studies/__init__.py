"""Studies of the schedule's knobs, each a search and a paired comparison with the control."""
