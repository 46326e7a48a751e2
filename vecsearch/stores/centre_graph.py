"""The graph over the centres of cells, by which the nearest ones are found without a look at all of them.

It is a hierarchical navigable small world (Malkov & Yashunin 2020; FAISS "HNSW") by inner products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.stores.faiss_library import faiss

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["centres_of", "graph_bytes", "graph_over", "nearest_cells", "read_graph"]

LINKS = 16
"""Neighbours of a centre in the graph, on each of its levels but the lowest, which has twice as many."""


def graph_over(centres: Floats) -> Any:
    """Return a graph over centres, float32 ``(n_cells, width)``, which it keeps with 8 bits a dimension."""
    library = faiss()
    graph = library.IndexHNSWSQ(centres.shape[1], library.ScalarQuantizer.QT_8bit, LINKS, library.METRIC_INNER_PRODUCT)
    graph.train(centres)
    graph.add(centres)
    return graph


def nearest_cells(graph: Any, vectors: Floats, k: int) -> tuple[Floats, Numbers]:
    """Return inner products with the ``k`` nearest centres, and their cells, nearest first: both ``(n, k)``."""
    library = faiss()
    parameters = library.SearchParametersHNSW()
    # a token is put into a near cell, which need not be the nearest; a query should look into the nearest ones
    parameters.efSearch = 24 if k == 1 else max(2 * k, 64)
    found: tuple[Floats, Numbers] = graph.search(vectors, k, params=parameters)
    return found


def centres_of(graph: Any) -> Floats:
    """Return the centres as the graph keeps them: float32 ``(n_cells, width)``."""
    centres = np.empty((graph.ntotal, graph.d), np.float32)
    graph.reconstruct_n(0, graph.ntotal, centres)
    return centres


def graph_bytes(graph: Any) -> bytes:
    """Return all of a graph; ``read_graph`` reads it back."""
    content: bytes = faiss().serialize_index(graph).tobytes()
    return content


def read_graph(content: Bytes, width: int, n_cells: int) -> Any:
    """Read what ``graph_bytes`` gave.

    Raises:
        ValueError: it is anything else, or has not ``n_cells`` centres of ``width`` dimensions.
    """
    library = faiss()
    limits = library.get_deserialization_vector_byte_limit(), library.get_deserialization_loop_limit()
    library.set_deserialization_vector_byte_limit(len(content))
    library.set_deserialization_loop_limit(len(content))
    try:
        graph = library.deserialize_index(np.ascontiguousarray(content))
        storage: Any = library.downcast_index(graph.storage) if type(graph) is library.IndexHNSWSQ else None
        found = (type(storage), graph.d, graph.ntotal, graph.metric_type)
        if found != (library.IndexScalarQuantizer, width, n_cells, library.METRIC_INNER_PRODUCT) or (
            (storage.d, storage.ntotal, storage.codes.size()) != (width, n_cells, width * n_cells)
        ):
            raise ValueError("the graph of a codebook has another shape than the codebook")
    except RuntimeError as error:
        raise ValueError(f"the graph of a codebook cannot be read: {error}") from error
    finally:
        library.set_deserialization_vector_byte_limit(limits[0])
        library.set_deserialization_loop_limit(limits[1])
    return graph
