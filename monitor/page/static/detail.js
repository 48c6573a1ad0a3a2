// One incident in full, beside the lists. Text of an answer only where it was captured.

import { element, fact, setText } from "./element.js";
import { address, clock, count, decimal, percent, seconds, words } from "./format.js";
import { createStrip, fillStrip, mark } from "./strip.js";
import { timeline } from "./timeline.js";

const panel = document.getElementById("detail");
const title = document.getElementById("detail-title");
const body = document.getElementById("detail-body");
let opener = null;
let shown = null;
let outcome; // of the shown incident's request, as its details were loaded

/** load(path) gives parsed JSON, or throws with words for people. */
export async function openDetail(id, from, load) {
  shown = id;
  opener = from ?? opener;
  outcome = undefined;
  panel.hidden = false;
  setText(title, "Incident");
  body.replaceChildren(element("p", "", "loading …"));
  title.focus();
  history.replaceState(null, "", `#incident=${encodeURIComponent(id)}`);
  await show(id, load);
}

/** Loads the shown incident anew once its request has ended: most are opened before. */
export async function refreshDetail(incidents, load) {
  const row = shown === null ? undefined : incidents[shown];
  if (row === undefined || outcome === undefined || row.request_outcome === outcome) return;
  outcome = row.request_outcome;
  await show(shown, load);
}

async function show(id, load) {
  try {
    const found = await load(`api/incidents/${encodeURIComponent(id)}`);
    if (shown !== id) return;
    outcome = found.incident.request?.outcome ?? null;
    fill(found.incident, found.request ?? found.incident.request);
  } catch (error) {
    if (shown === id) body.replaceChildren(element("p", "", error.message));
  }
}

export function closeDetail() {
  if (panel.hidden) return;
  panel.hidden = true;
  shown = null;
  history.replaceState(null, "", location.pathname + location.search);
  if (opener?.isConnected) opener.focus();
  else document.getElementById("incidents").focus();
}

function fill(incident, request) {
  const { facts } = incident;
  setText(title, `${words(incident.kind)} on ${address(facts.replica)}, ${clock(incident.at)}`);
  body.replaceChildren(
    element("p", "", facts.verdict?.reason || "no reason was told"),
    ...steps(incident.steps, facts),
    ...attempts(request),
    element("h3", "", "The attempt"),
    factList(numbers(incident)),
    ...engine(incident.engine_then),
    ...opinion(incident.second_opinion),
    ...evidence(incident.text_sample),
  );
}

function factList(facts) {
  const list = element("dl", "");
  for (const [name, value] of Object.entries(facts)) list.append(...fact(name, value).childNodes);
  return list;
}

function numbers({ id, request_id: requestId, facts }) {
  const verdict = facts.verdict ?? {};
  const told = {
    "Request": requestId,
    "Attempt": `${facts.attempt} (${id})`,
    "Model": facts.model ?? "–",
    "Engine": facts.engine ?? "–",
    "Detector": verdict.detector ?? "–",
    "Score": decimal(verdict.score ?? null),
    "Onset, alarm": `token ${count(verdict.onset_token)}, ${count(verdict.alarm_token)}`,
    "Accept length": decimal(facts.accept_length),
    "Accept rate": percent(facts.accept_rate),
    "Leaked tokens": count(facts.leaked_tokens),
    "Thrown away": `${count(facts.wasted_tokens)} tokens`,
    "Held back for": seconds(facts.held_seconds),
  };
  for (const [name, value] of Object.entries(verdict.evidence ?? {})) {
    told[words(name)] = decimal(value, 3);
  }
  return told;
}

function steps(series, facts) {
  if (!series?.accepted) return [];
  const accepted = [...series.accepted].map((digit) => parseInt(digit, 36) || 0);
  const drafts = facts.drafted && facts.steps ? Math.round(facts.drafted / facts.steps) : null;
  const strip = createStrip();
  fillStrip(strip, accepted, drafts, accepted.length);
  const marks = { onset: series.onset_step, alarm: series.alarm_step };
  const told = [`from token ${count(series.first_token)}`];
  for (const [name, index] of Object.entries(marks)) {
    if (index === null || index === undefined) continue;
    mark(strip, index, name);
    told.push(`${name} at step ${count(index + 1)}`);
  }
  const quality = series.quality && series.quality !== "exact" ? `, ${words(series.quality)}` : "";
  const line = `${count(accepted.length)} steps ${told.join(", ")}${quality}`;
  return [element("h3", "", "Accepted drafts by step"), strip, element("p", "faint", line)];
}

function attempts(request) {
  if (!request) return [element("p", "faint", "the story of its request is no longer kept")];
  const state = request.is_running ? "still running" : words(request.outcome ?? "unknown");
  const line = `the client got: ${state}`;
  return [element("h3", "", "Attempts"), timeline(request), element("p", "faint", line)];
}

function engine(then) {
  if (!then) return [];
  const age = then.age_seconds === null ? "" : `, ${seconds(then.age_seconds)} old`;
  const facts = {};
  for (const [name, value] of Object.entries(then.own)) {
    const others = then.others?.[name] ?? null;
    const beside = others === null ? "" : ` (others: ${decimal(others)})`;
    if (value !== null) facts[words(name)] = decimal(value) + beside;
  }
  return [element("h3", "", `The engine then${age}`), factList(facts)];
}

function opinion(second) {
  if (!second) return [];
  const facts = {};
  for (const [name, value] of Object.entries(second)) facts[words(name)] = String(value ?? "–");
  return [element("h3", "", "Second opinion"), factList(facts)];
}

function evidence(text) {
  if (!text) return [];
  return [element("h3", "", "Captured text around the onset"), element("pre", "", text)];
}
