"""Where tasks run: hands ids to processes and says what became of them."""
