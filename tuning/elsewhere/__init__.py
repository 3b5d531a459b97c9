"""Where trials are told beside the run directory: other tools' files and servers.

One file each, found by itself. None is ever read back, and none can harm a search.
"""
