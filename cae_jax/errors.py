"""The errors that programs tell in a sentence."""


class UserError(Exception):
    """What a person can put right. Its message says what is wrong, where, and what to do: programs show that only."""
