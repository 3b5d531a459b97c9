"""Where trials are told beside the run directory: other tools' files and servers.

Each kind of destination is one file, which is found by itself. None is ever read back, and none can
harm a search.
"""
