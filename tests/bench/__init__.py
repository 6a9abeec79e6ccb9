"""The bench works; what it finds is nobody's business here."""
