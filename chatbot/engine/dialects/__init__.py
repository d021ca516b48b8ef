"""How the families of models write tool calls and what they think.

One module a family. Each says how a call begins, which grammar it follows and how it is read.
Pure Python: nothing here knows a model, a tokenizer or a mask.
"""
