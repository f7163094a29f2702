// What the program says has happened, drawn: the entries of its timeline as they
// come, the figures, the lanes of requests and the tables. No token is ever seen
// here.
export const $ = (id) => document.getElementById(id);
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const rows = $("events").tBodies[0], box = $("box");
export const embedded = "embedded" in $("events").dataset, sessions = "sessions" in $("events").dataset;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const start = JSON.parse($("events").dataset.start);

// ---- what is known ----

const most = 500; // entries and rows
let latest = start.counts, last = 0, clock = -Infinity, pending = [];
let base = { seq: 0, counts: {} }; // what is shown has happened since
let shown = [], stale = true;

export const count = (name) => Math.max(0, latest[name] - (base.counts[name] || 0));

export function reset(state) {
  base = state || { seq: last, counts: latest };
  latest = base.counts;
  shown = shown.filter((e) => e.seq > base.seq);
  stale = true;
  refresh();
}

function note(e) {
  if (e.seq <= last) return;
  last = e.seq;
  clock = Math.max(clock, e.at - performance.now());
  pending.push(e);
  if (e.seq > base.seq) shown.push(e);
  for (const list of [pending, shown]) if (list.length > most) list.shift(); // a tab in the background draws nothing
  stale = true;
  refresh();
}

// listen keeps one stream for all tabs, and hands on what comes: a browser has
// six connections to a server that speaks HTTP/1.1, and the seventh tab would
// not even load.
function listen() {
  const tabs = new BroadcastChannel("bff timeline");
  const take = (m) => (m.counts ? ((latest = m.counts), refresh()) : note(m.entry));
  tabs.onmessage = (m) => take(m.data);
  const both = (m) => (take(m), tabs.postMessage(m));
  const lead = () => new Promise((over) => {
    const source = new EventSource("/events?after=" + last);
    source.onopen = () => { $("live").textContent = "live"; };
    source.onerror = () => {
      const closed = source.readyState === EventSource.CLOSED;
      $("live").textContent = closed ? "ended: load the page again" : "interrupted, trying again";
      if (closed) over(); // another tab may fare better
    };
    source.onmessage = (m) => both({ entry: JSON.parse(m.data) });
    source.addEventListener("counts", (m) => both({ counts: JSON.parse(m.data) }));
  });
  $("live").textContent = "live"; // by this tab or another
  navigator.locks ? navigator.locks.request("bff timeline", lead) : lead();
}

// gather makes requests and refreshes of entries.
function gather() {
  const visits = new Map(), exchanges = [], ends = [];
  for (const e of shown) {
    const v = visits.get(e.visit);
    if (e.kind === "start") visits.set(e.visit, { ...e, began: e.at, end: 0, parts: [], marks: [] });
    else if (e.kind === "presenting") exchanges.push({ replica: e.replica, began: e.at, end: 0 });
    else if (e.kind === "presentation") {
      const open = exchanges.find((x) => x.replica === e.replica && !x.end);
      if (open) Object.assign(open, { end: e.at, good: e.status === 200 });
    } else if (e.kind === "ended") ends.push(e);
    else if (v && e.kind === "end") Object.assign(v, { end: e.at, status: e.status || "cut off" });
    else if (v && ["call", "unauthorized", "replay", "served"].includes(e.kind)) v.parts.push(e);
    else if (v && ["delivered", "parked"].includes(e.kind)) v.marks.push(e);
  }
  return { visits: [...visits.values()].slice(-24), exchanges, ends };
}

// ---- what is drawn ----

function shape(name, attributes, title) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (name === "text" || name === "title") e.textContent = title;
  else if (title) e.append(shape("title", {}, title));
  return e;
}

const glyph = { delivered: (x, y) => `M${x - 6} ${y}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z`, parked: (x, y) => `M${x} ${y - 7}l7 7l-7 7l-7 -7z`,
  ended: (x, y) => `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` };

