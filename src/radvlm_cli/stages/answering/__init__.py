"""Workers that answer, on any number of GPUs, and what survives them."""
