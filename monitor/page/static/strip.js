// Accepted drafts step by step, as bars: none, some or all of the drafts of a step.

const SVG = "http://www.w3.org/2000/svg";
const CLASSES = ["none", "some", "all"];
const HEIGHT = 20;

export function decode(hex) {
  return Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

export function createStrip() {
  const strip = document.createElementNS(SVG, "svg");
  strip.setAttribute("class", "strip");
  strip.setAttribute("role", "img");
  strip.setAttribute("preserveAspectRatio", "none");
  for (const name of CLASSES) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    strip.append(path);
  }
  return strip;
}

/** steps: accepted drafts of each; drafts: of one step, null if nobody told. */
export function fillStrip(strip, steps, drafts, columns = 64) {
  const most = Math.max(drafts ?? 0, ...steps, 1);
  const paths = { none: "", some: "", all: "" };
  steps.forEach((accepted, index) => {
    const kind = accepted === 0 ? "none" : accepted === drafts ? "all" : "some";
    const height = (HEIGHT * (accepted + 1)) / (most + 1);
    paths[kind] += `M${index} ${HEIGHT}h.85v${-height.toFixed(2)}h-.85z`;
  });
  strip.setAttribute("viewBox", `0 0 ${columns} ${HEIGHT}`);
  for (const path of strip.querySelectorAll("path:not(.mark)")) {
    path.setAttribute("d", paths[path.getAttribute("class")]);
  }
  strip.setAttribute("aria-label", described(steps, drafts));
}

/** A line across the strip, before the step with this index. */
export function mark(strip, index, words) {
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("class", "mark");
  line.setAttribute("d", `M${index} 0V${HEIGHT}`);
  line.setAttribute("vector-effect", "non-scaling-stroke");
  const title = document.createElementNS(SVG, "title");
  title.textContent = words;
  line.append(title);
  strip.append(line);
}

function described(steps, drafts) {
  if (steps.length === 0) return "no acceptance told";
  const mean = steps.reduce((sum, accepted) => sum + accepted, 0) / steps.length;
  const of = drafts === null ? "" : ` of ${drafts}`;
  const none = steps.filter((accepted) => accepted === 0).length;
  return `${mean.toFixed(1)}${of} drafts accepted in the mean of ${steps.length} steps, none in ${none}`;
}
