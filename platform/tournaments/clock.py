"""Time by the database's clock, on both engines."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import FloatField, Func
from django.db.models.sql.compiler import SQLCompiler


class SecondsSince(Func):
    """Seconds from a column's time to now; 0 where it is empty."""

    output_field = FloatField()
    arity = 1

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        template = "COALESCE(EXTRACT(EPOCH FROM STATEMENT_TIMESTAMP() - %(expressions)s), 0)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        template = "COALESCE((JULIANDAY('now') - JULIANDAY(%(expressions)s)) * 86400.0, 0)"
        return self.as_sql(compiler, connection, template=template, **context)
