"""Names of files as people type them behind a command."""


def unquoted(name: str) -> str:
    """A name without the quotes that a shell would want around it; a terminal types them, too,
    when a file is dropped on it."""
    name = name.strip()
    is_quoted = len(name) > 2 and name[0] == name[-1] and name[0] in "'\""
    return name[1:-1] if is_quoted else name
