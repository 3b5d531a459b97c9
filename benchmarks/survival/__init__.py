"""What a search that is killed keeps."""
