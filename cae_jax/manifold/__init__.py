"""Analyses of the class codes of many images: projections, the topology graph, measures of the method's claims."""

from cae_jax.manifold.claims import Answer, CodeSpace, coherency, path_roughness, pervasiveness, smoothness
from cae_jax.manifold.projection import PrincipalComponents, intrinsic_dimension, principal_components, tsne
from cae_jax.manifold.shortcuts import PROPERTIES, measure_properties, rank_correlations
from cae_jax.manifold.topology import EmptyGraph, MapperOptions, TopologyGraph, build_topology

__all__ = [
    "PROPERTIES",
    "Answer",
    "CodeSpace",
    "EmptyGraph",
    "MapperOptions",
    "PrincipalComponents",
    "TopologyGraph",
    "build_topology",
    "coherency",
    "intrinsic_dimension",
    "measure_properties",
    "path_roughness",
    "pervasiveness",
    "principal_components",
    "rank_correlations",
    "smoothness",
    "tsne",
]
