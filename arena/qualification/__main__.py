"""``python -m arena.qualification``."""

from arena.qualification.command import main

raise SystemExit(main())
