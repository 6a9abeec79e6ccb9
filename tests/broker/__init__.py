"""Tests of the broker: no sockets, no disk, no clock."""
