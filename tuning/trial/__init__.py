"""A trial as data and arithmetic: recipe, spec, clock, course, record. Pure: no file, no torch."""
