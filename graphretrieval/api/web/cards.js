// Hits as people see them: pictures, playable sounds, readable texts.
import {dialog, h} from "./dom.js";
import {lang, percent, seconds, t} from "./words.js";
import {bar, face, link, name, why} from "./why.js";

// The same words in several variants of a language are one card.
export function once(hits) {
  const seen = new Map();
  for (const hit of hits) {
    const words = hit.node.modality === "text" ? hit.node.text ?? hit.node.id : hit.node.id;
    const lang = hit.node.lang ? [hit.node.lang] : []; // not all texts have one
    if (seen.has(words)) seen.get(words).langs.push(...lang);
    else seen.set(words, {...hit, langs: lang});
  }
  return [...seen.values()];
}

export function card(hit, like) {
  const node = hit.node;
  const said = node.modality === "text" ? null : node.description;
  const asked = () => dialog(t("whyThis"), t("close"), why(hit));
  return h("li", {class: `card is-${node.modality}`, "data-id": node.id},
    body(node, said, hit),
    h("div", {class: "under"},
      bar(hit),
      h("div", {class: "row"},
        hit.confidence != null && h("span", {class: "sure", title: t("sure")}, percent(hit.confidence)),
        h("button", {type: "button", class: "quiet", onclick: asked, "aria-label": `${t("why")} ${name(node)}`}, t("why")),
        like && h("button", {type: "button", class: "quiet", onclick: () => like(node), "aria-label": `${t("alike")}: ${name(node)}`, title: t("like")}, t("alike")))));
}

function body(node, said, hit) {
  if (node.modality === "image") {
    return h("a", {class: "picture", href: link(node.id)},
      h("span", {class: "mat"}, node.thumbnail ? h("img", {src: node.thumbnail, alt: said ?? node.title ?? "", loading: "lazy", decoding: "async"}) : face(node)),
      h("span", {class: "title"}, said ?? node.title ?? node.id));
  }
  if (node.modality === "audio") {
    return h("div", {class: "sound"},
      h("a", {class: "title", href: link(node.id)}, said ?? node.title ?? node.id),
      h("p", {class: "meta"}, [node.title !== said && node.title, node.lang && `${t("spoken")} · ${node.lang}`, node.duration && seconds(node.duration)].filter(Boolean).join(" · ")),
      node.uri && player(node));
  }
  if (node.modality === "text") {
    return h("a", {class: "words", href: link(node.id)},
      h("q", {lang: (node.lang ?? lang()).replace("_", "-")}, node.text ?? node.title),
      h("span", {class: "meta"}, [node.title, [...new Set(hit.langs)].join(", ")].filter(Boolean).join(" · ")));
  }
  return h("a", {class: "words", href: link(node.id)}, face(node), name(node));
}

export function player(node) {
  const part = node.unit === "seconds" && node.start != null ? `#t=${node.start},${node.end ?? ""}` : "";
  return h("audio", {controls: true, preload: "none", src: node.uri + part, "aria-label": node.description ?? node.title});
}
