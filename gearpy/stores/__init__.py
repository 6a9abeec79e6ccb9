"""Where accepted background jobs are kept, so that a restart finds them again.

A store knows records (``gearpy.engine.records``) and no rules: load, commit, close.  ``base`` says
what every store must do, ``gearpy.testing.stores`` checks that it does.  ``memory`` is the one for
servers whose jobs need not outlive them, ``sqlite`` the one for a file: ``schema`` has its tables,
``opening`` and ``lock`` say who may open it, ``writing`` and ``reading`` turn records into rows and
back, ``checkpoint`` keeps its log short.
"""
