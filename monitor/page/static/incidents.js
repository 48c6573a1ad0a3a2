// The newest incidents, one line each.

import { element, setText, sync } from "./element.js";
import { address, clock, count, decimal, words } from "./format.js";

const body = document.getElementById("incident-rows");
const caption = document.getElementById("incidents-caption");
const news = document.getElementById("news");
const COLUMNS = ["kind", "replica", "model", "attempt", "outcome", "onset", "alarm", "length"];

/** onOpen(id, opener) when somebody wants to see more. */
export function renderIncidents(incidents, onOpen) {
  const items = Object.entries(incidents).sort(([, one], [, other]) => other.at - one.at);
  setText(caption, items.length === 0 ? "none kept" : `the newest ${count(items.length)}`);
  sync(body, items, (key, row) => createRow(key, row, onOpen), updateRow);
}

/** Said to those who do not see; many at once are one sentence. */
export function announce(keys, incidents) {
  const found = keys.map((key) => incidents[key]).filter((row) => row !== undefined);
  if (found.length === 0) return;
  const [one] = found;
  const first = `${words(one.kind)} on ${address(one.replica)}`;
  setText(news, found.length === 1 ? `New incident: ${first}` : `${found.length} new incidents`);
}

function createRow(key, incident, onOpen) {
  const row = element("tr", "new");
  const open = element("button", "", clock(incident.at));
  open.type = "button";
  open.setAttribute("aria-label", `Details of the incident at ${clock(incident.at)}`);
  open.addEventListener("click", () => onOpen(key, open));
  const head = element("th", "", open);
  head.scope = "row";
  row.append(head);
  row.dataset.id = key;
  for (const name of COLUMNS) {
    const isName = name === "model" || name === "replica";
    row[name] = element("td", isName ? "name" : name === "kind" ? "kind" : "");
    row.append(row[name]);
  }
  return row;
}

function updateRow(row, incident) {
  setText(row.kind, words(incident.kind));
  setText(row.replica, address(incident.replica));
  setText(row.model, incident.model ?? "–");
  setText(row.attempt, incident.attempt);
  setText(row.outcome, incident.request_outcome === null ? "–" : words(incident.request_outcome));
  setText(row.onset, count(incident.onset_token));
  setText(row.alarm, count(incident.alarm_token));
  setText(row.length, decimal(incident.accept_length));
}
