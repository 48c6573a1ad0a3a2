// The map of the fleet: one card for each replica, with what may be done about it.

import { element, setData, setText, sync } from "./element.js";
import { address, count, decimal, percent, words } from "./format.js";

const list = document.getElementById("replicas");

const OUT = ["draining", "quarantined", "tripped", "probing"];
const ACTIONS = [
  ["drain", "Drain", (state) => state !== "draining"],
  ["quarantine", "Quarantine", (state) => state !== "quarantined"],
  ["release", "Readmit", (state) => OUT.includes(state)],
];

/** onOrder(order, address) when a button is used. */
export function renderReplicas(replicas, onOrder) {
  const items = Object.entries(replicas);
  sync(list, items, (key) => createCard(key, onOrder), updateCard);
}

function createCard(key, onOrder) {
  const card = element("li", "");
  const fields = ["state", "engine", "load", "rates", "cache"].map((name) => {
    const line = element("p", name === "state" ? "" : "faint");
    card[name] = line;
    return line;
  });
  card.trouble = element("p", "trouble");
  const actions = element("div", "actions");
  card.buttons = ACTIONS.map(([order, label, isUseful]) => {
    const button = element("button", "", label);
    button.type = "button";
    button.setAttribute("aria-label", `${label} ${address(key)}`);
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") onOrder(order, key);
    });
    button.isUseful = isUseful;
    return button;
  });
  actions.append(...card.buttons);
  card.append(element("h3", "", address(key)), ...fields, card.trouble, actions);
  return card;
}

function updateCard(card, row) {
  setData(card, "state", row.state);
  setText(card.state, `${words(row.state)}, ${count(row.in_flight)} running`);
  const models = row.models.join(", ");
  setText(card.engine, `${row.engine ?? "engine unknown"} ${row.version ?? ""} ${models}`);
  setText(card.load, `last minute: ${count(row.recent_attempts)} attempts, ${bad(row)}`);
  setText(card.rates, `accept length ${decimal(row.accept_length)}, ${speed(row)}`);
  setText(card.cache, engineSays(row));
  setText(card.trouble, trouble(row));
  for (const button of card.buttons) setEnabled(button, button.isUseful(row.state));
}

function bad(row) {
  const share = row.recent_attempts ? row.recent_anomalies / row.recent_attempts : null;
  const failed = row.recent_failures ? `, ${count(row.recent_failures)} failed` : "";
  return `${count(row.recent_anomalies)} sick (${percent(share)})${failed}`;
}

function speed(row) {
  return `${count(Math.round(row.recent_tokens / 60))} tokens/s`;
}

function engineSays(row) {
  if (row.engine_error !== null) return "its own metrics: unreachable";
  const parts = [
    row.cache_usage === null ? null : `cache ${percent(row.cache_usage)}`,
    row.engine_running === null ? null : `${count(row.engine_running)} running`,
    row.engine_waiting === null ? null : `${count(row.engine_waiting)} waiting`,
  ].filter((part) => part !== null);
  return `its own metrics: ${parts.join(", ") || "none read"}`;
}

function trouble(row) {
  const parts = [];
  if (row.draft_health === "dead") parts.push(`drafter dead: ${row.draft_reason}`);
  if (row.last_error !== null && row.state !== "healthy") parts.push(row.last_error);
  return parts.join("; ");
}

/** A button that is of no use stays where it is: focus must not jump. */
function setEnabled(button, isUseful) {
  const value = isUseful ? "false" : "true";
  if (button.getAttribute("aria-disabled") !== value) button.setAttribute("aria-disabled", value);
}
