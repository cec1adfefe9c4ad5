"""What the demo writes, kept as a reference: ``python -m tests.freeze`` writes it anew.

A change of structure leaves every file of the demo as it is. ``tests/data/freeze`` holds two files:
``exact.json`` the SHA-256 of each file that must stay the same byte by byte, and of which machine
that is known; ``outlines.json.xz`` a readable text of every file, whose words must stay the same
and whose numbers must stay near. Time of the run, its folder and versions of libraries are masked.

Last digits of floats differ from one processor to the next: BLAS, NumPy and onnxruntime choose
their kernels by it, so bytes are only asked for on the processor and library versions that wrote
the reference, and there numbers are held to 1e-9. Elsewhere what was computed in float64 is held to
1e-6, and what went through the float32 graph of the bundle (its parity is about 1e-5, so a request
may fall on the other side of the threshold) to a hundredth.
"""

import hashlib
import json
import lzma
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet
from onnx import numpy_helper

REPOSITORY = Path(__file__).parents[1]
REFERENCE = REPOSITORY / "tests" / "data" / "freeze"
EXACT, OUTLINES = REFERENCE / "exact.json", REFERENCE / "outlines.json.xz"

TO_NINE_DIGITS = re.compile(r".*(metrics\.json|run\.json|\.npz)")
"""Files that need not be the same to the last bit: a sum may be taken in another order."""

_SHOWN = 64
"""Most entries of a list that an outline holds."""
THROUGH_FLOAT32 = re.compile(r"sample-1/(?!scorer)|report/|stdout")

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "tokenizers", "onnx", "onnxruntime")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")
_MASKS = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)", "<time>"),
    (rf'("(?:difficulty|{"|".join(_LIBRARIES)})": )"[\w.+]+"', r'\1"<version>"'),
    (r"(<dt>(?:libraries|judged with), [\w-]+</dt><dd>)[^<]+", r"\1<version>"),
    (
        r'("judged_on": "|<dt>judged on</dt><dd>|requests of traffic\.parquet, )[\d-]{10}',
        r"\1<today>",
    ),
)
_WITH_TIME_OR_PATH = re.compile(
    r"(?:run|manifest|policy|metrics|economics|summary)\.json|\.md|\.html|\.txt"
)
_COMMAND = "from difficulty.cli import main; main()"


