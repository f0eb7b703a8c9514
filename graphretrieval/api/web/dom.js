// Elements from values: h("p", {class: "x", onclick: f}, "text", child).

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export const h = (name, properties, ...children) => fill(document.createElement(name), properties, children);
export const s = (name, properties, ...children) => fill(document.createElementNS(SVG, name), properties, children);

export function show(place, ...children) {
  place.replaceChildren(...children.flat(Infinity).filter(Boolean));
}

export function toast(text, action) {
  const button = action && h("button", {type: "button", class: "quiet", onclick: () => { box.remove(); action.run(); }}, action.name);
  const box = h("div", {class: "toast"}, h("span", {}, text), button);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), action ? 12000 : 6000);
}

export function tell(text) {
  document.getElementById("status").textContent = text;
}

// A dialog that closes by Escape, by its button and by a click beside it; focus goes back.
export function dialog(title, close, ...children) {
  const before = document.activeElement;
  const name = `dialog-${Math.random().toString(36).slice(2)}`;
  const box = h("dialog", {"aria-labelledby": name},
    h("header", {}, h("h2", {id: name}, title),
      h("button", {type: "button", class: "quiet round", "aria-label": close, onclick: () => box.close()}, "×")),
    h("div", {class: "inside", tabindex: "0", role: "group", "aria-labelledby": name}, ...children));
  box.addEventListener("click", event => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => { box.remove(); before?.focus?.(); });
  document.body.append(box);
  box.showModal();
  return box;
}
