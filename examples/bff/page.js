// The page of the demo: it shows what the server says has happened, and plays
// scenes that would break a lesser session. No token is ever seen here.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const fetch = window.rebearer ? window.rebearer.fetch : window.fetch.bind(window);
  const user = $("user").textContent;

  // ---- the timeline ----

  const maxRows = 500;
  const rows = $("events").tBodies[0], box = document.querySelector(".scroll");
  const counts = {};
  let last = Number($("events").dataset.last), pending = [];

  function reset() {
    for (const dd of document.querySelectorAll("[data-count]")) counts[dd.dataset.count] = 0;
    showCounts();
  }

  function showCounts() {
    for (const dd of document.querySelectorAll("[data-count]")) dd.textContent = counts[dd.dataset.count];
  }

  function count(kind) {
    if (kind === "call" || kind === "unauthorized") counts.calls++;
    if (kind in counts) counts[kind]++;
  }

  function row(e) {
    const tr = document.createElement("tr");
    tr.className = e.kind;
    for (const text of [e.time, e.lane, e.text]) tr.insertCell().textContent = text;
    return tr;
  }

  // Thousands of events may come at once: the page is changed once per frame.
  function draw() {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    rows.append(...pending.splice(0).map(row));
    while (rows.rows.length > maxRows) rows.rows[0].remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
    showCounts();
  }

  function note(e) {
    if (e.seq <= last) return;
    last = e.seq;
    count(e.kind);
    if (pending.push(e) === 1) requestAnimationFrame(draw);
    if (pending.length > maxRows) pending.shift(); // a tab in the background draws nothing
  }

  // listen keeps one stream for all tabs, and hands on what comes: a browser has
  // six connections to a server that speaks HTTP/1.1, and the seventh tab would
  // not even load.
  function listen() {
    const tabs = new BroadcastChannel("bff timeline");
    tabs.onmessage = (m) => note(m.data);
    const lead = () => new Promise((over) => {
      const source = new EventSource("/events?after=" + last);
      source.onopen = () => { $("live").textContent = "live"; };
      source.onerror = () => {
        const closed = source.readyState === EventSource.CLOSED;
        $("live").textContent = closed ? "ended: load the page again" : "interrupted, trying again";
        if (closed) over(); // another tab may fare better
      };
      source.onmessage = (m) => {
        const e = JSON.parse(m.data);
        note(e);
        tabs.postMessage(e);
      };
    });
    $("live").textContent = "live"; // by this tab or another
    navigator.locks ? navigator.locks.request("bff timeline", lead) : lead();
  }

  // ---- what came of it ----

  function say(...lines) {
    $("result").replaceChildren(...lines.map((line) => {
      const p = document.createElement("p");
      p.append(line);
      return p;
    }));
  }

  function verdict(good, text, ...more) {
    say(`${good ? "✓" : "✗"} ${text}`, ...more);
    $("result").firstChild.className = "verdict " + (good ? "good" : "bad");
  }

  const times = (n, one, many) => `${n} ${n === 1 ? one : many}`;

  // counted says what the counts say, for who cannot see all six at a glance.
  async function counted() {
    await sleep(400); // the last events are on their way
    return `${times(counts.calls, "call", "calls")} of the API, ${counts.unauthorized} answered 401, ` +
      `${times(counts.presented, "refresh token", "refresh tokens")} presented, ${counts.replay} sent again.`;
  }

  function loginLink() {
    const a = document.createElement("a");
    a.href = "/login";
    a.textContent = "Sign in again";
    return a;
  }

  async function control(name) {
    const r = await window.fetch("/demo/" + name, { method: "POST", headers: { Accept: "*/*" } });
    if (!r.ok) throw new Error(`the control answered with ${r.status}`);
    if (["up", "slow", "down"].includes(name)) $("state").textContent = name;
  }

  async function get(url) {
    const r = await fetch(url);
    return { status: r.status, after: r.headers.get("Retry-After"), text: await r.text() };
  }

  // ---- scenes ----

  const scenes = {
    async calls() {
      await control("expire");
      reset();
      const r = await get("/fanout?n=10");
      const said = await counted();
      verdict(r.status === 200 && counts.presented === 1, `The answer to you: ${r.status} ${r.text}`, said);
    },

    async tabs() {
      await control("expire");
      reset();
      const run = Date.now();
      const frames = [1, 2, 3, 4, 5].map((n) => {
        const f = document.createElement("iframe");
        f.title = "Tab " + n;
        f.src = `/boundary?tab=${n}&run=${run}`;
        return f;
      });
      $("tabs").hidden = false;
      $("tabs").replaceChildren(...frames);
      const through = () => frames.filter((f) => f.contentDocument && f.contentDocument.querySelector(".tab")).length;
      for (const end = Date.now() + 10000; through() < 5 && Date.now() < end;) await sleep(100);
      const said = await counted();
      verdict(through() === 5 && counts.presented === 1,
        `${through()} of 5 pages are there. Each was a 401 at first; one of them had the token renewed, the others waited.`, said);
    },

    async stream() {
      reset();
      const r = await fetch("/stream?delay=2s");
      if (!r.ok) throw new Error(`the stream was answered with ${r.status}`);
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "", ended = false;
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        say(`The stream so far: ${text.trim().replaceAll("\n", ", ")}`);
        if (!ended) await control("expire");
        ended = true;
      }
      await sleep(300);
      const parked = counts.parked;
      await get("/fanout?n=1"); // it shows the old cookies, and gets the parked ones
      const said = await counted();
      verdict(text === `begin\n${user}\nend\n` && counts.presented === 1 && parked === 1,
        `The whole stream: ${text.trim().replaceAll("\n", ", ")}. It was too late for cookies, so the next request got them.`, said);
    },

    async upload() {
      const sent = new Uint8Array(12e6).map((_, i) => i * 31 + (i >> 8));
      await control("expire");
      reset();
      const r = await fetch("/comments", { method: "POST", body: new Blob([sent]), headers: { "Content-Type": "application/octet-stream" } });
      const got = new Uint8Array(await r.arrayBuffer());
      const same = got.length === sent.length && got.every((b, i) => b === sent[i]);
      const said = await counted();
      verdict(same && counts.presented === 1, `${r.status}: ${got.length.toLocaleString("en")} bytes came back, ${same ? "each" : "not"} as it was sent.`, said);
    },

    async outage() {
      await control("down");
      await control("expire");
      reset();
      const first = await get("/fanout?n=10");
      say(`While it is down: ${first.status}, to be tried again in ${first.after} s. You are still signed in.`);
      await sleep(1000);
      await control("up");
      let then = first;
      for (let n = 0; n < 8 && then.status === 503; n++) {
        await sleep(1000 * Number(then.after || 1));
        then = await get("/fanout?n=10");
      }
      const said = await counted();
      verdict(first.status === 503 && then.status === 200,
        `${first.status} while it was down, ${then.status} when it was back. Nobody was signed out.`, said);
    },

    async logout() {
      await control("slow");
      await control("expire");
      reset();
      const calls = get("/fanout?n=10");
      say("The refresh is under way, and takes 3 seconds. Signing out now …");
      await sleep(1000);
      const out = await window.fetch("/logout", { method: "POST", headers: { Accept: "*/*" } });
      const answer = await calls;
      await control("up");
      const after = await get("/fanout?n=1");
      verdict(out.ok && answer.status === 401 && after.status === 401,
        `The calls were answered ${answer.status}, and so is a new one: the refresh did not bring the session back.`, loginLink());
    },
  };

  // play runs one thing at a time.
  async function play(button, scene) {
    const all = [...document.querySelectorAll("button:not(:disabled)")];
    for (const b of all) b.disabled = true;
    if (button) button.setAttribute("aria-busy", "true");
    $("tabs").hidden = true;
    $("tabs").replaceChildren();
    say("…");
    try {
      await scene();
    } catch (e) {
      verdict(false, "It did not work: " + e.message);
    }
    if (button) button.removeAttribute("aria-busy");
    for (const b of all) b.disabled = false;
    if (button) button.focus();
  }

  // report shows an answer as it is.
  async function report(url, init) {
    reset();
    const r = await fetch(url, init);
    const text = await r.text();
    say(`${r.status} ${r.statusText}`, text.slice(0, 300), r.status === 401 ? loginLink() : "");
  }

  // ---- what can be clicked ----

  for (const b of document.querySelectorAll("[data-scene]")) {
    b.disabled = false;
    b.addEventListener("click", () => play(b, scenes[b.dataset.scene]));
  }
  for (const a of document.querySelectorAll("a[data-fetch]")) {
    a.addEventListener("click", (e) => {
      if (e.ctrlKey || e.metaKey || e.shiftKey) return; // in a tab of its own, as it is
      e.preventDefault();
      play(null, () => report(a.href));
    });
  }
  for (const f of document.querySelectorAll("form[data-control]")) {
    f.addEventListener("submit", (e) => {
      e.preventDefault();
      play(f.querySelector("button"), async () => {
        await control(f.action.split("/").pop());
        say("Done. Now do something with it.");
      });
    });
  }
  $("comment").addEventListener("submit", (e) => {
    e.preventDefault();
    play(e.target.querySelector("button"), () =>
      report("/comments", { method: "POST", body: $("text").value, headers: { "Content-Type": "text/plain; charset=utf-8" } }));
  });

  // What the server wrote into the page counts from the last control on: that
  // may be what brought us here.
  reset();
  for (const tr of rows.rows) tr.className === "demo" ? reset() : count(tr.className);
  showCounts();
  box.scrollTop = box.scrollHeight;
  listen();
  if (rows.querySelector(".demo")) counted().then((text) => say("Since the last control: " + text));
  else say("Nothing yet.");
})();
