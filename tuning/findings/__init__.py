"""What recorded trials say: front, gain, noise, verdict, and the sentence for each."""
