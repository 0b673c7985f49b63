"""What stops a run and is nobody's bug; the command line prints these as a sentence."""

from cae_jax.errors import UserError


class OneClass(UserError, RuntimeError):
    """The images, or the classifier's answers to them, are all of one class, so that no pair can be formed."""


class NonFiniteLoss(UserError, RuntimeError):
    """A loss term is infinite or not a number; the message names the step and the terms."""


class Terminated(BaseException):
    """SIGTERM has come and what was done is saved; like KeyboardInterrupt no Exception, so that nothing holds it up."""
