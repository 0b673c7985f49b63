"""Data sets whose images lie in a folder for each class, with or without folders for the splits above them."""

import pathlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from cae_jax.data.folder_files import check_links, folders_in, image_files, images_below
from cae_jax.data.listing import Listing, ListingError, class_order
from cae_jax.data.split_names import splits_of


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of splits by split; none where the folders in `root` are those of classes."""
    meant = splits_of(folder.name for folder in folders_in(root))
    by_split: dict[str, pathlib.Path] = {}
    for name, split in meant.items():
        if split in by_split:
            raise ListingError(f"{by_split[split]} and {name} both mean the {split} split; rename one")
        by_split[split] = root / name
    if meant and "train" not in meant.values():
        raise ListingError(f"{root} has a folder {next(iter(meant))}, but none of training images ('train')")
    return by_split


def _classes(parents: dict[str, pathlib.Path], order: Sequence[str], root: pathlib.Path) -> tuple[str, ...]:
    """The class names, which must be those of every split."""
    first, *others = (parents[split] for split in sorted(parents, key=lambda split: split != "train"))
    names = [folder.name for folder in folders_in(first)]
    if len(names) < 2:
        inner = f"; did you mean {first / names[0]}?" if names and len(folders_in(first / names[0])) > 1 else ""
        raise ListingError(
            f"{first} needs a folder of images for each class, two or more, but has {', '.join(names) or 'no folder'}"
            f"{inner}"
        )
    for parent in others:
        own = {folder.name for folder in folders_in(parent)}
        if not own:
            raise ListingError(
                f"{parent} has no class folders, so its images' classes are not known; give it those of {first}, or "
                f"move it out of {root}, and a split is drawn instead"
            )
        for here, there, missing in ((parent, first, set(names) - own), (first, parent, own - set(names))):
            if missing:
                raise ListingError(f"{here} has no folder {min(missing)}, which {there} has ({len(missing)} such)")
    return class_order(names, order, root)


def list_class_folders(root: pathlib.Path, order: Sequence[str] = ()) -> Listing:
    """Lists `root/CLASS/*` (then the splits are still to be drawn) or `root/train/CLASS/*`, `root/test/CLASS/*`.

    The names of the class folders are the classes. Splits are known by their usual names, such as `Training`, `val`,
    `dev` or `test_set`; those of validation and testing may be lacking.

    Args:
        root: folder of the data set.
        order: names of the classes in the order wanted; empty for the natural order of their names.

    Raises:
        ListingError: naming the folder that is missing or has no images.
    """
    by_split = _split_folders(root)
    parents = by_split or {"": root}
    names = _classes(parents, order, root)
    left_out: Counter[str] = Counter()
    files, labels, splits = [], [], []
    for split, parent in parents.items():
        loose = image_files(parent, Counter())
        if loose:
            left_out[f"beside the class folders of {parent.name}"] += len(loose)
        for label, name in enumerate(names):
            folder = parent / name
            found, below = image_files(folder, left_out), images_below(folder)
            if not found and below:
                raise ListingError(
                    f"{folder} has no images, but its folders {', '.join(f.name for f in folders_in(folder)[:3])} "
                    f"have {below}; move them up into it, or list all images in a .csv"
                )
            if not found:
                raise ListingError(f"{folder} has no images")
            if below:
                left_out[f"in the folders of {folder.relative_to(root).as_posix()}"] += below
            check_links(found, root)
            files += found
            labels += [label] * len(found)
            splits += [split] * len(found)
    for folder in folders_in(root) if by_split else []:
        if folder not in by_split.values():
            others = len(image_files(folder, Counter())) + images_below(folder)
            left_out[f"in the folder {folder.name}, which is no split"] += others
    return Listing(root, tuple(files), np.asarray(labels, np.int32), names, np.asarray(splits), left_out=+left_out)
