// The query console: examples, the schema's own documentation, and what came back.
import {ask, documents} from "./client.js";
import {h, show} from "./dom.js";

document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

const EXAMPLES = {
  "What is here": ["{ stats { revision model nodes { name count } edges { name count } } }", {}],
  "Pictures for words": ["query ($text: String!) {\n  search(input: {text: $text, targets: [\"image\"], k: 5}) {\n    edges {\n      score\n      confidence\n      parts { name value }\n      explanation\n      node { id title thumbnail description }\n    }\n    pageInfo { endCursor hasNextPage }\n    noMatch\n  }\n}", {text: "a lion"}],
  "Words with something to keep away from": ["query ($terms: [TermInput!]!) {\n  search(input: {terms: $terms, targets: [\"image\"]}) { edges { node { id title } score } }\n}", {terms: [{text: "animal"}, {text: "bird", weight: -0.5}]}],
  "Answer with citations": ["query ($question: String!) {\n  ask(question: $question, lang: \"en\") {\n    noMatch\n    citations { text score node { id } about { id title } }\n  }\n}", {question: "what roars?"}],
  "Labels without training": ["{ classify(text: \"it purrs\", labels: [\"cat\", \"truck\", \"piano\"]) { label share } }", {}],
  "Categories": ["{ categories { title total { name count } children(first: 10) { id title } } }", {}],
  "Versions of the model": ["{ models { version inService directions { source target map } } }", {}],
};
const INTROSPECTION = "{ __schema { queryType { ...T } mutationType { ...T } subscriptionType { ...T } types { kind name description fields { name description args { name } type { ...R } } inputFields { name description type { ...R } } } } } fragment T on __Type { name } fragment R on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
const get = id => document.getElementById(id);

async function go() {
  let variables;
  try {
    variables = JSON.parse(get("variables").value || "{}");
  } catch (error) {
    return show(get("result"), `The variables are no JSON: ${error.message}`);
  }
  const started = performance.now();
  const {status, body} = await ask(get("query").value, variables);
  get("took").textContent = `${status} · ${Math.round(performance.now() - started)} ms`;
  get("result").textContent = JSON.stringify(body, null, 2);
}

const called = type => type.kind === "NON_NULL" ? `${called(type.ofType)}!` : type.kind === "LIST" ? `[${called(type.ofType)}]` : type.name;

function about(type) {
  const fields = type.fields ?? type.inputFields ?? [];
  return h("details", {open: type.name === "Query"}, h("summary", {}, h("code", {}, type.name), " ", type.description ?? ""),
    h("ul", {}, fields.map(f => h("li", {}, h("code", {}, `${f.name}${f.args?.length ? `(${f.args.map(a => a.name).join(", ")})` : ""}: ${called(f.type)}`), " ", f.description ?? ""))));
}

async function start() {
  const registered = await documents();
  for (const [name, {text}] of Object.entries(registered)) EXAMPLES[`The page's own: ${name}`] = [text, {}];
  show(get("examples"), Object.keys(EXAMPLES).map(x => h("option", {}, x)));
  const choose = () => {
    const [query, variables] = EXAMPLES[get("examples").value];
    get("query").value = query;
    get("variables").value = JSON.stringify(variables, null, 2);
  };
  get("examples").addEventListener("change", choose);
  get("run").addEventListener("click", go);
  addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) go(); });
  choose();
  const {body} = await ask(INTROSPECTION, {});
  if (!body.data) return show(get("types"), h("p", {}, body.errors?.[0]?.message ?? body.error?.message));
  const first = ["Query", "Mutation", "Subscription"];
  const types = body.data.__schema.types.filter(x => !x.name.startsWith("__") && (x.fields || x.inputFields));
  types.sort((a, b) => (first.indexOf(a.name) + 9) % 9 - (first.indexOf(b.name) + 9) % 9 || a.name.localeCompare(b.name));
  show(get("types"), types.map(about));
}

start();
