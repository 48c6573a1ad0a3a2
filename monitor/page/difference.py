"""Tables of rows, and what changed between two states of them. Pure."""

from typing import Any

Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]
"""Rows by key, by the name of their table. A table's rows have the same fields, always."""

Change = dict[str, dict[str, Any]]
"""By table: ``set`` has the changed fields of changed rows, ``gone`` the keys of lost ones."""


def difference(before: Tables, now: Tables) -> Change:
    """What has to be done to ``before``; tables without a change are left out."""
    change: Change = {}
    for name, rows in now.items():
        old = before.get(name, {})
        changed = {
            key: fields for key, row in rows.items() if (fields := _changed(old.get(key), row))
        }
        gone = [key for key in old if key not in rows]
        if changed or gone:
            change[name] = {"set": changed, "gone": gone}
    return change


def apply(change: Change, tables: Tables) -> None:
    """Does to ``tables`` what the page's script does."""
    for name, part in change.items():
        rows = tables.setdefault(name, {})
        for key in part["gone"]:
            del rows[key]
        for key, fields in part["set"].items():
            rows[key] = {**rows.get(key, {}), **fields}


def _changed(old: Row | None, row: Row) -> Row:
    if old is None:
        return row
    return {name: value for name, value in row.items() if old.get(name) != value}
