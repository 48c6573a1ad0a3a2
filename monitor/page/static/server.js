// What is asked of the server and ordered, with the key that was entered. It is kept for this tab
// alone, and sent in a header alone.

const PLACE = "specwatch.admin-key";

export function key() {
  return sessionStorage.getItem(PLACE);
}

export function setKey(value) {
  if (value) sessionStorage.setItem(PLACE, value);
  else sessionStorage.removeItem(PLACE);
}

export function keyHeader() {
  const known = key();
  return known === null ? {} : { authorization: `Bearer ${known}` };
}

/** Parsed JSON. Throws with words for people. */
export async function load(path) {
  const response = await fetch(path, { headers: keyHeader(), cache: "no-store" });
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

/** Throws with words for people. */
export async function order(path, body) {
  const headers = { ...keyHeader(), "content-type": "application/json" };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await reason(response));
}

async function reason(response) {
  const said = await response.json().catch(() => ({}));
  if (response.status === 401) return key() === null ? "the admin key is needed" : "wrong admin key";
  const detail = said.detail ?? said.error?.message;
  return typeof detail === "string" ? detail : `refused with status ${response.status}`;
}
