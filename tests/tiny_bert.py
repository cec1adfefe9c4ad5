"""A sentence-transformers encoder that needs no download: a BERT of two layers with random weights
over a given vocabulary. Needs torch.
"""

from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_sentence_encoder(folder, words, *, layers=2, dim=32, longest=64, dropout=0.1, seed=0):
    """Write the encoder into a folder and return its path."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    plain = Path(folder) / "plain"
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(words),
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        max_position_embeddings=longest,
        initializer_range=0.1,
        hidden_dropout_prob=dropout,
    )
    BertModel(config).save_pretrained(plain)
    word_piece(words, longest=longest).save_pretrained(plain)
    SentenceTransformer(str(plain), device="cpu").save_pretrained(str(Path(folder) / "encoder"))
    return Path(folder) / "encoder"


def word_piece(words, *, longest):
    """Return a tokenizer of whole words in lower case, with [CLS] and [SEP] around a text."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    around = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    names = {f"{name[1:-1].lower()}_token": name for name in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=longest, **names)
