"""Checkpoints of LLaVA-OneVision: read in any of their layouts, named by strict rules, written as one Hub folder.

Tensors pass through as bytes: nothing here needs torch for safetensors files, and what does imports it inside.
"""
