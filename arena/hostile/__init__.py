"""Hostile players, played against a real backend through the real referee.

Theory of operation
===================

``players/`` holds one tiny submission a case. Its docstring is a TOML table that says, in one
place, which kind of attempt it is, who makes it, what stops it and how the match must end; its
classes ``Attack`` and ``Defense`` make the attempt and tell in their log what got through
(``players/hostile.py``). The same attempt is made from both sides where both could make it.

:func:`arena.hostile.suite.play` packs each as a guest's upload, lets it play an honest opponent
on the task ``digits``, and looks at four things:

* the verdict blames the right side with the right code, or nobody, because the attempt failed;
* nothing got through, and the attempt was really made;
* the attempt bought nothing: no kill for an attack, no robustness for a defense;
* nothing is left on the worker (:mod:`.remains`), nor in the next match: every player of the
  suite, the honest ones too, looks for what its predecessors left before it does anything.

Something to be found lies about in the referee's own process (:mod:`.canary`): a file, a secret
in memory and in the environment, descriptors, listening sockets.

Archives that never become a player are in :mod:`.archives`; they meet the reader of packages.
"""
