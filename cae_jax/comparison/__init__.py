"""Methods that explain classifiers, compared on a trained run: what each may see, what it answers, how it is scored."""
