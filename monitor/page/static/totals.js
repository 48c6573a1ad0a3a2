// The numbers of the whole fleet, and the retry budget's form.

import { element, setText, sync } from "./element.js";
import { count, percent } from "./format.js";

const list = document.getElementById("totals");
const ratio = document.getElementById("ratio");
const floor = document.getElementById("floor");
let edited = false; // what somebody types is not overwritten

for (const input of [ratio, floor]) input.addEventListener("input", () => (edited = true));

export function renderTotals(totals) {
  if (totals === undefined) return;
  sync(list, tiles(totals), createTile, (tile, value) => setText(tile.lastElementChild, value));
  if (edited) return;
  setValue(ratio, totals.budget_ratio * 100);
  setValue(floor, totals.budget_min_per_second);
}

/** What the form says; it follows the server again from then on. */
export function takeBudget() {
  edited = false;
  return { ratio: Number(ratio.value) / 100, min_per_second: Number(floor.value) };
}

function tiles(totals) {
  const bad = totals.recent_attempts ? totals.recent_anomalies / totals.recent_attempts : null;
  return Object.entries({
    "Streams now": count(totals.running),
    "of them suspicious": count(totals.suspect),
    "Healthy replicas": `${count(totals.healthy)} of ${count(totals.replicas)}`,
    "Taken out / at most": `${count(totals.ejected)} / ${count(totals.ejectable)}`,
    "Attempts, last minute": count(totals.recent_attempts),
    "Anomalies, last minute": `${count(totals.recent_anomalies)} (${percent(bad)})`,
    "Retries, last minute": count(totals.recent_retries),
    "Retries left now": count(totals.budget_left),
  });
}

function createTile(name) {
  return element("div", "", element("dt", "", name), element("dd", ""));
}

function setValue(input, value) {
  const text = String(Number(value.toFixed(4)));
  if (document.activeElement !== input && input.value !== text) input.value = text;
}
