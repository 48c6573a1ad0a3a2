// What the server told: rows by key, by table. Mirrors monitor/page/difference.py.

export class Tables {
  constructor() {
    this.rows = { totals: {}, streams: {}, replicas: {}, incidents: {} };
    this.clockAhead = 0; // of the server's clock over ours, seconds
  }

  /** Takes one event; returns the keys of incidents that are new since the last one. */
  take(name, { at, tables }) {
    this.clockAhead = at - Date.now() / 1000;
    if (name === "picture") {
      this.rows = { totals: {}, streams: {}, replicas: {}, incidents: {}, ...tables };
      return [];
    }
    const isFirst = this.rows.totals.now === undefined;
    const before = new Set(Object.keys(this.rows.incidents));
    for (const [table, change] of Object.entries(tables)) this.change(table, change);
    const now = Object.keys(this.rows.incidents);
    return isFirst ? [] : now.filter((key) => !before.has(key));
  }

  change(table, { set, gone }) {
    const rows = (this.rows[table] ??= {});
    for (const key of gone) delete rows[key];
    for (const [key, fields] of Object.entries(set)) rows[key] = { ...rows[key], ...fields };
  }

  /** Seconds since a time of the server. */
  since(unixSeconds) {
    return Math.max(0, Date.now() / 1000 + this.clockAhead - unixSeconds);
  }
}
