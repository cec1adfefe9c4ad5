"""A classifier of the shape of XLM-RoBERTa-base with random weights: what RouteLLM's ``bert``
router runs.

Its tokenizer cannot be had without its files; ids come from the given ``tokenizer.json``, which
costs about as much.
"""

import sys

import torch
from tokenizers import Tokenizer
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification
from worker import serve

torch.set_num_threads(1)
torch.manual_seed(0)
config = XLMRobertaConfig(
    vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, num_labels=3
)
model = XLMRobertaForSequenceClassification(config).eval()
tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding()
tokenizer.enable_truncation(512)


@torch.inference_mode()
def classify(text: str) -> object:
    """Return the logits of one text."""
    return model(torch.tensor([tokenizer.encode(text).ids])).logits


classify("first request")
serve({"classify": classify})
