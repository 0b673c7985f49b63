"""The errors that programs tell in a sentence."""


class UserError(Exception):
    """What a person can put right. Its message says what is wrong, where, and what to do: programs show that only."""


class InputError(UserError, ValueError):
    """Images or arguments that cannot be used; the message names the file or index and says what to do."""


class OneClass(UserError, RuntimeError):
    """The images, or the classifier's answers to them, are all of one class, so that no pair can be formed."""


class NonFiniteLoss(UserError, RuntimeError):
    """A loss term is infinite or not a number; the message names the step and the terms."""


class Terminated(BaseException):
    """SIGTERM has come and what was done is saved; like KeyboardInterrupt no Exception, so that nothing holds it up."""
