"""Traces, from the submit through the server to the worker."""
