// A node's page: the thing itself, what is said of it, and what it is linked to.
import {run} from "./client.js";
import {h, show, toast} from "./dom.js";
import {player} from "./cards.js";
import {draw} from "./graph.js";
import {role} from "./app.js";
import {lang, seconds, t} from "./words.js";
import {face, link, name} from "./why.js";

export async function page(place, id) {
  let hops = 2;
  const open = async () => {
    const found = await run("node", {id, hops, lang: lang()});
    if (!found.node) return show(place, h("h1", {tabindex: "-1"}, t("unknownNode")));
    const node = found.node;
    show(place,
      h("article", {class: `node is-${node.modality}`},
        h("div", {class: "exhibit"}, exhibit(node)),
        h("div", {class: "about"},
          h("p", {class: "kind"}, t(node.modality)),
          h("h1", {tabindex: "-1"}, name(node)),
          h("p", {class: "row"}, ["image", "audio", "text"].includes(node.modality) && h("a", {class: "go", href: `#/?node=${encodeURIComponent(id)}`}, t("find"))),
          facts(node),
          node.descriptions.length > 0 && h("section", {}, h("h2", {}, t("descriptions")),
            h("ul", {class: "said"}, node.descriptions.map(d => h("li", {lang: (d.lang ?? "").replace("_", "-")}, h("a", {href: link(d.id)}, d.text), d.lang && h("span", {class: "meta"}, ` ${d.lang}`))))),
          node.categories.length > 0 && h("section", {}, h("h2", {}, t("categories")),
            h("p", {class: "row"}, node.categories.map(c => h("a", {class: "tag", href: link(c.id)}, c.title ?? c.id)))))),
      h("section", {class: "around", "aria-labelledby": "around"},
        h("header", {}, h("h2", {id: "around"}, t("surroundings")),
          h("div", {class: "choice", role: "group", "aria-label": t("surroundings")}, [[1, "near"], [2, "wider"]].map(([n, word]) =>
            h("button", {type: "button", "aria-pressed": String(hops === n), onclick: () => { hops = n; open(); }}, t(word))))),
        draw(found.neighbourhood, id),
        h("p", {class: "note"}, t("graphHelp"), " ", found.neighbourhood.leftOut > 0 && t("leftOut", found.neighbourhood.leftOut)),
        list(found.neighbourhood, id)),
      role("write") && linker(id, open));
  };
  await open();
}

function exhibit(node) {
  // of some only vectors or descriptions came in, and no file
  if (node.modality === "image" && node.thumbnail) return h("a", {class: "mat", href: node.uri, target: "_blank", rel: "noopener"}, h("img", {src: `${node.thumbnail.replace(/side=\d+/, "side=512")}`, alt: node.description ?? node.title ?? ""}));
  if (node.modality === "audio" && node.uri) return h("div", {class: "mat sounding"}, h("span", {class: "wave", "aria-hidden": "true"}, "♪"), player(node));
  if (node.modality === "text") return h("blockquote", {class: "mat", lang: (node.lang ?? "").replace("_", "-")}, node.text);
  return h("div", {class: "mat"}, face(node));
}

function facts(node) {
  const place = node.start != null && `${node.unit} ${node.start}–${node.end ?? ""}`;
  const rows = [["size", node.width && `${node.width} × ${node.height}`], ["duration", node.duration && seconds(node.duration)], ["language", node.lang],
    ["kind", node.mediaType], ["place", place], ["source", node.source && h("a", {href: link(node.source.id)}, node.source.title ?? node.source.id)],
    ["belongs", node.collection], ["license", node.license], ["identifier", h("code", {}, node.id)]];
  return h("dl", {class: "facts", "aria-label": t("facts")}, rows.filter(([, value]) => value).map(([word, value]) => h("div", {}, h("dt", {}, t(word)), h("dd", {}, value))));
}

function list(around, id) {
  const by = new Map(around.nodes.map(p => [p.node.id, p.node]));
  return h("details", {}, h("summary", {}, t("asList")),
    h("ul", {class: "links"}, around.edges.map(e => h("li", {}, end(by.get(e.sourceId), id), h("em", {}, ` ${t(e.type)} `), end(by.get(e.targetId), id)))));
}

const end = (node, id) => node.id === id ? h("strong", {}, name(node)) : h("a", {href: link(node.id)}, name(node));

function linker(id, again) {
  const type = h("select", {id: "relation"}, ["RELATED_TO", "DESCRIBES", "IN_CATEGORY", "PART_OF"].map(x => h("option", {value: x}, t(x))));
  const other = h("input", {id: "other", required: true, maxlength: "1024"});
  return h("form", {class: "linker", onsubmit: async event => {
    event.preventDefault();
    const edge = {source: id, type: type.value, target: other.value.trim()};
    try {
      await run("link", edge);
      toast(t("linked"), {name: t("undo"), run: async () => { await run("unlink", edge); toast(t("unlinked")); again(); }});
      again();
    } catch (error) {
      toast(`${t("failed")}: ${error.message}. ${error.remedy}`);
    }
  }}, h("h2", {}, t("linkTo")), h("label", {for: "relation"}, t("relation")), type, h("label", {for: "other"}, t("targetId")), other, h("button", {type: "submit", class: "go"}, t("link")));
}
