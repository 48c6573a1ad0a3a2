// The attempts of one request, one under the other, along the time that it took.

import { element } from "./element.js";
import { address, count, decimal, seconds, words } from "./format.js";

export function timeline(request) {
  const attempts = request.attempts ?? [];
  const begin = Math.min(...attempts.map((one) => one.started_at));
  const ends = attempts.map((one) => one.started_at + (one.duration_seconds ?? 0));
  const span = Math.max(...ends, begin + 0.001) - begin;
  const list = element("ol", "timeline");
  for (const attempt of attempts) list.append(item(attempt, begin, span));
  return list;
}

function item(attempt, begin, span) {
  const bar = element("div", "bar");
  bar.dataset.outcome = attempt.outcome;
  bar.style.left = `${(100 * (attempt.started_at - begin)) / span}%`;
  bar.style.width = `${(100 * (attempt.duration_seconds ?? 0)) / span}%`;
  const track = element("div", "track", bar);
  track.setAttribute("aria-hidden", "true");
  return element("li", "", element("div", "", said(attempt, begin)), track);
}

function said(attempt, begin) {
  const parts = [
    `${attempt.attempt}. ${address(attempt.replica)}: ${words(attempt.outcome)}`,
    `after ${seconds(attempt.started_at - begin)}, for ${seconds(attempt.duration_seconds)}`,
    `${count(attempt.completion_tokens)} tokens`,
  ];
  const { accept_length: length, verdict, error } = attempt;
  if (length !== null && length !== undefined) parts.push(`accept length ${decimal(length)}`);
  if (verdict) parts.push(`${words(verdict.kind)} from token ${count(verdict.onset_token)}`);
  if (attempt.leaked_tokens) parts.push(`${count(attempt.leaked_tokens)} leaked`);
  if (error) parts.push(error);
  return parts.join(", ");
}
