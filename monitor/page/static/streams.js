// The streams that run now, or a sample of them, with their acceptance step by step.

import { element, setData, setText, sync } from "./element.js";
import { address, count, decimal, seconds, words } from "./format.js";
import { createStrip, decode, fillStrip } from "./strip.js";

const body = document.getElementById("streams");
const caption = document.getElementById("streams-caption");
const COLUMNS = ["length", "tokens", "held", "replica", "model", "attempt", "age"];

/** since(unixSeconds): how long ago that was. */
export function renderStreams(streams, totals, since) {
  const items = Object.entries(streams).sort(bySuspicion);
  setText(caption, summary(items.length, totals));
  sync(body, items, createRow, (row, stream) => updateRow(row, stream, since));
}

function bySuspicion([oneKey, one], [otherKey, other]) {
  const suspicion = Number(isSuspect(other)) - Number(isSuspect(one));
  return suspicion || one.started_at - other.started_at || (oneKey < otherKey ? -1 : 1);
}

function isSuspect(stream) {
  return stream.is_watching || stream.kind !== null;
}

function summary(shown, totals) {
  if (totals === undefined || totals.running === 0) return "none now";
  if (shown >= totals.running) return `all ${count(totals.running)}`;
  const what = `${count(shown)} of ${count(totals.running)}: `;
  return `${what}suspicious ones first (${count(totals.suspect)} now), and a sample of the others`;
}

function createRow() {
  const row = element("tr", "");
  row.looks = element("th", "looks");
  row.looks.scope = "row";
  row.strip = createStrip();
  row.append(row.looks, element("td", "", row.strip));
  for (const name of COLUMNS) {
    row[name] = element("td", name === "model" || name === "replica" ? "name" : "");
    row.append(row[name]);
  }
  return row;
}

function updateRow(row, stream, since) {
  setData(row, "looks", looks(stream));
  setText(row.looks, stream.kind !== null ? words(stream.kind) : looks(stream));
  if (row.told !== stream.strip) {
    row.told = stream.strip;
    fillStrip(row.strip, decode(stream.strip), stream.drafts);
  }
  const bound = stream.steps_quality === "upper_bound" ? "≤ " : "";
  setText(row.length, stream.accept_length === null ? "–" : bound + decimal(stream.accept_length));
  setText(row.tokens, count(stream.tokens));
  setText(row.held, count(stream.held_tokens));
  setText(row.replica, address(stream.replica));
  setText(row.model, stream.model);
  setText(row.attempt, `${stream.attempt}${stream.is_hedge ? " (beside)" : ""}`);
  setText(row.age, seconds(since(stream.started_at)));
}

function looks(stream) {
  if (stream.kind !== null) return "sick";
  return stream.is_watching ? "watched" : "fine";
}