// paint draws the lanes of the replicas, and the authorization server between them.
function paint({ visits, exchanges, ends }) {
  const svg = $("picture"), width = svg.clientWidth || 600, narrow = width < 560, left = narrow ? 10 : 150;
  const all = [...visits, ...exchanges], going = all.some((x) => !x.end);
  const now = going ? clock + performance.now() : 0;
  const from = Math.min(...all.map((x) => x.began)), to = Math.max(now, from + 100, ...all.map((x) => x.end), ...ends.map((e) => e.at));
  const at = (t) => Math.round(left + ((t - from) / (to - from)) * (width - left - 14));
  const back = [], front = [];
  let y = 24;
  const put = (name, attributes, title) => front.push(shape(name, attributes, title));
  const bar = (kind, x, h, title) => put("rect", { class: kind + (x.end ? "" : " going"), x: at(x.began), y, rx: 3, height: h,
    width: Math.max(3, at(x.end || now) - at(x.began)) }, title);

  const heading = (text, kind) => (put("text", { class: "heading " + kind, x: 0, y: y + 11 }, text), y += 20);
  const lane = (v) => {
    const label = `#${v.visit} ${v.what}`, deep = Math.min(10, Math.max(0, ...v.parts.map((p) => p.call || 1)));
    put("text", { class: "label", x: narrow ? left : left - 8, y: y + 11, "text-anchor": narrow ? "start" : "end" },
      narrow ? `${label} ${v.status || ""}` : label.length > 20 ? label.slice(0, 19) + "…" : label);
    if (narrow) y += 17;
    bar(`visit r${v.replica}`, v, 13, `${label}, replica ${v.replica}: ${v.status || "under way"}`);
    for (const p of v.parts) {
      const row = y + 18 + (((p.call || 1) - 1) % 10) * 6, x = at(p.began), end = Math.max(x + 2, at(p.at));
      if (p.kind === "served") put("path", { class: "served", d: `M${x} ${row}H${end}` }, p.text);
      else put("rect", { class: "strip " + p.kind, x, y: row - 1.5, width: end - x, height: 3 }, p.text);
      if (p.kind === "unauthorized") put("rect", { class: p.kind, x: end - 3, y: row - 3, width: 3, height: 6 });
      if (p.kind === "replay") put("path", { class: p.kind, d: `M${x} ${row - 3.5}l6 3.5l-6 3.5z` });
    }
    for (const m of v.marks) put("path", { class: m.kind, d: glyph[m.kind](at(m.at), y + 6.5) }, m.text);
    y += 23 + deep * 6;
  };
  const server = () => {
    heading("Authorization server", "refresh");
    for (const x of exchanges) {
      const failed = x.end && !x.good, said = `${failed ? "failed refresh" : "refresh"} by replica ${x.replica}, ${Math.round((x.end || now) - x.began)} ms`;
      back.push([at(x.began), Math.max(3, at(x.end || now) - at(x.began))]);
      put("text", { class: "label", x: Math.min(at(x.began), width - 210), y: y + 11 }, said);
      y += 16;
      bar("refresh" + (failed ? " bad" : ""), x, 13, said);
      y += 17;
    }
    for (const e of ends) put("path", { class: "ended", d: glyph.ended(at(e.at), y - 12) }, e.text);
    y += 8;
  };
  const by = Map.groupBy(visits, (v) => v.replica), replicas = [...by.keys()].sort();
  if (!replicas.length && exchanges.length) server();
  replicas.forEach((r, i) => {
    heading(`Replica ${r}`, "r" + r);
    by.get(r).forEach(lane);
    if (i === 0 && (exchanges.length || ends.length)) server();
  });
  const columns = back.map(([x, w]) => shape("rect", { class: "column", x, y: 18, width: w, height: y - 18 }));
  svg.replaceChildren(...columns, ...(all.length ? axis(from, to, at, y) : []), ...front);
  svg.setAttribute("height", y + 4);
  svg.setAttribute("aria-label", all.length ? `${times(visits.length, "request")} and ${times(exchanges.length, "refresh", "refreshes")} ` +
    `on a time line of ${Math.round(to - from)} ms. The table below says the same.` : "Nothing yet");
  if (going && !still.matches) setTimeout(refresh, 100);
}

