"""Configs: where they come from, what keys and values they may have, and the presets that they start from."""
