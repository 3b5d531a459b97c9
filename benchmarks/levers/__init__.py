"""What each lever brings, in seconds and in loss."""
