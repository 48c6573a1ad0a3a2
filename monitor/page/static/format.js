// Numbers and times as people read them. null is what nobody told.

const COUNT = new Intl.NumberFormat("en");

export function count(value) {
  return value === null || value === undefined ? "–" : COUNT.format(value);
}

export function decimal(value, digits = 2) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

/** Unix time, in the clock of whoever looks. */
export function clock(unixSeconds) {
  const date = new Date(unixSeconds * 1000);
  const pad = (value) => String(value).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":");
  const isToday = date.toDateString() === new Date().toDateString();
  if (isToday) return time;
  // Not toISOString: its date is UTC's, beside a time of here.
  const day = [date.getFullYear(), pad(date.getMonth() + 1), pad(date.getDate())].join("-");
  return `${day} ${time}`;
}

export function address(url) {
  return url.replace(/^http:\/\//, "");
}

export function words(name) {
  return String(name).replaceAll("_", " ");
}
