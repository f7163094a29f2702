// The scenes of the demo, which would break a lesser session, and what else can be
// clicked. What comes of it is in live.js.
import { $, sleep, sessions, count, reset, times, say, verdict, counted, control, begin, settled } from "./live.js";

const fetch = window.rebearer ? window.rebearer.fetch : window.fetch.bind(window);
const user = $("user").textContent;

async function get(url) {
  const r = await fetch(url);
  return { status: r.status, after: r.headers.get("Retry-After"), text: (await r.text()).trim() };
}

// five opens five pages in frames, as many as a browser has connections left.
async function five(url) {
  const frames = [1, 2, 3, 4, 5].map((n) => {
    const f = document.createElement("iframe");
    f.title = "Tab " + n;
    f.src = url(n);
    return f;
  });
  $("tabs").hidden = false;
  $("tabs").replaceChildren(...frames);
  const through = () => frames.filter((f) => f.contentDocument && f.contentDocument.querySelector(".tab")).length;
  for (const end = Date.now() + 15000; through() < 5 && Date.now() < end;) await sleep(50);
  await settled();
  return through();
}

function loginLink() {
  const a = document.createElement("a");
  a.href = "/login";
  a.textContent = "Sign in again";
  return a;
}

const scenes = {
  async expire() {
    await begin("The access token has ended. One call is made with it.", "expire");
    const r = await get("/fanout?n=1");
    await settled();
    verdict(r.status === 200 && count("presentations") === 1 && count("replays") === 1,
      `The answer to you: ${r.status}. The call was refused, the token refreshed, and the call sent again.`);
  },

  async tabs() {
    await begin("The access token has ended. Five tabs ask for a page.", "expire");
    const through = await five((n) => "/tab/" + n);
    verdict(through === 5 && count("presentations") === 1,
      `${through} of 5 pages are there, by ${times(count("presentations"), "refresh", "refreshes")}. Whoever met a 401 waited for the same one.`);
  },

  async boundary() {
    await begin("The access token has ended. Five tabs ask for a page that the server does not renew.", "expire");
    const run = Date.now();
    const through = await five((n) => `/boundary?tab=${n}&run=${run}`);
    verdict(through === 5 && count("presentations") === 1,
      `${through} of 5 pages are there. Each was a 401 at first; one of them had the token renewed, the others waited.`);
  },

  async calls() {
    await begin("The access token has ended. One request makes ten calls at once.", "expire");
    const r = await get("/fanout?n=10");
    await settled();
    verdict(r.status === 200 && count("presentations") === 1, `The answer to you: ${r.status} ${r.text}`);
  },

  async stream() {
    await begin("A stream begins. Its access token ends when its header has gone out.");
    const r = await fetch("/stream?delay=2s");
    if (!r.ok) throw new Error(`the stream was answered with ${r.status}`);
    const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "", ended = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
      if (!ended) await control("expire");
      ended = true;
    }
    await settled();
    const parked = count("parked");
    await get("/fanout?n=1"); // it shows the old cookies, and gets the parked ones
    await settled();
    const good = text === `begin\n${user}\nend\n` && count("presentations") === 1 && parked === (sessions ? 0 : 1) && count("delivered") > 0;
    verdict(good, `The whole stream: ${text.trim().replaceAll("\n", ", ")}. ` +
      (sessions ? "The session on the server has the new tokens." : "It was too late for cookies, so the next request got them."));
  },

  async slow() {
    await begin("The authorization server takes 3 seconds. Three requests wait for it.", "slow", "expire");
    const began = performance.now();
    const all = await Promise.all([1, 2, 3].map(() => get("/fanout?n=3")));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    await control("up");
    await settled();
    const good = all.filter((r) => r.status === 200).length;
    verdict(good === 3 && count("presentations") === 1, `${good} of 3 requests were answered after ${seconds} s, by one refresh. Nobody asked twice.`);
  },

  async upload() {
    const sent = new Uint8Array(12e6).map((_, i) => i * 31 + (i >> 8));
    await begin("The access token has ended. 12 MB are uploaded with it.", "expire");
    const r = await fetch("/comments", { method: "POST", body: new Blob([sent]), headers: { "Content-Type": "application/octet-stream" } });
    const got = new Uint8Array(await r.arrayBuffer());
    const same = got.length === sent.length && got.every((b, i) => b === sent[i]);
    await settled();
    verdict(same && count("presentations") === 1, `${r.status}: ${got.length.toLocaleString("en")} bytes came back, ${same ? "each" : "not"} as it was sent.`);
  },

  async outage() {
    await begin("The authorization server is down, and the access token has ended.", "down", "expire");
    const first = await get("/fanout?n=10");
    say(`While it is down: ${first.status}, to be tried again in ${first.after} s. You are still signed in.`);
    await sleep(1000);
    await control("up");
    let then = first;
    for (let n = 0; n < 8 && then.status === 503; n++) {
      await sleep(1000 * Number(then.after || 1));
      then = await get("/fanout?n=10");
    }
    await settled();
    verdict(first.status === 503 && then.status === 200 && count("ended") === 0,
      `${first.status} while it was down, ${then.status} when it was back. Nobody was signed out.`);
  },

  async logout() {
    await begin("The access token has ended, and the authorization server takes 3 seconds. You are signed out in the middle of the refresh.", "slow", "expire");
    const calls = get("/fanout?n=10");
    await sleep(1000);
    const out = await window.fetch("/logout", { method: "POST", headers: { Accept: "*/*" } });
    const answer = await calls;
    await control("up");
    const after = await get("/fanout?n=1");
    await settled();
    verdict(out.ok && answer.status === 401 && after.status === 401 && count("ended") === 1,
      `The calls were answered ${answer.status}, and so is a new one: the refresh did not bring the session back.`, loginLink());
  },
};

// play runs one thing at a time, and leaves the authorization server as it should
// be.
async function play(button, scene) {
  const all = [...document.querySelectorAll("button:not(:disabled)")];
  for (const b of all) b.disabled = true;
  if (button) button.setAttribute("aria-busy", "true");
  $("tabs").hidden = true;
  $("tabs").replaceChildren();
  try {
    await scene();
  } catch (e) {
    verdict(false, "It did not work: " + e.message);
    if ($("state")) await control("up").catch(() => {});
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
  await settled();
  say(`${r.status} ${r.statusText}`, text.slice(0, 300), counted(), r.status === 401 ? loginLink() : "");
}

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
      reset(await control(f.action.split("/").pop()));
      say("Done. Now do something with it.");
    });
  });
}
$("comment").addEventListener("submit", (e) => {
  e.preventDefault();
  play(e.target.querySelector("button"), () =>
    report("/comments", { method: "POST", body: $("text").value, headers: { "Content-Type": "text/plain; charset=utf-8" } }));
});
