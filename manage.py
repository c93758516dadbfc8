#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys
from pathlib import Path


def main() -> None:
    # `platform/` holds the site's packages and is itself none: it must never be imported as one.
    root = Path(__file__).resolve().parent
    sys.path.insert(1, str(root / "platform"))
    # The engine looks for own tasks where the site keeps its data (DATA of the settings).
    if not os.environ.get("ADVERSARIUM_DATA"):
        os.environ["ADVERSARIUM_DATA"] = str(root / "var")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
