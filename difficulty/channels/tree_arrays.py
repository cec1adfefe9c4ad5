"""Ensembles of trees as arrays, so that Python and a graph fall on the same side of every split.

Thresholds lie half way between two values that a column has, both float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TreeArrays: TypeAlias = "dict[str, NDArray[Any]]"
_Tree: TypeAlias = "tuple[list[tuple[int, np.float32, np.uint8]], FloatArray]"

_MOST_EDGES = 63
_BLOCK = 8_192
_MOST_LEAVES = 8
_FIRST_LEFT = np.array(
    [next((bit for bit in range(8) if not ruled >> bit & 1), 0) for ruled in range(256)]
)
"""By the leaves that are ruled out, as bits: the first that is not."""
_CELLS = 2_000_000
"""Places in trees that are followed at once, which bounds the memory."""


def split_places(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where a column may be split: half way between two values of it."""
    values = np.unique(column)
    places = np.arange(len(values) - 1)
    if len(values) > _MOST_EDGES:
        chosen = np.quantile(column, np.linspace(0.0, 1.0, _MOST_EDGES + 2)[1:-1], method="lower")
        places = np.searchsorted(values, np.unique(chosen))
        places = places[places < len(values) - 1]
    return (values[places] + values[places + 1]) / np.float32(2.0)


