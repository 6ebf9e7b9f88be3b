"""Vision-language models behind one protocol: what each can do, how it is asked, and how its answers are read."""
