"""The structure loss: how unlike images are in what varies from place to place."""

from jaxtyping import Array, Float

from cae_jax.similarity import structural_similarity


def structure_loss(
    prediction: Float[Array, "batch height width channels"], target: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """1 less the structural similarity (SSIM, Wang et al. 2004) of images; not part of the published recipe.

    A difference costs the more the less an image varies around it, so that fine and faint structure is drawn as well
    (Zhao et al. 2017, arXiv 1511.08861).

    Args:
        prediction: images in [-1, 1].
        target: likewise.
    """
    return 1.0 - structural_similarity(0.5 + prediction / 2, 0.5 + target / 2)
