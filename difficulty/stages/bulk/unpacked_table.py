"""Unpack a scorer's token table once, and not again for every token of every request.

The shipped graph keeps the embedding table packed, which makes a bundle small and a start fast; of
the time of a long batch the unpacking takes 40 %. What follows from a row of the table alone is
computed here for all rows by the graph's own nodes, so every bit of a score stays as it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difficulty.runtime.session import load_session

# Of one number, or along the last axis: what they make of a row of a table depends on that row.
_BY_ROW = {"BitShift", "BitwiseAnd", "Cast", "Sub", "Mul", "Add", "Div", "Concat", "Mod"}
_MOST_NUMBERS = 100_000_000
"""Of an unpacked table; four bytes each."""


def unpack_tables(graph: bytes) -> bytes:
    """Return a graph that gives the same numbers in less time and more memory; the graph itself
    where there is nothing to unpack, or the package ``onnx`` is not installed.
    """
    try:
        import onnx
    except ImportError:
        return graph
    model = onnx.load_from_string(graph)
    changed = False
    for node in list(model.graph.node):
        if node.op_type == "Gather":
            changed = _unpack(onnx, model, node) or changed
    return bytes(model.SerializeToString()) if changed else graph


def _unpack(onnx: Any, model: Any, gather: Any) -> bool:
    """Put the unpacked table in the place of a packed one; return whether there was one."""
    constants = {item.name: item for item in model.graph.initializer}
    table = constants.get(gather.input[0])
    if table is None or len(table.dims) != 2 or gather.input[1] in constants:
        return False
    if any(item.name == "axis" and item.i for item in gather.attribute):
        return False
    chain, last = _follow(model, gather, constants)
    if not chain or table.dims[0] * table.dims[1] > _MOST_NUMBERS:
        return False
    rows = _compute(onnx, model, gather, chain, last, constants)
    if rows is None or rows.size > _MOST_NUMBERS:
        return False
    name = f"{last}.unpacked"
    model.graph.initializer.append(onnx.numpy_helper.from_array(rows, name))
    place = list(model.graph.node).index(gather)
    new = onnx.helper.make_node("Gather", [name, gather.input[1]], [last], name=f"{last}.gather")
    for node in (gather, *chain):
        model.graph.node.remove(node)
    model.graph.node.insert(place, new)
    model.graph.initializer.remove(table)
    return True


def _follow(model: Any, gather: Any, constants: dict[str, Any]) -> tuple[list[Any], str]:
    """Return the nodes that only rows of the table pass through, and what comes out of them."""
    made, chain = {gather.output[0]}, []
    for node in model.graph.node:
        of_rows = [name for name in node.input if name in made]
        if not of_rows or node.op_type not in _BY_ROW:
            continue
        others = [name for name in node.input if name not in made]
        if all(_is_number(constants.get(name)) for name in others) and _keeps_rows(node):
            made |= {*node.output}
            chain.append(node)
    others = [node for node in model.graph.node if node not in chain]
    used = made & {name for node in others for name in node.input}
    used |= made & {item.name for item in model.graph.output}
    # The table has to leave by one door.
    return (chain, used.pop()) if len(used) == 1 and gather.output[0] not in used else ([], "")


def _is_number(constant: Any) -> bool:
    return constant is not None and len(constant.dims) == 0


def _keeps_rows(node: Any) -> bool:
    # After the gather a tensor has the axes batch, token, column.
    return node.op_type != "Concat" or any(
        item.name == "axis" and item.i in (2, -1) for item in node.attribute
    )


def _compute(
    onnx: Any, model: Any, gather: Any, chain: list[Any], last: str, constants: dict[str, Any]
) -> np.ndarray[Any, Any] | None:
    """Return what the nodes make of every row of the table; ``None`` where they are no such."""
    helper = onnx.helper
    names = {name for node in (gather, *chain) for name in node.input if name in constants}
    graph = helper.make_graph(
        [gather, *chain],
        "rows",
        [helper.make_tensor_value_info(gather.input[1], onnx.TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, [1, None, None])],
        initializer=[constants[name] for name in sorted(names)],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    n = constants[gather.input[0]].dims[0]
    try:
        session = load_session(part.SerializeToString(), name="the token table")
        (rows,) = session.run([last], {gather.input[1]: np.arange(n, dtype=np.int64)[None]})
    except Exception:  # another type than float, other axes: the graph stays as it is
        return None
    return np.ascontiguousarray(rows[0])
