"""One JSON object a line, with the match and attempt where a record carries them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

CARRIED: Final = ("match", "attempt", "submission", "tournament", "worker")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: getattr(record, key) for key in CARRIED if hasattr(record, key)}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)
