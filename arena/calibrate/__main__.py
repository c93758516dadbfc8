"""``python -m arena.calibrate``."""

from arena.calibrate import main

if __name__ == "__main__":
    raise SystemExit(main())
