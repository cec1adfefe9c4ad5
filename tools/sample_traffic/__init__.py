"""The words and rules behind the sample traffic: synthetic requests and what two fictitious models
made of them.

``pen`` fills templates, ``writers`` hold one function a task, ``dressing`` adds what surrounds a
request, ``outcomes`` decides who answers it well. The texts stand in ``words/*.toml``.
:mod:`tools.sample_traffic.generator` puts them together.
"""