def run_command(*words, cwd):
    """Run ``difficulty`` with some words in a folder, on one thread, and return what it prints."""
    one_thread = {"OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", _COMMAND, *map(str, words)]
    settings = {"cwd": cwd, "env": {**os.environ, **one_thread}, "capture_output": True}
    done = subprocess.run(command, text=True, encoding="utf-8", **settings)
    if done.returncode:
        raise RuntimeError(f"difficulty {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


def write_demo(folder):
    """Run the demo and return its folder, with what it printed in ``stdout.txt``."""
    printed = run_command("demo", "-o", folder / "demo", cwd=folder)
    (folder / "demo" / "stdout.txt").write_text(printed, encoding="utf-8")
    return folder / "demo"


def names_in(folder):
    """Return the names of all files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in paths]


def this_machine():
    """Return what the last digits of a float depend on: the processor and the libraries."""
    lines = []
    if (table := Path("/proc/cpuinfo")).is_file():
        lines = re.findall("^(?:model name|flags).*", table.read_text(), flags=re.MULTILINE)
    digest = hashlib.sha256("\n".join(lines[:2]).encode()).hexdigest()[:16]
    libraries = {name: version(name) for name in (*_LIBRARIES, "pyarrow")}
    return {"processor": f"{platform.machine()} {digest}", **libraries}


def digests_of(folder):
    """Return the SHA-256 of each file that is held byte by byte, masked where it is text."""
    exact = [name for name in names_in(folder) if not TO_NINE_DIGITS.fullmatch(name)]
    return {name: hashlib.sha256(_masked_bytes(folder, name)).hexdigest() for name in exact}


def outlines_of(folder):
    """Return each file as text."""
    return {name: outline_of(folder, name) for name in names_in(folder)}


def outline_of(folder, name):
    """Return a file as text: arrays and graphs by their shapes, sums and some entries."""
    path = folder / name
    match path.suffix:
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return "\n".join(_array_line(key, arrays[key]) for key in arrays.files)
        case ".onnx":
            return _graph_outline(onnx.load(path))
        case ".parquet":
            table = pyarrow.parquet.read_table(path)
            rows = json.dumps(table.to_pylist(), default=str).encode()
            return f"{table.schema.to_string()}\nrows {hashlib.sha256(rows).hexdigest()}"
        case ".bin":
            return hashlib.sha256(path.read_bytes()).hexdigest()
        case _ if path.stat().st_size > 300_000 and not _WITH_TIME_OR_PATH.search(name):
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return _masked_bytes(folder, name).decode()


def first_difference(name, before, after, *, same_machine):
    """Return where a file's outline differs from the reference, or an empty text."""
    if not same_machine:
        if name.endswith(".html"):
            return ""  # coordinates of drawings; report.md has the same figures
        before, after = (re.sub(r"[0-9a-f]{64}", "<hash>", text) for text in (before, after))
    relative, absolute = _tolerance(name, same_machine=same_machine)
    lines = zip(_lines(before), _lines(after), strict=False)
    for number, (old, new) in enumerate(lines, 1):
        if (place := _first_place(old, new, relative, absolute)) is not None:
            start = max(place - 60, 0)
            was, now = old[start : place + 60], new[start : place + 60]
            return f"{name}, line {number}, from column {start + 1}:\n  was {was!r}\n  now {now!r}"
    counts = [len(_lines(text)) for text in (before, after)]
    return "" if counts[0] == counts[1] else f"{name}: was {counts[0]} lines, now {counts[1]}"


def write_reference(folder):
    """Write the reference of a demo's folder."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    exact = {"machine": this_machine(), "sha256": digests_of(folder)}
    EXACT.write_text(json.dumps(exact, indent=2) + "\n", encoding="utf-8")
    outlines = {name: _NUMBER.sub(_short, text) for name, text in outlines_of(folder).items()}
    OUTLINES.write_bytes(lzma.compress(json.dumps(outlines).encode(), preset=9))


def read_reference():
    """Return the reference: machine, digests by file and outlines by file."""
    exact = json.loads(EXACT.read_text(encoding="utf-8"))
    return exact["machine"], exact["sha256"], json.loads(lzma.decompress(OUTLINES.read_bytes()))


def _tolerance(name, *, same_machine):
    if same_machine:
        return 1e-9, 1e-12
    return (1e-2, 2e-3) if THROUGH_FLOAT32.match(name) else (1e-6, 1e-9)


def _lines(text):
    return text.split("\n")


def _short(match):
    """Return a number with no more digits than are compared: half the size of the reference."""
    text = match.group()
    return format(float(text), ".11g") if len(text) > 13 and "." in text else text


def _first_place(old, new, relative, absolute):
    """Return the first column in which two lines differ by more than digits of their numbers."""
    if old == new:
        return None
    old_at = new_at = 0
    pairs = zip(_NUMBER.finditer(old), _NUMBER.finditer(new), strict=False)
    for was, now in pairs:
        if old[old_at : was.start()] != new[new_at : now.start()]:
            return old_at
        near = {"rel_tol": relative, "abs_tol": absolute}
        if not math.isclose(float(was.group()), float(now.group()), **near):
            return was.start()
        old_at, new_at = was.end(), now.end()
    return None if old[old_at:] == new[new_at:] else old_at


def _array_line(name, array):
    head = f"{name} {array.dtype} {array.shape}"
    if array.dtype.kind != "f":
        return f"{head} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"
    flat = np.nan_to_num(array.astype(float).ravel(), nan=-1.0)
    entries = flat[np.linspace(0, flat.size - 1, 8).astype(int)] if flat.size else flat
    figures = [float(flat.sum()), float((flat**2).sum()), *entries.tolist()]
    return f"{head} {' '.join(map(repr, figures))}"


def _graph_outline(model):
    graph = model.graph
    opsets = [(opset.domain, opset.version) for opset in model.opset_import]
    lines = [f"ir {model.ir_version} opsets {opsets}"]
    lines += [" ".join(str(value).split()) for value in (*graph.input, *graph.output)]
    for node in graph.node:
        attributes = {item.name: _attribute(item) for item in node.attribute}
        lines.append(f"{node.op_type} {list(node.input)} {list(node.output)} {attributes}")
    return "\n".join([*lines, *map(_tensor_line, graph.initializer)])


def _attribute(attribute):
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, list) and len(value) > _SHOWN:  # of trees
        return _array_line(attribute.name, np.array(value))
    return _tensor_line(value) if isinstance(value, onnx.TensorProto) else value


def _tensor_line(tensor):
    return _array_line(tensor.name, numpy_helper.to_array(tensor))


def _masked_bytes(folder, name):
    """Return a file's bytes, without what two runs of the same code differ in where it is text."""
    content = (folder / name).read_bytes()
    if not _WITH_TIME_OR_PATH.search(name):
        return content
    text = content.decode().replace(str(folder), "<out>")
    text = text.replace(_review_date(folder), "<review date>")
    for pattern, mask in _MASKS:
        text = re.sub(pattern, mask, text)
    if name.endswith("manifest.json"):  # of files with a time in them; each is compared by itself
        text = re.sub(r'("sha256": )"[0-9a-f]{64}"', r'\1"<hash>"', text)
        text = re.sub(r'(metrics\.json": \{[^}]*"bytes": )\d+', r"\1<size>", text)
    return text.encode()


def _review_date(folder):
    """Return the day 91 days after shipping, as the recipe asks."""
    manifest = json.loads((folder / "sample-1/manifest.json").read_text(encoding="utf-8"))
    return str(date.fromisoformat(manifest["created"][:10]) + timedelta(days=91))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        write_reference(write_demo(Path(scratch)))
