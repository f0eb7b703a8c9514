// The search page: one box for words, pictures and sounds; shelves of what was found.
import {documents, run, upload} from "./client.js";
import {dialog, h, show, tell, toast} from "./dom.js";
import {card, once} from "./cards.js";
import {record} from "./record.js";
import {lang, number, t} from "./words.js";
import {link} from "./why.js";

const PAGE = {image: 18, audio: 8, text: 24, mixed: 24};
const EXAMPLES = {en: ["a lion", "something that flies", "a thing to make music", "fire truck"], zh: ["老虎", "小提琴", "消防车", "会飞的"]};
let terms = []; // what is attached: {kind: "upload" | "node", id, label, thumbnail, modality}
const met = new Map(); // terms by their id, for how they are shown: the address has no more than ids
let wanted = {text: "", view: localStorage.getItem("view") ?? "grouped", texts: "mine"};
let running;

// The address says all that is asked for: what is not in it was asked elsewhere, or before.
export function page(place, query) {
  wanted.text = query.get("q") ?? "";
  const ids = new Set();
  terms = [...query].filter(([kind, id]) => ["node", "upload"].includes(kind) && id && !ids.has(id) && ids.add(id))
    .map(([kind, id]) => met.get(id) ?? {kind, id, label: kind === "node" ? id : t("upload")});
  const results = h("div", {class: "results"});
  const form = box(results);
  show(place, h("h1", {class: "tagline", tabindex: "-1"}, t("tagline")), form, results);
  if (wanted.text || terms.length) search(results);
  else home(results);
}

function address(text, asked) {
  const query = new URLSearchParams(asked.map(x => [x.kind, x.id]));
  if (text) query.append("q", text);
  return `${query}` ? `#/?${query}` : "#/";
}

function remember(term) {
  met.set(term.id, term);
  return term;
}

// Files as terms; those that are refused are told of and left out.
async function uploaded(files) {
  const found = await Promise.all([...files].map(async file => {
    try {
      const made = await upload(file);
      return remember({kind: "upload", id: made.id, label: made.name || t(made.modality), modality: made.modality, local: URL.createObjectURL(file)});
    } catch (error) {
      toast(`${t("failed")}: ${error.message}. ${error.remedy}`);
      return null;
    }
  }));
  return found.filter(Boolean);
}

function box(results) {
  const input = h("input", {type: "search", id: "q", name: "q", autocomplete: "off", maxlength: "500", placeholder: t("placeholder"), "aria-label": t("ask"), value: wanted.text});
  const files = h("input", {type: "file", id: "file", accept: "image/*,audio/*", multiple: true, class: "hidden", tabindex: "-1", "aria-label": t("attach")});
  const attached = h("ul", {class: "attached", "aria-label": t("attach")});
  const again = () => { chips(attached, again); submit(); };
  const attachAll = async given => {
    const made = await uploaded(given);
    if (!made.length) return;
    terms.push(...made);
    again();
  };
  const submit = () => {
    wanted.text = input.value.trim();
    history.replaceState(null, "", address(wanted.text, terms));
    if (wanted.text || terms.length) search(results);
    else home(results);
  };
  files.addEventListener("change", async () => { await attachAll(files.files); files.value = ""; });
  const attach = h("button", {type: "button", class: "quiet round", "aria-label": t("attach"), title: t("attach"), onclick: () => files.click()}, icon("M4 16l4.500-5 3.500 4 3-3 5 5M4 4h16v16H4zM15.500 8.500h.010"));
  const mike = h("button", {type: "button", class: "quiet round", id: "record", "aria-label": t("record"), title: t("record")}, icon("M12 3a3 3 0 013 3v5a3 3 0 01-6 0V6a3 3 0 013-3zM6 11a6 6 0 0012 0M12 17v4"));
  let taking = null;
  mike.addEventListener("click", async () => {
    if (taking) return taking.stop();
    try {
      taking = await record();
    } catch {
      return toast(t("noMicrophone"));
    }
    mike.classList.add("on");
    mike.setAttribute("aria-label", t("stop"));
    tell(t("recording"));
    const sound = await taking.result;
    taking = null;
    mike.classList.remove("on");
    mike.setAttribute("aria-label", t("record"));
    await attachAll([new File([sound], "recording.wav", {type: "audio/wav"})]);
  });
  input.addEventListener("paste", async event => {
    const given = [...event.clipboardData.files];
    if (!given.length) return;
    event.preventDefault();
    await attachAll(given);
  });
  chips(attached, again);
  const form = h("form", {class: "box", role: "search", onsubmit: event => { event.preventDefault(); submit(); }},
    h("div", {class: "line"}, attached, input, attach, mike, h("button", {type: "submit", class: "go"}, t("go"))), files);
  form.again = again;
  form.attachAll = attachAll;
  return form;
}

