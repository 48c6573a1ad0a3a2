// Joins the parts: events in, tables, one rendering for each frame, orders out.

import "./theme.js";
import { closeDetail, openDetail, refreshDetail } from "./detail.js";
import { setData, setText } from "./element.js";
import { Feed } from "./feed.js";
import { words } from "./format.js";
import { announce, renderIncidents } from "./incidents.js";
import { renderReplicas } from "./replicas.js";
import { key, keyHeader, load, order, setKey } from "./server.js";
import { renderStreams } from "./streams.js";
import { Tables } from "./tables.js";
import { renderTotals, takeBudget } from "./totals.js";

const AGES_MS = 1000; // times since something are written anew so often

const tables = new Tables();
const byId = (id) => document.getElementById(id);
let isDue = false;

function render() {
  isDue = false;
  const { totals, streams, replicas, incidents } = tables.rows;
  renderTotals(totals.now);
  renderReplicas(replicas, orderReplica);
  renderStreams(streams, totals.now, (at) => tables.since(at));
  renderIncidents(incidents, (id, opener) => openDetail(id, opener, load));
  refreshDetail(incidents, load);
}

function renderSoon() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(render);
}

function say(words, tone = "trouble") {
  const message = byId("message");
  setData(message, "tone", tone);
  message.hidden = words === "";
  setText(message, words);
}

const feed = new Feed({
  url: "api/live",
  headers: keyHeader,
  onEvent(name, data) {
    announce(tables.take(name, data), tables.rows.incidents);
    renderSoon();
  },
  onState(state, told) {
    setData(byId("connection"), "state", state);
    setText(byId("connection"), state === "refused" && key() !== null ? `${told} (check it)` : told);
  },
});

// orders

async function give(path, body, done) {
  try {
    await order(path, body);
    say(done, "done");
  } catch (error) {
    say(error.message);
    if (error.message.includes("admin key")) byId("key").focus();
  }
}

async function orderReplica(kind, replica) {
  const name = kind === "release" ? "readmit" : kind;
  if (await isConfirmed(`${words(name)} ${replica}?`)) {
    await give(`api/replicas/${kind}`, { address: replica }, `${replica}: ${name} was ordered`);
  }
}

// Settled by what is pressed. The dialog's "close" comes later: the one of an earlier question must
// not answer this one.
function isConfirmed(question) {
  const dialog = byId("confirm");
  const before = document.activeElement;
  setText(byId("confirm-text"), question);
  dialog.showModal();
  return new Promise((resolve) => {
    const settled = new AbortController();
    const on = (target, type, answer) => {
      const settle = (event) => {
        if (type === "close" && dialog.open) return;
        event.preventDefault();
        settled.abort();
        dialog.close();
        before?.focus();
        resolve(answer);
      };
      target.addEventListener(type, settle, { signal: settled.signal });
    };
    on(byId("confirm-yes"), "click", true);
    on(byId("confirm-no"), "click", false);
    on(dialog, "cancel", false);
    on(dialog, "close", false);
  });
}

byId("budget").addEventListener("submit", (event) => {
  event.preventDefault();
  give("api/budget", takeBudget(), "the retry budget was set");
});

// the key

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value);
  byId("key").value = "";
  say("");
  feed.restart();
});
byId("forget").addEventListener("click", () => {
  setKey("");
  feed.restart();
});

// details

byId("detail-close").addEventListener("click", closeDetail);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !byId("confirm").open) closeDetail();
});

function openLinked() {
  const id = new URLSearchParams(location.hash.slice(1)).get("incident");
  if (id) openDetail(id, null, load);
}

window.addEventListener("hashchange", openLinked);
setInterval(renderSoon, AGES_MS);
openLinked();
feed.run();