def count_below(
    values: NDArray[np.float32], edges: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return how many edges of its column each value is above."""
    columns = [
        np.searchsorted(own, column, side="left")
        for own, column in zip(edges, values.T, strict=True)
    ]
    return np.column_stack(columns).astype(np.float32)


def arrays_of(
    trees: Sequence[Any], base: float, edges: Sequence[NDArray[np.float32]]
) -> TreeArrays:
    """Return an ensemble as arrays: of each node the column, threshold and children, of each leaf
    the value, all trees in one list.

    Parameters
    ----------
    trees : sequence of structured arrays
        The nodes of each, as scikit-learn's histogram boosting has them, grown on what
        :func:`count_below` returns.
    base : float
        What all trees are added to.
    edges : sequence of ndarray
        Of each column, from :func:`split_places`.
    """
    starts = np.cumsum([0, *(len(nodes) for nodes in trees)])
    nodes = np.concatenate(trees) if trees else None
    size = int(starts[-1])
    own = np.repeat(starts[:-1], np.diff(starts))
    arrays: TreeArrays = {
        "base": np.array(base),
        "starts": starts[:-1].astype(np.int32),
        "column": np.zeros(size, dtype=np.int32),
        "threshold": np.zeros(size, dtype=np.float32),
        "children": np.zeros((size, 2), dtype=np.int32),
        "value": np.zeros(size),
    }
    if nodes is None:
        return arrays
    leaf = nodes["is_leaf"].astype(bool)
    arrays["value"] = np.where(leaf, nodes["value"], 0.0)
    arrays["column"] = np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32)
    branch = np.flatnonzero(~leaf)
    # a number of edges that is at most k is a value up to the edge after those
    arrays["threshold"][branch] = [
        edges[column][int(number)]
        for column, number in zip(
            arrays["column"][branch], nodes["num_threshold"][branch], strict=True
        )
    ]
    # a leaf is its own child, so that all trees are followed equally far
    places = np.arange(size)
    arrays["children"] = np.column_stack(
        [np.where(leaf, places, own + nodes[side]) for side in ("left", "right")]
    ).astype(np.int32)
    return arrays


def follow(values: NDArray[np.float32], arrays: TreeArrays) -> FloatArray:
    """Return the sum over the trees of the leaf that each row falls into, of shape (n,).

    A row goes to the first leaf that no split rules out: a split that it is above rules out the
    leaves on its left. Up to 8 leaves those are the bits of a byte, and the 256 sums of each tree
    are looked up.

    References
    ----------
    Lucchese et al. (2015), "QuickScorer: A Fast Algorithm to Rank Documents with Additive Ensembles
    of Regression Trees".
    """
    return following(arrays)(values)


def following(arrays: TreeArrays) -> Callable[[NDArray[np.float32]], FloatArray]:
    """Return what :func:`follow` does with these trees, for many blocks of rows."""
    base = float(arrays["base"])
    trees = [_bits(arrays, int(start)) for start in arrays["starts"]]
    if any(tree is None for tree in trees):
        return lambda values: base + _walk(values, arrays)

    def sums(values: NDArray[np.float32]) -> FloatArray:
        found = np.full(len(values), base)
        for first in range(0, len(values), _BLOCK):
            columns = np.ascontiguousarray(values[first : first + _BLOCK].T)
            total = found[first : first + _BLOCK]
            above = np.empty(len(total), dtype=np.bool_)
            ruled, more = np.empty((2, len(total)), dtype=np.uint8)
            for splits, leaves in filter(None, trees):
                ruled[:] = 0
                for column, threshold, left in splits:
                    np.greater(columns[column], threshold, out=above)
                    np.multiply(above.view(np.uint8), left, out=more)
                    np.bitwise_or(ruled, more, out=ruled)
                total += leaves[ruled]
        return found

    return sums


def _bits(arrays: TreeArrays, root: int) -> _Tree | None:
    """Return the splits of a tree with the leaves on the left of each, as bits, and the value by
    what is ruled out; ``None`` for a tree with more than 8 leaves.
    """
    column, threshold, children, value = (
        arrays[key] for key in ("column", "threshold", "children", "value")
    )
    splits: list[tuple[int, np.float32, np.uint8]] = []
    leaves: list[float] = []

    def below(node: int) -> int:
        """Return the leaves under a node, as bits, from the left on."""
        left, right = children[node].tolist()
        if left == node:
            leaves.append(float(value[node]))
            return 1 << (len(leaves) - 1)
        on_left = below(left)
        splits.append((int(column[node]), threshold[node], np.uint8(on_left & 255)))
        return on_left | below(right)

    below(root)
    if len(leaves) > _MOST_LEAVES:
        return None
    return splits, np.array(leaves + [0.0] * (_MOST_LEAVES - len(leaves)))[_FIRST_LEFT]


def _walk(values: NDArray[np.float32], arrays: TreeArrays) -> FloatArray:
    """Return the sums by going down all trees, however many leaves they have."""
    column, threshold, children, value, starts = (
        arrays[key] for key in ("column", "threshold", "children", "value", "starts")
    )
    found = np.zeros(len(values))
    size = max(1, _CELLS // len(starts))
    for first in range(0, len(values), size):
        rows = values[first : first + size]
        node = np.broadcast_to(starts, (len(rows), len(starts)))
        which = np.arange(len(rows))[:, None]
        while True:
            right = rows[which, column[node]] > threshold[node]
            after = children[node, right.astype(np.int8)]
            if np.array_equal(after, node):
                break
            node = after
        found[first : first + size] += value[node].sum(axis=1)
    return found


def tree_attributes(ensembles: Sequence[TreeArrays], columns: NDArray[np.int64]) -> dict[str, Any]:
    """Return ensembles as the attributes of one operator with a result each; ``columns`` says where
    the operator has each column.
    """
    fields: dict[str, list[Any]] = {
        key: []
        for key in (
            *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes"),
            *("nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true"),
            *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
        )
    }
    tree = 0
    for result, arrays in enumerate(ensembles):
        starts, children = arrays["starts"], arrays["children"]
        ends = np.append(starts[1:], len(children))
        # an operator without trees is none: a leaf of 0 stands for them
        for start, end in zip(starts, ends, strict=True) if len(starts) else [(0, 0)]:
            size = max(1, int(end - start))
            own = children[start:end] - start if end > start else np.zeros((1, 2), dtype=np.int32)
            leaf = own[:, 0] == np.arange(size)
            here = slice(start, end)
            column = arrays["column"][here] if end > start else np.zeros(1, dtype=np.int32)
            threshold = arrays["threshold"][here] if end > start else np.zeros(1)
            value = arrays["value"][here] if end > start else np.zeros(1)
            fields["nodes_treeids"] += [tree] * size
            fields["nodes_nodeids"] += range(size)
            fields["nodes_featureids"] += np.where(leaf, 0, columns[column]).tolist()
            fields["nodes_values"] += threshold.tolist()
            fields["nodes_modes"] += ["LEAF" if one else "BRANCH_LEQ" for one in leaf]
            fields["nodes_truenodeids"] += np.where(leaf, 0, own[:, 0]).tolist()
            fields["nodes_falsenodeids"] += np.where(leaf, 0, own[:, 1]).tolist()
            fields["nodes_missing_value_tracks_true"] += [0] * size
            leaves = np.flatnonzero(leaf)
            fields["target_treeids"] += [tree] * len(leaves)
            fields["target_nodeids"] += leaves.tolist()
            fields["target_ids"] += [result] * len(leaves)
            fields["target_weights"] += value[leaves].tolist()
            tree += 1
    base = [float(arrays["base"]) for arrays in ensembles]
    return fields | {"n_targets": len(ensembles), "base_values": base, "aggregate_function": "SUM"}
