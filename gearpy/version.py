"""The version, in one place; everything that tells it reads it here."""

VERSION = "0.1.0"


def is_compiled() -> bool:
    """Whether the rooms that every packet walks through run in their compiled form."""
    from gearpy.protocol import parser

    return not parser.__file__.endswith(".py")


def version_and_form() -> str:
    """``0.1.0 (compiled)`` or ``0.1.0 (plain Python)``."""
    return f"{VERSION} ({'compiled' if is_compiled() else 'plain Python'})"
