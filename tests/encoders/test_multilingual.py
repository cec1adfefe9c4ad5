"""A multilingual encoder from a folder: the architecture and the tokenizer of
paraphrase-multilingual-MiniLM-L12-v2, small and with random weights.
"""

import importlib.util

import numpy as np
import pytest

from difficulty.encoders.sentence import load_sentence_encoder
from difficulty.recipe import FeatureSettings
from difficulty.tokens import RequestTokenizer
from difficulty.training.shipped import find_encoder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("sentence_transformers", "torch")),
        reason="needs the encoders extra: make test-slow",
    ),
]
TEXTS = [
    "welche planeten sind klein?",
    "请把下面的段落翻译成英文",
    "какой город больше?",
    "which city is larger?",
]
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def write_encoder(folder):
    """Write an XLM-RoBERTa with a Unigram tokenizer, as sentence-transformers saves one."""
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    torch.manual_seed(0)
    letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
    pieces = [(name, 0.0) for name in SPECIAL] + [("\u2581", -2.0)]
    pieces += [(letter, -5.0) for letter in letters]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=3))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    config = XLMRobertaConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.1,
    )
    XLMRobertaModel(config).save_pretrained(folder / "plain")
    names = dict(zip(("cls", "pad", "sep", "unk", "mask"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        **{f"{name}_token": token for name, token in names.items()},
    ).save_pretrained(folder / "plain")
    encoder = SentenceTransformer(str(folder / "plain"), device="cpu")
    encoder.save_pretrained(str(folder / "encoder"))
    return folder / "encoder"


def test_multilingual_encoder_is_read_from_its_folder(tmp_path):
    """As a recipe names it by its path; its vectors are those of sentence-transformers."""
    folder = write_encoder(tmp_path)
    encoder = find_encoder(FeatureSettings(encoder=str(folder)), cache=tmp_path / "kept")
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path)
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    assert 3 not in {token for row in rows for token in row}  # no letter is unknown
    found = encoder.encode(rows)
    expected = load_sentence_encoder(folder).encode(TEXTS, normalize_embeddings=True)
    cosine = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1)
    assert cosine == pytest.approx(np.ones(len(TEXTS)), abs=0.01)
