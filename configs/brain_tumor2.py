"""Slices of brain scans of BraTS 2021, without and with a tumour, 256×256, with the published sizes and recipe.

    python train.py --config configs/brain_tumor2.py --config.classifier.path=...

Data: the authors' slices, linked from https://github.com/xrt11/XAI-CODE; the volumes they were cut from are
https://www.kaggle.com/datasets/dschettler8845/brats-2021-task1.

Lay it out as the authors do: `data/brain_tumor2/trainA_img/`, `trainB_img/`, `testA_img/`, `testB_img/`, and the lines
`name label` in `trainAB_img-name_label.txt` and `testAB_img-name_label.txt`.

200,000 steps of one pair are meant for an accelerator; `configs/brain_tumor2_64.py` is for a CPU.
Not run to its end here.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.official()
    config.data.update(name="./data/brain_tumor2", size=(256, 256), channels=3)
    return config
