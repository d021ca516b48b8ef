"""A glass-box chatbot for the terminal.

The packages, from the ground up: the shared vocabulary (the modules beside this file),
``worker`` (how a worker process is spoken to), ``engine`` (one language model),
``conversation`` (one turn from user text to committed answer), ``tui`` and ``plain``
(two faces on the same events), ``cli`` (puts the pieces together).
"""

__version__ = "0.1.0"
