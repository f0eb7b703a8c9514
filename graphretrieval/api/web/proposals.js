// The inbox: links that the model thinks are missing, to be accepted or rejected by a person.
import {run, watch} from "./client.js";
import {h, show, toast} from "./dom.js";
import {role} from "./app.js";
import {lang, percent, t} from "./words.js";
import {face, link, name} from "./why.js";

const RELATIONS = ["DESCRIBES", "IN_CATEGORY", "RELATED_TO"];
let only = "";

export async function page(place) {
  const list = h("ol", {class: "inbox"});
  const choose = h("label", {}, `${t("relation")} `, h("select", {onchange: event => { only = event.target.value; fetchAll(list); }},
    ["", ...RELATIONS].map(x => h("option", {value: x, selected: x === only}, x ? t(x) : t("anyRelation")))));
  const live = h("div", {class: "live", hidden: true, role: "status"}, h("label", {}, `${t("looking")} `, h("progress")));
  const look = h("button", {type: "button", class: "go", id: "look", disabled: !role("write"), onclick: async () => {
    try {
      const {propose} = await run("propose", {type: only || null});
      look.disabled = true;
      live.hidden = false;
      await watch("progress", {job: propose.id}, data => {
        const p = data?.progress;
        if (!p || p.state === "running") return;
        live.hidden = true;
        look.disabled = false;
        if (p.state === "failed") toast(`${t("failed")}: ${p.error?.message ?? ""} ${p.error?.remedy ?? ""}`);
        else fetchAll(list);
      });
    } catch (error) {
      toast(`${t("failed")}: ${error.message}. ${error.remedy}`);
    }
  }}, t("look"));
  show(place, h("header", {class: "head"}, h("h1", {tabindex: "-1"}, t("inbox")), h("p", {class: "note"}, t("inboxHelp")),
    h("p", {class: "row"}, look, choose, !role("write") && h("span", {class: "note"}, t("needsAdmin")))), live, list);
  await fetchAll(list);
}

async function fetchAll(list) {
  list.setAttribute("aria-busy", "true");
  const {proposals} = await run("proposals", {type: only || null, lang: lang()});
  list.removeAttribute("aria-busy");
  show(list, proposals.length ? proposals.map(p => item(p, list)) : h("li", {class: "note"}, t("inboxEmpty")));
}

function item(p, list) {
  const judge = (what, said) => async () => {
    const next = box.nextElementSibling ?? box.previousElementSibling;
    try {
      await run(what, {id: p.id});
      box.remove();
      next?.querySelector("button")?.focus();
      toast(t(said), {name: t("undo"), run: async () => {
        try {
          await run("undo", {id: p.id});
          toast(t("undone"));
          fetchAll(list);
        } catch (error) {
          toast(`${t("failed")}: ${error.message}`);
        }
      }});
    } catch (error) {
      toast(`${t("failed")}: ${error.message}. ${error.remedy}`);
    }
  };
  const may = role("write");
  const words = `${name(p.source)} ${t(p.type)} ${name(p.target)}`;
  const box = h("li", {class: "proposal", "data-id": p.id},
    h("div", {class: "pair"}, end(p.source), h("span", {class: "rel"}, t(p.type), h("span", {class: "arrow", "aria-hidden": "true"}, "⟶")), end(p.target)),
    h("div", {class: "judge"},
      h("span", {class: "sure"}, `${percent(p.confidence)} ${t("sure")}`),
      h("span", {class: "gauge", "aria-hidden": "true"}, h("i", {class: "after", style: {width: percent(p.confidence)}})),
      p.reasons.length > 0 && h("ul", {class: "reasons"}, p.reasons.map(r => h("li", {}, reason(r)))),
      h("div", {class: "row"},
        h("button", {type: "button", class: "go accept", disabled: !may, onclick: judge("accept", "accepted"), "aria-label": `${t("accept")}: ${words}`}, t("accept")),
        h("button", {type: "button", class: "plain reject", disabled: !may, onclick: judge("reject", "rejected"), "aria-label": `${t("reject")}: ${words}`}, t("reject")))));
  return box;
}

const end = node => h("a", {class: "thumb", href: link(node.id)}, face(node), h("span", {}, node.modality === "category" ? way(node.id) : name(node)));

// a category's own name may be "other": what it is a part of tells more
const way = id => id.replace(/^cat:/, "").replaceAll("/", " / ");

// reasons come in English and with ids
function reason(text) {
  const named = /^(both are linked to|often occurs together with) (.*?)(?: and (\d+) more)?$/.exec(text);
  if (named) {
    const about = named[1].startsWith("both") ? "shared" : "together";
    const names = named[2].split(", ").map(way).join(lang() === "zh" ? "、" : ", ");
    return named[3] ? t(`${about}More`, names, named[3]) : t(about, names);
  }
  const measured = /^(.+) \((.+)\)/.exec(text);
  return measured ? `${t(measured[1])} (${measured[2]})` : text;
}
