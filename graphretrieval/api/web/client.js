// The service: registered GraphQL documents asked for by their hash, events, uploads, the session.

let registered;

export async function documents() {
  registered ??= fetch("/web/documents.json").then(r => r.json());
  return registered;
}

export class Failure extends Error {
  constructor(error, status) {
    super(error.message);
    this.code = error.code ?? error.extensions?.code;
    this.remedy = error.remedy ?? error.extensions?.remedy ?? "";
    this.status = status;
  }
}

async function checked(response) {
  const body = await response.json().catch(() => ({}));
  const error = body.errors?.[0] ?? body.error;
  if (error) throw new Failure(error, response.status);
  if (!response.ok) throw new Failure({message: response.statusText}, response.status);
  return body;
}

const json = {"content-type": "application/json"};

export async function run(name, variables = {}, signal) {
  const {id} = (await documents())[name];
  const body = JSON.stringify({documentId: id, variables});
  const response = await fetch("/graphql", {method: "POST", headers: json, body, signal});
  return (await checked(response)).data;
}

export async function ask(query, variables) {
  const response = await fetch("/graphql", {method: "POST", headers: json, body: JSON.stringify({query, variables})});
  return {status: response.status, body: await response.json()};
}

// Server-sent events of a subscription; returns a function that stops listening.
export async function watch(name, variables, next, ended) {
  const {id} = (await documents())[name];
  const query = new URLSearchParams({documentId: id, variables: JSON.stringify(variables)});
  const source = new EventSource(`/graphql?${query}`);
  source.addEventListener("next", event => next(JSON.parse(event.data).data));
  const stop = () => source.close();
  source.addEventListener("complete", () => { stop(); ended?.(); });
  source.onerror = () => { stop(); ended?.(); };
  return stop;
}

export async function upload(file, name = file.name) {
  const form = new FormData();
  form.append("file", file, name);
  return checked(await fetch("/api/uploads", {method: "POST", body: form}));
}

export const me = async () => checked(await fetch("/api/session"));

export async function enter(token) {
  return checked(await fetch("/api/session", {method: "POST", headers: json, body: JSON.stringify({token})}));
}

export async function leave() {
  return checked(await fetch("/api/session", {method: "DELETE"}));
}
