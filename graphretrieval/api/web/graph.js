// A neighbourhood as SVG: laid out by the service, moved and zoomed here, every node a link.
import {h, s} from "./dom.js";
import {t} from "./words.js";
import {link, name} from "./why.js";

const SIZE = {image: 44, audio: 30, text: 26, category: 32, source: 32};
const GLYPHS = {audio: "♪", text: "❝", category: "§", source: "▤"};

export function draw(around, centre) {
  const wide = innerWidth > innerHeight ? 1.6 : 0.9; // as wide as the place it is drawn in
  const at = new Map(around.nodes.map(p => [p.node.id, {x: p.x * 400 * wide, y: p.y * 400, p}]));
  const places = [...at.values()];
  const [left, right] = [Math.min(...places.map(n => n.x)) - 110, Math.max(...places.map(n => n.x)) + 110];
  const [top, bottom] = [Math.min(...places.map(n => n.y)) - 80, Math.max(...places.map(n => n.y)) + 110];
  const lines = around.edges.map(e => {
    const a = at.get(e.sourceId), b = at.get(e.targetId);
    if (!a || !b) return null;
    const shown = a.p.node.id === centre || b.p.node.id === centre;
    return s("g", {class: `edge rel-${e.type}`},
      s("line", {x1: a.x, y1: a.y, x2: b.x, y2: b.y}),
      shown && around.edges.length < 9 && s("text", {x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 - 5, "text-anchor": "middle"}, t(e.type)));
  });
  const dots = around.nodes.map(p => dot(p, at.get(p.node.id), centre));
  const view = s("g", {class: "view"}, lines, dots);
  const picture = s("svg", {viewBox: `${left} ${top} ${right - left} ${bottom - top}`, class: "graph", role: "group", "aria-label": t("surroundings")}, view);
  movable(picture, view);
  return [picture, key(around)];
}

function key(around) {
  const names = [...new Set(around.edges.map(e => e.type))];
  return h("ul", {class: "key"}, names.map(x => h("li", {}, s("svg", {viewBox: "0 0 16 6", class: `edge rel-${x}`, "aria-hidden": "true"}, s("line", {x1: 0, y1: 3, x2: 16, y2: 3})), t(x))));
}

function dot(p, {x, y}, centre) {
  const own = p.node.id === centre;
  const size = (SIZE[p.node.modality] ?? 28) * (own ? 1.5 : p.hop > 1 ? 0.8 : 1);
  const label = name(p.node);
  const short = label.length > 26 ? `${label.slice(0, 25)}…` : label;
  const clip = `clip-${Math.random().toString(36).slice(2)}`;
  return s("a", {href: link(p.node.id), class: `dot is-${p.node.modality}${own ? " own" : ""}`, "aria-label": `${t(p.node.modality)}: ${label}`},
    s("title", {}, label),
    p.node.thumbnail && s("clipPath", {id: clip}, s("circle", {cx: x, cy: y, r: size - 2})),
    s("circle", {cx: x, cy: y, r: size}),
    p.node.thumbnail
      ? s("image", {href: p.node.thumbnail, x: x - size * .8, y: y - size * .8, width: size * 1.6, height: size * 1.6, "clip-path": `url(#${clip})`})
      : s("text", {class: "glyph", x, y: y + size * .32, "text-anchor": "middle", "font-size": size * .9}, GLYPHS[p.node.modality] ?? "◇"),
    s("text", {class: "label", x, y: y + size + 20, "text-anchor": "middle"}, short));
}

function movable(picture, view) {
  let k = 1, x = 0, y = 0, from = null;
  const set = () => view.setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
  const zoom = (factor, cx = 0, cy = 0) => {
    const next = Math.max(.4, Math.min(5, k * factor));
    x = cx - (cx - x) * next / k;
    y = cy - (cy - y) * next / k;
    k = next;
    set();
  };
  const point = event => {
    const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    return [p.x, p.y];
  };
  picture.addEventListener("wheel", event => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, ...point(event)); }, {passive: false});
  picture.addEventListener("pointerdown", event => { from = [...point(event), x, y, false]; });
  addEventListener("pointermove", event => {
    if (!from) return;
    const [px, py] = point(event);
    if (Math.hypot(px - from[0], py - from[1]) > 6) from[4] = true;
    if (from[4]) { x = from[2] + px - from[0]; y = from[3] + py - from[1]; set(); }
  });
  addEventListener("pointerup", () => { setTimeout(() => { from = null; }); });
  picture.addEventListener("click", event => { if (from?.[4]) event.preventDefault(); }, true);
  picture.addEventListener("dragstart", event => event.preventDefault());
  picture.addEventListener("keydown", event => {
    if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(.8);
    else return;
    event.preventDefault();
  });
}
