// npm's better-auth with its oauth-provider plugin for one test: rotation with
// reuse detection, JWT access tokens (ES256), memory only. The test says in the
// environment what there is: CLIENTS (their metadata, JSON), AUDIENCE (of the
// access tokens), ACCESS_TTL and REFRESH_TTL (seconds), and REUSE_INTERVAL, the
// seconds for which a spent refresh token brings the same answer again (0: none).
// Lines on stdin are commands: down, up and rotate.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';
import { oauthProvider } from '@better-auth/oauth-provider';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { getAuthTables } from 'better-auth/db';
import { toNodeHandler } from 'better-auth/node';
import { createJwk, jwt } from 'better-auth/plugins';

const { CLIENTS, AUDIENCE, ACCESS_TTL, REFRESH_TTL, REUSE_INTERVAL = '0' } = process.env;

// stdout is for our lines; whoever else writes a log writes it to stderr.
console.log = console.info = console.warn = console.debug = console.error;
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// What outlives `down`: the tables and the secret that seals some of their rows.
const db = {};
const secret = randomUUID() + randomUUID();
const keys = { jwks: { keyPairConfig: { alg: 'ES256' } }, disableSettingJwtHeader: true };
let registering; // the client whose metadata are on their way into the tables

function newAuth(origin) {
  const options = {
    baseURL: origin, // its base path, /api/auth, belongs to the issuer
    secret,
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    emailAndPassword: { enabled: true, minPasswordLength: 1 },
    // The sub of a token is the user's id, which is random unless somebody names it.
    databaseHooks: { user: { create: { before: async (user) => ({ data: { ...user, id: user.name } }) } } },
    plugins: [jwt(keys), oauthProvider({
      loginPage: '/login', consentPage: '/consent',
      scopes: ['openid', 'offline_access', 'api'],
      resources: AUDIENCE ? [AUDIENCE] : [], // an access token for a resource is a JWT, else it is opaque
      enforcePerClientResources: false, // any client may ask for it
      accessTokenExpiresIn: +ACCESS_TTL,
      refreshTokenExpiresIn: +REFRESH_TTL,
      refreshTokenReuseInterval: +REUSE_INTERVAL,
      generateClientId: () => registering.client_id,
      generateClientSecret: () => registering.client_secret,
    })],
  };
  for (const table of Object.values(getAuthTables(options))) db[table.modelName] ??= [];
  return betterAuth({ ...options, database: memoryAdapter(db) });
}

// Who has signed up already. A promise, so that nobody does so twice at a time.
const known = new Map();

// pages answers for the login and the consent page, which better-auth leaves to
// its user. Both have the authorization request, signed, in their query, and
// hand it to better-auth's API, which says where the browser goes next.
function pages(auth) {
  return (request) => {
    const { pathname, search } = new URL(request.url);
    const page = { '/login': login, '/consent': consent }[pathname];
    if (!page) return auth.handler(request);
    return request.method === 'POST' ? page.submit(auth, request, search.slice(1)) : page.show(pathname + search);
  };
}

const login = {
  show: (action) => form(action, '<input type="text" name="user"> <button>Sign in</button>'),
  async submit(auth, request, query) {
    const user = new URLSearchParams(await request.text()).get('user');
    const account = { email: `${encodeURIComponent(user)}@example.com`, password: user };
    if (!known.has(user)) known.set(user, call(auth, request, '/sign-up/email', { ...account, name: user }));
    await known.get(user);
    return next(await call(auth, request, '/sign-in/email', { ...account, oauth_query: query }));
  },
};

const consent = {
  show: (action) => form(action, '<button>Allow</button>'),
  async submit(auth, request, query) {
    return next(await call(auth, request, '/oauth2/consent', { accept: true, oauth_query: query }));
  },
};

// call is a call of the API as the script of a page would make it.
function call(auth, request, path, body) {
  const { origin } = new URL(request.url);
  const headers = { 'content-type': 'application/json', origin, cookie: request.headers.get('cookie') ?? '' };
  return auth.handler(new Request(`${origin}/api/auth${path}`, { method: 'POST', headers, body: JSON.stringify(body) }));
}

// next sends the browser on, with the cookies that the API has set.
async function next(answer) {
  const body = await answer.text();
  if (!answer.ok) return new Response(body, { status: answer.status });
  const headers = new Headers({ location: JSON.parse(body).url });
  for (const cookie of answer.headers.getSetCookie()) headers.append('set-cookie', cookie);
  return new Response(null, { status: 303, headers });
}

const form = (action, inside) => new Response(
  `<!doctype html><form method="post" action="${action.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}">${inside}</form>`,
  { headers: { 'content-type': 'text/html; charset=utf-8' } },
);

// A process of the authorization server: a new object over the old tables.
class Process {
  async start(port) {
    this.server = http.createServer();
    await new Promise((done, failed) => this.server.once('error', failed).listen(port, '127.0.0.1', done));
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
    this.auth = newAuth(this.origin);
    this.server.on('request', toNodeHandler(pages(this.auth))); // before anybody can have connected
    await this.auth.$context; // it is set up lazily, and fails lazily
  }

  stop() {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    return closed;
  }

  // Clients are registered by somebody who is signed in.
  async register(clients) {
    const operator = { name: 'operator', email: 'operator@example.com', password: randomUUID() };
    const signedUp = await this.auth.api.signUpEmail({ body: operator, returnHeaders: true });
    const cookie = signedUp.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
    for (const client of clients) {
      registering = client;
      // A web application's callback would have to be https.
      const body = { ...client, application_type: 'native' };
      await this.auth.api.adminCreateOAuthClient({ body, headers: new Headers({ cookie }) });
    }
  }

  // The newest key signs, and every key is published.
  async rotate() {
    await createJwk({ context: await this.auth.$context }, keys);
  }
}

let running = new Process();
await running.start(0);
await running.register(JSON.parse(CLIENTS));
const { port } = running.server.address();

const commands = {
  async down() {
    if (!running) throw new Error('it is down');
    await running.stop();
    running = undefined;
  },
  async up() {
    if (running) throw new Error('it is up');
    const next = new Process();
    await next.start(port);
    running = next;
  },
  async rotate() {
    if (!running) throw new Error('it is down');
    await running.rotate();
  },
};

// The test holds our stdin: however it dies, the pipe closes and we end with it.
const lines = readline.createInterface({ input: process.stdin });
let last = Promise.resolve(); // one command at a time
lines.on('line', (line) => {
  last = last.then(async () => {
    if (!Object.hasOwn(commands, line)) throw new Error(`no command ${line}`);
    await commands[line]();
    say({ ok: true });
  }).catch((err) => say({ error: err.message }));
});
lines.on('close', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));

say({ issuer: `${running.origin}/api/auth` });