function icon(path) {
  const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  box.setAttribute("viewBox", "0 0 24 24");
  box.setAttribute("aria-hidden", "true");
  box.setAttribute("class", "icon");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  box.append(line);
  return box;
}

function chips(place, again) {
  show(place, terms.map((term, i) => h("li", {class: "chip"},
    term.modality === "image" || term.thumbnail ? h("img", {src: term.thumbnail ?? term.local, alt: ""}) : h("span", {"aria-hidden": "true"}, term.modality === "audio" ? "♪" : "◇"),
    h("span", {}, term.label),
    h("button", {type: "button", class: "quiet", "aria-label": `${t("remove")} ${term.label}`, onclick: () => {
      terms.splice(i, 1);
      again();
      const left = place.querySelectorAll("button");
      (left[Math.min(i, left.length - 1)] ?? document.getElementById("q")).focus();
    }}, "×"))));
}

// Dropped anywhere on the page; on another than this, it is asked for alone.
export function droppable() {
  let inside = 0;
  const on = yes => document.body.classList.toggle("dropping", yes);
  addEventListener("dragenter", event => { if (event.dataTransfer?.types.includes("Files")) { inside += 1; on(true); } });
  addEventListener("dragleave", () => { inside = Math.max(0, inside - 1); if (!inside) on(false); });
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", async event => {
    event.preventDefault();
    inside = 0;
    on(false);
    const files = event.dataTransfer?.files;
    if (!files?.length) return;
    const form = document.querySelector("form.box");
    if (form) return form.attachAll(files);
    const made = await uploaded(files);
    if (made.length) location.hash = address("", made);
  });
}

function inputs() {
  const base = {terms: terms.map(x => ({[x.kind]: x.id}))};
  if (wanted.text) base.text = wanted.text;
  const filter = wanted.texts === "mine" ? {filter: {lang: lang()}} : {};
  return {
    pictures: {...base, targets: ["image"], k: PAGE.image},
    sounds: {...base, targets: ["audio"], k: PAGE.audio},
    texts: {...base, targets: ["text"], k: PAGE.text, ...filter},
  };
}

// The tagline is read by all, and seen where nothing is asked yet.
const main = start => document.querySelector("h1.tagline")?.classList.toggle("hidden", !start);

async function search(place) {
  main(false);
  running?.abort();
  const mine = running = new AbortController();
  place.setAttribute("aria-busy", "true");
  place.classList.add("waiting");
  try {
    const grouped = wanted.view === "grouped";
    const all = inputs();
    const variables = grouped ? {...all, lang: lang()} : {input: {...all.pictures, targets: [], k: PAGE.mixed}, lang: lang()};
    const data = await run(grouped ? "search" : "mixed", variables, mine.signal);
    show(place, bar(place, grouped ? "search" : "mixed", variables), grouped ? shelves(place, data) : mixed(place, data.mixed));
    const count = Object.values(data).reduce((sum, x) => sum + x.edges.length, 0);
    tell(`${number(count)} ${t("found")}`);
  } catch (error) {
    if (error.name !== "AbortError") show(place, h("p", {class: "failure", role: "alert"}, h("strong", {}, error.message), " ", error.remedy));
  } finally {
    if (running === mine) { place.removeAttribute("aria-busy"); place.classList.remove("waiting"); }
  }
}

function bar(place, name, variables) {
  const choice = (value, word) => h("button", {type: "button", "aria-pressed": String(wanted.view === value), onclick: () => { wanted.view = value; localStorage.setItem("view", value); search(place); }}, t(word));
  return h("div", {class: "filters"},
    h("div", {class: "choice", role: "group", "aria-label": t("view")}, choice("grouped", "grouped"), choice("mixed", "mixed")),
    h("button", {type: "button", class: "quiet", onclick: () => copyable(name, variables)}, t("asGraphql")));
}

