// Why a hit was found: its score's parts as a bar, and the path as linked pictures.
import {h} from "./dom.js";
import {lang, percent, t} from "./words.js";

const PARTS = ["content", "graph", "path", "lexical"];

export function bar(hit) {
  const parts = hit.parts.filter(p => p.value > 0);
  const total = parts.reduce((sum, p) => sum + p.value, 0) || 1;
  const label = hit.parts.map(p => `${t(p.name)} ${p.value.toFixed(2)}`).join(", ");
  return h("div", {class: "bar", role: "img", "aria-label": `${t("parts")}: ${label}`},
    parts.map(p => h("i", {class: `part-${p.name}`, style: {width: `${100 * p.value / total}%`}})));
}

export function why(hit) {
  return [
    h("p", {class: "lead"}, hit.explanation),
    h("h3", {}, t("parts")),
    bar(hit),
    h("dl", {class: "legend"}, PARTS.map(name => {
      const part = hit.parts.find(p => p.name === name);
      return part && h("div", {}, h("dt", {class: `part-${name}`}, t(name)), h("dd", {}, part.value.toFixed(2)));
    }), h("div", {class: "sum"}, h("dt", {}, t("score")), h("dd", {}, hit.score.toFixed(2))),
    hit.confidence != null && h("div", {}, h("dt", {}, t("sure")), h("dd", {}, percent(hit.confidence)))),
    h("h3", {}, t("way")),
    hit.path ? way(hit.path) : h("p", {}, t("noWay")),
  ];
}

export function way(path) {
  const anchor = {similar: "similar", lexical: "lexicalAnchor", itself: "itself"}[path.anchor] ?? path.anchor;
  const stops = path.anchor
    ? [h("li", {class: "stop from"}, h("span", {class: "query"}, t("query"))),
       h("li", {class: "step"}, h("span", {}, t(anchor)), h("span", {class: "arrow", "aria-hidden": "true"}, "⇢"))]
    : [];
  path.nodes.forEach((node, i) => {
    stops.push(h("li", {class: "stop"}, h("a", {href: link(node.id), class: "thumb"}, face(node), h("span", {}, name(node)))));
    const edge = path.edges[i];
    if (edge) stops.push(h("li", {class: "step"}, h("span", {}, t(edge.type)),
      h("span", {class: "arrow", "aria-hidden": "true"}, edge.direction === "out" ? "⟶" : "⟵")));
  });
  return h("ol", {class: "way", lang: lang()}, stops);
}

export const link = id => `#/node/${encodeURIComponent(id)}`;

export function name(node) {
  const words = node.description ?? node.text ?? node.title ?? node.id;
  return words.length > 90 ? `${words.slice(0, 89)}…` : words;
}

const GLYPHS = {audio: "♪", text: "❝", category: "§", source: "▤", image: "▣"};

export function face(node) {
  return node.thumbnail
    ? h("img", {src: node.thumbnail, alt: "", loading: "lazy", decoding: "async"})
    : h("span", {class: `glyph is-${node.modality}`, "aria-hidden": "true"}, GLYPHS[node.modality] ?? "◇");
}
