"""A template for data of one's own: a folder of images for each class, of any size, on a CPU or an accelerator.

    python train.py --config configs/folder.py --config.data.name=IMAGES
    python explain.py --workdir runs/folder

`IMAGES/` holds a folder of images for each class (PNG, JPEG, BMP, TIFF; DICOM with pydicom), or `train/` and `test/`
with such folders in them. A CSV file with a line for each image does as well, and keeps patients apart:

    python train.py --config configs/folder.py --config.data.name=images.csv --config.data.table.group=patient

`--config.train.minutes=40` takes as many steps as there is time for. The classifier is trained here unless one is
named; `docs/own_classifier.md` has JAX, PyTorch, ONNX and any function. The preset was tried at 64×64; for images as
small as digits of 28×28, start from `presets.default()`.
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.pictures()
    config.data.update(name="./images", size=(64, 64), channels=0)  # 1 for grey, 3 for RGB, 0 as they are
    return config
