"""``python -m arena.calibrate``."""

from arena.calibrate import main

raise SystemExit(main())
