"""Who makes the request that is handled, for the audit."""

from contextvars import ContextVar
from typing import Final

# A name that came with the token, and an address.
asker: Final[ContextVar[str]] = ContextVar("asker", default="somebody")
