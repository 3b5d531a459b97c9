"""How the same products are computed: attention kernels, number formats, compilation."""
