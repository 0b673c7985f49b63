"""The convolution of all networks here, in the form that is fastest on the platform that runs it.

XLA leaves the choice of an algorithm to a GPU's library and to a TPU's compiler. On a CPU it copies `k·k` numbers for
every input, is slower still in the gradients, and computes those of a few pixels naively. There, the forms here are
matrix products, forward and backward; `docs/performance.md` has what that brings.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cae_jax.models.products import convolve_in_blocks, patch_convolve, tap_convolve
from cae_jax.models.winograd import FILTERINGS, winograd_convolve

MANY_CHANNELS = 128  # below it, what tiles save in products is lost in making them, and to the compiler


def direct_convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """`convolve`, as XLA computes it."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _stepwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    rows, columns, inputs, outputs = kernel.shape
    if rows == columns and rows in FILTERINGS and min(inputs, outputs) >= MANY_CHANNELS:
        return winograd_convolve(x, kernel)
    return tap_convolve(x, kernel) if outputs < inputs else patch_convolve(x, kernel)


def product_convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """`convolve` by matrix products."""
    rows, columns = kernel.shape[:2]
    if rows == columns and (stride == 2 or rows > max(FILTERINGS)):
        return convolve_in_blocks(x, kernel, stride, _stepwise)
    return _stepwise(x, kernel)


class _Task(NamedTuple):
    """What is asked of a convolution: its outputs, or the gradient of its input or of its kernel, of a shape."""

    stride: int
    gradient_of: int | None = None
    shape: tuple[int, ...] = ()

    def run(self, form: Callable[..., jax.Array], first: jax.Array, second: jax.Array) -> jax.Array:
        """From input and kernel the outputs; from one of the two and the outputs' cotangent, the other's gradient."""
        if self.gradient_of is None:
            return form(first, second, self.stride)
        arguments = (lambda x: (x, first)) if self.gradient_of == 0 else (lambda kernel: (first, kernel))
        linear = lambda array: form(*arguments(array), self.stride)  # noqa: E731
        return jax.vjp(linear, jnp.zeros(self.shape, first.dtype))[1](second)[0]


@functools.partial(jax.jit, static_argnums=0)  # so that all layers of a size share what is traced
def _run(task: _Task, first: jax.Array, second: jax.Array) -> jax.Array:
    direct, products = (functools.partial(task.run, form) for form in (direct_convolve, product_convolve))
    if first.dtype.itemsize < 4:  # too coarse for sums of tiles, and few CPUs multiply it
        return direct(first, second)
    return lax.platform_dependent(first, second, cpu=products, default=direct)


# Each of these is linear in both of its arrays, and its gradients are the other two.
_outputs: Any = jax.custom_vjp(lambda x, kernel, stride: _run(_Task(stride), x, kernel), nondiff_argnums=(2,))
_input_gradient: Any = jax.custom_vjp(
    lambda kernel, cotangent, stride, shape: _run(_Task(stride, 0, shape), kernel, cotangent), nondiff_argnums=(2, 3)
)
_kernel_gradient: Any = jax.custom_vjp(
    lambda x, cotangent, stride, shape: _run(_Task(stride, 1, shape), x, cotangent), nondiff_argnums=(2, 3)
)
Pair = tuple[jax.Array, jax.Array]


def _keep(function: Callable) -> Callable:
    return lambda first, second, *static: (function(first, second, *static), (first, second))


def _of_outputs(stride: int, kept: Pair, cotangent: jax.Array) -> Pair:
    x, kernel = kept
    return (
        _input_gradient(kernel, cotangent, stride, x.shape),
        _kernel_gradient(x, cotangent, stride, kernel.shape),
    )


def _of_input_gradient(stride: int, shape: tuple[int, ...], kept: Pair, direction: jax.Array) -> Pair:
    kernel, cotangent = kept
    return _kernel_gradient(direction, cotangent, stride, kernel.shape), _outputs(direction, kernel, stride)


def _of_kernel_gradient(stride: int, shape: tuple[int, ...], kept: Pair, direction: jax.Array) -> Pair:
    x, cotangent = kept
    return _input_gradient(direction, cotangent, stride, x.shape), _outputs(x, direction, stride)


_outputs.defvjp(_keep(_outputs), _of_outputs)
_input_gradient.defvjp(_keep(_input_gradient), _of_input_gradient)
_kernel_gradient.defvjp(_keep(_kernel_gradient), _of_kernel_gradient)


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves without padding.

    Of what goes forward, only `x` and `kernel` are kept for the gradients, not the patches or tiles made of them, which
    are several times as large. Gradients of gradients are convolutions of this kind again.

    Args:
        x: `[batch, height, width, in]`.
        kernel: `[k, l, in, out]`; square if the stride is 2.
        stride: 1 or 2, in both directions.

    Returns:
        `[batch, (height - k) // stride + 1, (width - l) // stride + 1, out]`.
    """
    return _outputs(x, kernel, stride)
