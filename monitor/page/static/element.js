// Elements from values. Every text goes in as text: names are other people's words.

export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

export function setText(node, value) {
  const text = String(value);
  if (node.textContent !== text) node.textContent = text;
}

export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/** A name and its value, for a <dl>. */
export function fact(name, value) {
  return element("div", "", element("dt", "", name), element("dd", "", value));
}

/**
 * Makes a container's children those of the items, in order. Those that stay are changed, not made
 * again, so that focus and selection survive.
 *
 * items: [key, row] pairs; create(key, row) makes a node; update(node, row, key) fills it.
 */
export function sync(container, items, create, update) {
  const wanted = new Set(items.map(([key]) => key));
  for (const node of [...container.children]) {
    if (!wanted.has(node.key)) node.remove();
  }
  const known = new Map([...container.children].map((node) => [node.key, node]));
  let cursor = container.firstElementChild;
  for (const [key, row] of items) {
    let node = known.get(key);
    if (node === undefined) {
      node = create(key, row);
      node.key = key;
    }
    if (node === cursor) cursor = cursor.nextElementSibling;
    else container.insertBefore(node, cursor);
    update(node, row, key);
  }
}
