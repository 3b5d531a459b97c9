"""What steps cost, timed alone on the device, and whether they were."""
