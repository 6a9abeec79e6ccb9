"""The version, in one place; everything that tells it reads it here."""

VERSION = "0.1.0"
