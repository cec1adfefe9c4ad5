"""Token ids to vectors: n-grams and static embeddings over one tokenizer."""
