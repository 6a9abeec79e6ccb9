"""For tests, of users and of our own: servers to test against, and suites for what can be plugged
in."""
