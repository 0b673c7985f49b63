"""Compares explanation methods on a trained run: what each method may see, what it returns, and how it is scored."""
