"""The full-screen face: widgets, screens, keys, themes.

Renders the events of ``chatbot.events`` and drives the conversation manager; imports no
torch and knows nothing of how answers are made. Parents call the verbs of their children;
children post messages to their parents.
"""
