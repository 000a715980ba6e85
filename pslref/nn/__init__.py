"""Layers, loss, network and optimizer by hand (docs/method.md, section 7)."""
