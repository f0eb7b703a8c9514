// The frame: pages by the address behind '#', language, colours, and who is reading.
import {enter, leave, me} from "./client.js";
import {h, show, toast} from "./dom.js";
import * as search from "./search.js";
import * as node from "./node.js";
import * as proposals from "./proposals.js";
import * as models from "./models.js";
import {lang, setLang, t} from "./words.js";

const ROLES = ["read", "write", "admin"];
const main = document.getElementById("main");
let reader = {role: null};
let turn = 0;

export const role = wanted => ROLES.indexOf(reader.role) >= ROLES.indexOf(wanted);

function words() {
  document.documentElement.lang = lang() === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = t(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  document.getElementById("tongue").textContent = lang() === "zh" ? "English" : "中文";
  document.getElementById("tongue").lang = lang() === "zh" ? "en" : "zh-CN";
  const badge = document.getElementById("role");
  badge.hidden = !role("write");
  if (role("write")) show(badge, t(reader.role), reader.by === "session" && h("button", {type: "button", class: "quiet", onclick: async () => { await leave(); location.reload(); }}, t("leave")));
}

// Only what begins with '#/' names a page; '#main' and the like are places on it.
const address = () => location.hash.startsWith("#/") ? location.hash.slice(1) : "/";

async function open(focus = true) {
  const mine = ++turn;
  models.away();
  const [path, query] = address().split(/\?(.*)/s);
  const parameters = new URLSearchParams(query ?? "");
  const [, room = "", ...rest] = path.split("/");
  main.classList.toggle("start", !room && !query);
  for (const a of document.querySelectorAll(".top nav a")) {
    const here = a.getAttribute("href") === `#/${room}`;
    here ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current");
  }
  const place = h("div", {class: `page page-${room || "search"}`});
  show(main, place);
  try {
    if (room === "node") await node.page(place, decodeURIComponent(rest.join("/")));
    else if (room === "proposals") await proposals.page(place);
    else if (room === "models") await models.page(place);
    else search.page(place, parameters);
  } catch (error) {
    show(place, h("div", {class: "failure", role: "alert"}, h("h1", {tabindex: "-1"}, error.message), h("p", {}, error.remedy ?? "")));
  }
  if (mine !== turn) return;
  const head = place.querySelector("h1");
  document.title = head ? `${head.textContent} · graphretrieval` : "graphretrieval";
  if (focus && room) head?.focus({preventScroll: true});
}

function colours() {
  const button = document.getElementById("theme");
  const wished = () => localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const set = () => { document.documentElement.dataset.theme = wished(); button.setAttribute("aria-pressed", String(wished() === "dark")); };
  button.addEventListener("click", () => { localStorage.setItem("theme", wished() === "dark" ? "light" : "dark"); set(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", set);
  set();
}

// The admin link, when the page is opened by it and when it is put into the address of an open one.
async function admitted() {
  const token = location.hash.match(/^#admin=(.+)$/)?.[1];
  if (token) {
    history.replaceState(null, "", "#/"); // the link works once; it need not stay in the history
    await enter(token).then(() => toast(t("welcome")), error => toast(`${error.message}. ${error.remedy}`));
  }
  return Boolean(token);
}

async function moved() {
  if (await admitted()) {
    reader = await me().catch(() => reader);
    words();
    await open(false);
  } else if (!location.hash || location.hash.startsWith("#/")) {
    await open();
  }
}

async function start() {
  colours();
  await admitted();
  reader = await me().catch(() => ({role: null}));
  document.getElementById("tongue").addEventListener("click", () => { setLang(lang() === "zh" ? "en" : "zh"); words(); open(false); });
  addEventListener("hashchange", moved);
  document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); main.focus(); main.scrollIntoView(); });
  search.droppable();
  words();
  await open(false);
}

start();
