"""Other people's Gearman programs, as real processes against a real gearpy-server."""
