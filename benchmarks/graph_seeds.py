"""How far the topology graph depends on its seed: adjusted Rand index of each image's nearest node over five seeds.

    python benchmarks/graph_seeds.py --codes codes.parquet

The codes are those of `cae codes`. Lens 'pca' depends on no seed; 't-SNE' may.
"""

import argparse
import itertools

import numpy as np
import pyarrow.parquet
from sklearn.metrics import adjusted_rand_score

from cae_jax.manifold import MapperOptions, build_topology

SEEDS = 5


def main() -> None:
    """Builds the graphs and prints how they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", required=True, help="Parquet file of the codes")
    table = pyarrow.parquet.read_table(parser.parse_args().codes)
    size = sum(name.isdigit() for name in table.column_names)
    codes = np.stack([table[str(i)].to_numpy() for i in range(size)], axis=1).astype(np.float32)
    predictions, confidences = table["prediction"].to_numpy(), np.ones(len(codes))
    for lens in ("pca", "tsne"):
        graphs = [
            build_topology(codes, predictions, confidences, MapperOptions(lens=lens, seed=seed))
            for seed in range(SEEDS)
        ]
        nearest = [graph.nearest_node(codes) for graph in graphs]
        scores = [adjusted_rand_score(a, b) for a, b in itertools.combinations(nearest, 2)]
        print(f"{lens}: {len(codes)} codes, {SEEDS} seeds, adjusted Rand index {min(scores):.3f} to {max(scores):.3f}")


if __name__ == "__main__":
    main()
