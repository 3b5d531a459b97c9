"""What a training keeps in attributes, closures and hooks: found, marked, saved and put back."""
