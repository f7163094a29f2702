// rebearer in the browser: renews the tokens of a page whose server could not,
// and makes a fetch that survives it. The tokens themselves are never seen here.
(() => {
  "use strict";
  const element = document.currentScript;
  const { refresh = "/auth/refresh", login = "/login", boundary, spent = "" } = element ? element.dataset : {};
  const fetch = window.fetch.bind(window);

  // What became of a request for new tokens.
  const RENEWED = "renewed", OVER = "over", LATER = "later";
  const running = new Map(); // by the token that was spent: one request for all who wait

  // renew asks the server for the successor of a spent access token. All tabs
  // wait for the one that asks; the server then finds that theirs is replaced.
  function renew(spent) {
    if (!running.has(spent)) {
      const ask = () => fetch(refresh, {
        method: "POST", headers: { "Rebearer-Spent": spent }, credentials: "same-origin", cache: "no-store", redirect: "error",
      }).then((r) => (r.ok ? RENEWED : r.status === 401 ? OVER : LATER), () => LATER);
      const one = navigator.locks ? navigator.locks.request("rebearer", ask) : ask();
      running.set(spent, one.catch(() => LATER).finally(() => running.delete(spent)));
    }
    return running.get(spent);
  }

  // spentOf returns the token that an answer names as spent, or null if it is
  // not one that new tokens would help.
  function spentOf(response) {
    if (response.status !== 401 || new URL(response.url).origin !== location.origin) return null;
    const m = /\bRebearer spent="([\w-]+)"/.exec(response.headers.get("WWW-Authenticate") || "");
    return m && m[1];
  }

  // loginOf returns the login page of an answer that wants a stronger sign-in, to
  // come back here from, or null if it wants none or has just had one.
  function loginOf(response) {
    if (response.status !== 403 || new URL(response.url).origin !== location.origin) return null;
    const m = /\bRebearer login="([^"]+)"/.exec(response.headers.get("WWW-Authenticate") || "");
    if (!m) return null;
    const to = new URL(m[1], location.origin);
    if (to.origin !== location.origin || to.protocol !== location.protocol) return null;
    to.searchParams.set("next", location.pathname + location.search);
    return to.href;
  }

  // survive is fetch, but for a 401 that new tokens cure: that is sent again,
  // once. Without a cure the 401 is the answer. For a 403 that a stronger sign-in
  // cures, the page goes there.
  async function survive(input, init) {
    const request = new Request(input, init);
    const again = request.clone();
    let response = await fetch(request);
    const spent = spentOf(response);
    if (spent !== null && (await renew(spent)) === RENEWED) response = await fetch(again);
    const stronger = loginOf(response);
    if (stronger !== null) location.assign(stronger);
    return response;
  }

  // times counts how often in a row this page has come back from a reload of
  // ours. One that does so each time would do so for ever. The count stands in
  // the storage of this tab: the state of its history is the page's own.
  const count = "rebearer " + location.pathname + location.search;

  function times() {
    const was = JSON.parse(sessionStorage.getItem(count)) || { n: 0, at: 0 };
    return performance.timeOrigin - was.at < 1000 ? was.n + 1 : 1;
  }

  function reload(n) {
    sessionStorage.setItem(count, JSON.stringify({ n, at: Date.now() }));
    location.reload();
  }

  function say(text) {
    const status = document.getElementById("rebearer");
    if (status) status.textContent = text;
  }

  // cure is what the boundary page does: renew, and load the page again. It ends
  // at the login page rather than in a loop.
  async function cure() {
    const n = times();
    if (n > 2) return location.replace(login);
    let outcome = await renew(spent);
    if (outcome === LATER) {
      await new Promise((done) => setTimeout(done, 2000));
      outcome = await renew(spent);
    }
    if (outcome === RENEWED) return reload(n);
    if (outcome === OVER) return location.replace(login);
    say("Your session cannot be renewed just now. Try again in a moment.");
  }

  window.rebearer = Object.freeze({ fetch: survive });
  if (boundary !== undefined) cure().catch(() => say("Press “Go on”.")); // without storage nobody counts
})();