function axis(from, to, at, bottom) {
  const step = [50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000].find((s) => (to - from) / s <= 5) || 60000, marks = [];
  for (let t = 0; t <= to - from; t += step) {
    marks.push(shape("line", { class: "grid", x1: at(from + t), x2: at(from + t), y1: 18, y2: bottom }),
      shape("text", { class: "tick", x: at(from + t), y: 12, "text-anchor": !t ? "start" : to - from - t < step / 4 ? "end" : "middle" }, t < 1000 && step < 1000 ? t + " ms" : t / 1000 + " s"));
  }
  return marks;
}

const line = (cells, kind) => {
  const tr = document.createElement("tr");
  tr.className = kind;
  for (const text of cells) tr.insertCell().textContent = text;
  return tr;
};

// Thousands of entries may come at once: the page is changed once per frame.
let awaited = false;
function refresh() {
  if (!awaited) requestAnimationFrame(draw);
  awaited = true;
}

function draw() {
  awaited = false;
  const seen = gather();
  paint(seen);
  for (const dd of document.querySelectorAll("[data-count]")) dd.textContent = count(dd.dataset.count);
  if (!stale) return;
  stale = false;
  $("requests").tBodies[0].replaceChildren(...seen.visits.map((v) => {
    const of = (kind) => v.parts.filter((p) => p.kind === kind).length;
    return line([`#${v.visit} ${v.what}`, v.replica, v.status || "under way", of("call") + of("unauthorized"), of("unauthorized"), of("replay"),
      v.marks.map((m) => (sessions ? "kept" : m.kind)).join(", ") || "–", v.end ? Math.round(v.end - v.began) + " ms" : "…"], "r" + v.replica);
  }));
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  rows.append(...pending.splice(0).map((e) => line([e.time, who(e), e.text], e.kind)));
  while (rows.rows.length > most) rows.rows[0].remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

const who = (e) => (e.visit ? `#${e.visit}, ` : "") + (e.replica ? `replica ${e.replica}` : "the program");

// ---- what came of it ----

export const times = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;

export function say(...lines) {
  $("result").replaceChildren(...lines.map((text) => {
    const p = document.createElement("p");
    p.append(text);
    return p;
  }));
}

export function verdict(good, text, ...more) {
  say(`${good ? "✓" : "✗"} ${text}`, counted(), ...more);
  $("result").firstChild.className = "verdict " + (good ? "good" : "bad");
}

// counted says what the counts say, for who cannot see all of them at a glance.
export const counted = () => `${times(count("calls"), "call")} of the API, ${count("unauthorized")} answered 401. ` +
  `${times(count("presentations"), "refresh token")} presented, ${count("reuses") || "none"} of them twice. ` +
  `${times(count("replays"), "call")} sent again. New tokens ${sessions ? "kept" : "delivered"} ${times(count("delivered"), "time")}, ` +
  `parked ${times(count("parked"), "time")}. ${times(count("ended"), "session")} ended.`;

async function ask(method, what) {
  const r = await window.fetch("/demo/" + what, { method, headers: { Accept: "*/*" } });
  if (!r.ok) throw new Error(`the control answered with ${r.status}`);
  return r.json();
}

export async function control(name) {
  const state = await ask("POST", name);
  if (["up", "slow", "down"].includes(name)) $("state").textContent = name;
  return state;
}

// begin has a scene begin where its controls are done.
export async function begin(text, ...controls) {
  say(text);
  let state;
  for (const name of controls) state = await control(name);
  reset(state || (await ask("GET", "counts")));
}

// settled waits until all that has happened is here.
export async function settled() {
  if (!embedded) return sleep(400);
  for (const end = Date.now() + 3000; Date.now() < end; await sleep(40)) {
    const now = await ask("GET", "counts");
    if (now.running > 0 || now.seq > last) continue;
    latest = now.counts;
    return refresh();
  }
}

// What the server wrote into the page counts from the last control on: that may
// be what brought us here.
rows.replaceChildren();
const since = start.entries.findLast((e) => e.kind === "demo");
if (since) base = { seq: since.seq, counts: since.counts };
start.entries.forEach(note);
listen();
if (since) settled().then(() => say("Since the last control: " + counted()));
else say("Nothing yet.");
