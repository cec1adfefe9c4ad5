"""The int8 MiniLM encoder of recipe ``accurate`` as a bare ONNX session, tokenizer included:
``encoder.py FOLDER``.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer
from worker import serve

folder = Path(sys.argv[1])
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(
    str(folder / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
)
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(256)


def embed(text: str) -> object:
    """Return the embedding of one text."""
    ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
    return session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})


embed("first request")
serve({"embed": embed})
