"""What levers do to a training run: each file applies one lever, in our loop and in a user's."""
