"""Models as people have them, for ``benchmarks.quality.wins``: a pretrained encoder, a GPT-2 nobody
tuned.
"""
