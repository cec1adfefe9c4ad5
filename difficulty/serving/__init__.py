"""``difficulty serve``: decisions over HTTP, and an OpenAI-compatible router before two models.

Needs the extra ``serve``; LiteLLM is loaded only where models are to be called.
"""
