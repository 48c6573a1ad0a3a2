// Server-sent events over fetch: EventSource cannot send the key in a header.

const SILENCE_MS = 15000; // three heartbeats
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;

export class Feed {
  /** onEvent(name, data); onState(state, words) with state live, lost or refused. */
  constructor({ url, headers, onEvent, onState }) {
    Object.assign(this, { url, headers, onEvent, onState });
    this.lastId = null;
    this.pause = FIRST_PAUSE_MS;
    this.wake = () => {};
    this.controller = null;
  }

  /** Connects again at once: with another key, say. */
  restart() {
    this.pause = FIRST_PAUSE_MS;
    this.controller?.abort();
    this.wake();
  }

  async run() {
    for (;;) {
      try {
        await this.read();
        this.onState("lost", "the stream ended; connecting again");
      } catch (error) {
        if (error instanceof Refused) this.onState("refused", error.message);
        else this.onState("lost", "connection lost; connecting again");
        if (error instanceof Refused && error.needsKey) this.pause = LONGEST_PAUSE_MS * 6;
      }
      await this.rest();
    }
  }

  async read() {
    this.controller = new AbortController();
    const headers = { ...this.headers(), accept: "text/event-stream" };
    if (this.lastId !== null) headers["last-event-id"] = this.lastId;
    const silence = new Silence(this.controller);
    try {
      const options = { headers, signal: this.controller.signal, cache: "no-store" };
      const response = await fetch(this.url, options);
      if (!response.ok) throw await refusal(response);
      this.pause = FIRST_PAUSE_MS;
      this.onState("live", "live");
      await this.readEvents(response.body, silence);
    } finally {
      silence.end();
      this.controller.abort();
    }
  }

  async readEvents(body, silence) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      silence.isOver();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      blocks.forEach((block) => this.take(block));
    }
  }

  take(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (fields.data === undefined) return; // a heartbeat
    this.onEvent(fields.event, JSON.parse(fields.data));
    this.lastId = fields.id;
  }

  rest() {
    const pause = this.pause;
    this.pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

class Refused extends Error {
  constructor(message, needsKey) {
    super(message);
    this.needsKey = needsKey;
  }
}

async function refusal(response) {
  if (response.status === 401) return new Refused("the admin key is needed", true);
  const said = await response.json().catch(() => ({}));
  return new Refused(said.detail ?? `refused with status ${response.status}`, false);
}

/** Ends a connection on which nothing comes: a dead one can look alive for many minutes. */
class Silence {
  constructor(controller) {
    this.controller = controller;
    this.isOver();
  }

  isOver() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.controller.abort(), SILENCE_MS);
  }

  end() {
    clearTimeout(this.timer);
  }
}
