"""all-MiniLM-L6-v2 through sentence-transformers: what routers on embeddings pay before they look
anything up.
"""

import sys

import torch
from sentence_transformers import SentenceTransformer
from worker import serve

torch.set_num_threads(1)
model = SentenceTransformer(sys.argv[1], device="cpu")
model.encode("first request", show_progress_bar=False)
serve(
    {"embed": lambda text: model.encode(text, show_progress_bar=False)},
    batches={
        "embed": lambda texts: model.encode(list(texts), batch_size=64, show_progress_bar=False)
    },
)