async function copyable(name, variables) {
  const {text} = (await documents())[name];
  const words = `${text}\n# variables\n${JSON.stringify(variables, null, 2).replace(/^/gm, "# ")}\n`;
  const area = h("textarea", {readonly: true, rows: "18", spellcheck: "false", "aria-label": t("asGraphql")});
  area.value = words;
  dialog(t("asGraphql"), t("close"), area, h("button", {type: "button", class: "go", onclick: async () => {
    await navigator.clipboard?.writeText(words).catch(() => area.select());
    toast(t("copied"));
  }}, t("copy")));
}

function like(place) {
  return node => {
    if (!terms.some(x => x.id === node.id)) terms.push(remember({kind: "node", id: node.id, label: node.description ?? node.title ?? node.id, modality: node.modality, thumbnail: node.thumbnail}));
    document.getElementById("q").value = wanted.text = "";
    document.querySelector("form.box").again();
    scrollTo({top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"});
  };
}

function shelves(place, data) {
  const tongues = h("label", {class: "tongues"}, t("languageOfTexts"), " ",
    h("select", {onchange: event => { wanted.texts = event.target.value; search(place); }},
      ["mine", "all"].map(x => h("option", {value: x, selected: wanted.texts === x}, t(x)))));
  return [shelf(place, "pictures", "image", data.pictures), shelf(place, "sounds", "audio", data.sounds), shelf(place, "texts", "text", data.texts, tongues)];
}

function shelf(place, word, modality, page, extra) {
  const list = h("ul", {class: `shelf of-${modality}`}, once(page.edges).map(hit => card(hit, like(place))));
  const section = h("section", {class: `shelf-box of-${modality}`, "aria-labelledby": `shelf-${word}`},
    h("header", {}, h("h2", {id: `shelf-${word}`}, t(word)), extra),
    page.noMatch && page.edges.length > 0 && h("p", {class: "note"}, t("noMatch")),
    page.edges.length ? list : h("p", {class: "note"}, t("nothing")));
  let after = page.pageInfo.endCursor;
  if (page.pageInfo.hasNextPage) {
    const more = h("button", {type: "button", class: "more", onclick: async () => {
      more.disabled = true;
      try {
        const found = (await run("mixed", {input: {...inputs()[word], after}, lang: lang()})).mixed;
        const first = list.children.length;
        list.append(...once(found.edges).map(hit => card(hit, like(place))));
        list.children[first]?.querySelector("a")?.focus();
        after = found.pageInfo.endCursor;
        if (!found.pageInfo.hasNextPage) more.remove();
      } catch (error) {
        toast(`${t("failed")}: ${error.message}`);
      } finally {
        more.disabled = false;
      }
    }}, t("more"));
    section.append(more);
  }
  return section;
}

function mixed(place, page) {
  return [page.noMatch && h("p", {class: "note"}, t("noMatch")),
    h("section", {"aria-label": t("mixed")}, page.edges.length ? h("ul", {class: "shelf of-mixed"}, once(page.edges).map(hit => card(hit, like(place)))) : h("p", {class: "note"}, t("nothing")))];
}

async function home(place) {
  running?.abort();
  running = null;
  place.removeAttribute("aria-busy");
  place.classList.remove("waiting");
  main(true);
  const start = h("div", {class: "hero"}, h("p", {class: "examples"}, h("span", {}, t("examples")), EXAMPLES[lang()].map(q => h("a", {href: `#/?q=${encodeURIComponent(q)}`}, q))));
  show(place, start);
  try {
    const {stats, categories, first} = await run("home");
    if (!start.isConnected) return; // something is searched for by now
    const count = kind => number(stats.nodes.find(x => x.name === kind)?.count ?? 0);
    start.append(h("p", {class: "counts"}, t("counts", count("image"), count("audio"), count("text"))));
    const tops = categories.length === 1 && first[0].children.length ? first[0].children : categories;
    place.append(h("section", {class: "rooms", "aria-labelledby": "rooms"}, h("h2", {id: "rooms"}, t("collection")),
      h("ul", {}, tops.map(c => h("li", {}, h("a", {href: link(c.id)},
        h("span", {class: "mat"}, c.cover && h("img", {src: c.cover.thumbnail, alt: "", loading: "lazy"})),
        h("strong", {}, c.title),
        h("span", {class: "meta"}, number(c.total.filter(x => x.name !== "category").reduce((a, x) => a + x.count, 0)))))))));
  } catch (error) {
    if (start.isConnected) place.append(h("p", {class: "failure", role: "alert"}, error.message, " ", error.remedy));
  }
}
