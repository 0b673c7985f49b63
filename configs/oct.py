"""Optical coherence tomography of the retina, four classes, 256×256, with the published sizes and recipe.

    python train.py --config configs/oct.py --config.classifier.path=...

Data: Kermany et al. 2018, https://data.mendeley.com/datasets/rscbjbr9sj/2 (CC BY 4.0), `OCT2017`.

Lay it out as it comes: `data/oct/train/` and `data/oct/test/` with the folders `CNV`, `DME`, `DRUSEN` and `NORMAL`; or
as the authors do, see `docs/own_data.md`. A tenth of `train` becomes the validation split; patients have several images
there (`CLASS-PATIENT-NUMBER.jpeg`), so a CSV file with a column for them keeps them apart.

200,000 steps of one pair are meant for an accelerator; `configs/oct_64.py` is for a CPU.
Not run to its end here.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.official()
    config.data.update(name="./data/oct", size=(256, 256), channels=3)
    return config
