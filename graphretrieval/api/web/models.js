// Versions of the model: what each was learned from, how it was judged, before and after.
import {run, watch} from "./client.js";
import {h, show, toast} from "./dom.js";
import {role} from "./app.js";
import {lang, number, percent, t} from "./words.js";


export async function page(place) {
  const live = h("div", {class: "live", hidden: true, role: "status"});
  const {models} = await run("models");
  const admin = role("admin");
  show(place,
    h("header", {class: "head"}, h("h1", {tabindex: "-1"}, t("models")), h("p", {class: "note"}, t("modelsHelp")),
      h("p", {class: "row"},
        h("button", {type: "button", class: "go", id: "retrain", disabled: !admin, onclick: () => retrain(place, live)}, t("retrain")),
        h("button", {type: "button", class: "plain", id: "rollback", disabled: !admin || models.length < 2, onclick: () => rollback(place)}, t("rollback")),
        !admin && h("span", {class: "note"}, t("needsAdmin")))),
    live,
    models.length ? h("ol", {class: "versions"}, models.map((m, i) => version(m, models.slice(i + 1).find(x => x.version === m.parent) ?? models[i + 1]))) : h("p", {class: "note"}, t("noModel")));
  follow(place, live);
}

function version(m, before) {
  const made = m.created && new Date(m.created).toLocaleString(lang() === "zh" ? "zh-CN" : "en", {dateStyle: "medium", timeStyle: "short"});
  return h("li", {class: m.inService ? "version now" : "version"},
    h("h2", {}, m.version, m.inService && h("span", {class: "tag"}, t("inService"))),
    h("p", {class: "meta"}, [made && `${t("made")} ${made}`, `${t("revision")} ${number(m.revision)}`, m.seconds && `${number(Math.round(m.seconds))} ${t("secondsLong")}`].filter(Boolean).join(" · ")),
    h("table", {}, h("caption", {class: "hidden"}, `${t("version")} ${m.version}`),
      h("thead", {}, h("tr", {}, h("th", {scope: "col"}, t("direction")), h("th", {scope: "col"}, before ? `mAP, ${t("compared")} ${before.version}` : "mAP"))),
      h("tbody", {}, m.directions.filter(d => d.relevance === "instance").map(d => row(d, before?.directions.find(x => x.source === d.source && x.target === d.target && x.relevance === d.relevance))))));
}

// kinds of text ask through gates of their own: Chinese, and other languages than the model's
const called = kind => t({han: "hanText", foreign: "foreignText"}[kind] ?? kind);

function row(d, before) {
  const change = before ? d.map - before.map : null;
  const said = before ? `${percent(before.map)} → ${percent(d.map)}` : percent(d.map);
  return h("tr", {}, h("th", {scope: "row"}, `${called(d.source)} → ${t(d.target)}`),
    h("td", {}, h("span", {class: "gauge", "aria-hidden": "true"}, before && h("i", {class: "before", style: {width: `${100 * before.map}%`}}), h("i", {class: "after", style: {width: `${100 * d.map}%`}})),
      h("span", {class: change > 0.004 ? "better" : change < -0.004 ? "worse" : ""}, said)));
}

async function retrain(place, live) {
  try {
    const {refit} = await run("refit");
    follow(place, live, refit.id);
  } catch (error) {
    toast(`${t("failed")}: ${error.message}. ${error.remedy}`);
  }
}

async function rollback(place) {
  try {
    const found = await run("rollback");
    toast(t("rolledBack", found.rollback));
    page(place);
  } catch (error) {
    toast(`${t("failed")}: ${error.message}. ${error.remedy}`);
  }
}

let listening = null;
let turn = 0;

// The job that is named, or whatever is at work or begins: what has ended before is not told again.
async function follow(place, live, job = null) {
  away();
  const mine = turn;
  let seen = job;
  const stop = await watch("progress", {job}, data => {
    const p = data?.progress;
    if (mine !== turn || !p || (p.state !== "running" && p.id !== seen)) return;
    seen = p.id;
    live.hidden = p.state !== "running";
    const done = p.total ? p.done / p.total : null;
    show(live, h("label", {}, `${t(p.kind)}: ${p.what} `, h("progress", done === null ? {} : {value: done, max: 1})), h("span", {class: "meta"}, ` ${Math.round(p.seconds)} s`));
    if (p.state === "running") return;
    if (p.state === "failed") toast(`${t("failed")}: ${p.error?.message ?? ""}`);
    else if (p.kind === "refit") toast(p.result?.promoted === false ? t("kept", p.result?.version ?? "", p.result?.reason ?? "") : t("promoted", p.result?.version ?? ""));
    if (p.kind !== "refit") return;
    away();
    page(place);
  });
  if (mine === turn) listening = stop;
  else stop();
}

export function away() {
  turn += 1;
  listening?.();
  listening = null;
}
