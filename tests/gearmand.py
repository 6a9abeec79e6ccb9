"""What tests with the real gearmand need."""

import pytest

from bench.servers import GEARMAND, GEARMAND_PACKAGE

needs_gearmand = pytest.mark.skipif(
    GEARMAND is None, reason=f"needs gearmand: install the Debian package {GEARMAND_PACKAGE}"
)
