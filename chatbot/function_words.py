"""English words that say nothing about a subject. Knows nothing of what they are used for."""

from typing import Final

_FUNCTION_WORDS: Final = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each explain few find for from
further give had has have having he her here him his how i if in into is it its itself just me
more most my no nor not now of off on once only or other our out over own please same she should
show so some such tell than that the their them then there these they this those through to too
under until up very was we were what when where which while who whom whose why will with would
you your
"""

FUNCTION_WORDS: Final = frozenset(_FUNCTION_WORDS.split())
"""Words that say nothing about a subject."""
