"""How the names of classes are compared: of labels, folders and what the user writes."""


def plain(name: str) -> str:
    """Return a name without what spellings differ in: case, underscores for blanks, and blanks in a row."""
    return " ".join(name.casefold().replace("_", " ").split())
