"""The commands: ``gearpy`` (``main``) and ``gearpy-server`` (``serve``)."""
