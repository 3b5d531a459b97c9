"""The run directory: what is written, by whom, so that nothing is lost or written twice."""
