// npm's oidc-provider for one test: strict rotation, JWT access tokens, memory only.
// The test says in the environment what there is: CLIENTS (their metadata, JSON),
// AUDIENCE (of the access tokens, where no resource says another), ACCESS_TTL and
// REFRESH_TTL (seconds), DPOP_NONCE (1: proofs must have a nonce).
// Lines on stdin are commands: down, up and rotate.
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';
import Provider from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

const { CLIENTS, AUDIENCE, ACCESS_TTL, REFRESH_TTL, DPOP_NONCE } = process.env;

// stdout is for our lines; whoever else writes a log writes it to stderr.
console.log = console.info = console.warn = console.debug = console.error;
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// What outlives `down`, beside the one store of all its MemoryAdapters that were
// given none: the keys, the newest first, which is the one that signs.
const newKey = () => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(), use: 'sig', alg: 'ES256',
});
let keys = [newKey()];
const cookieKeys = [randomUUID()];
const nonceSecret = randomBytes(32);

function newProvider(issuer) {
  const provider = new Provider(issuer, {
    adapter: (model) => new MemoryAdapter(model),
    clients: JSON.parse(CLIENTS),
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    jwks: { keys },
    cookies: { keys: cookieKeys },
    scopes: ['openid', 'offline_access', 'api'],
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => true },
    rotateRefreshToken: true, // the default spares a confidential client until 70 % of the token's life
    issueRefreshToken: () => true,
    ttl: {
      AccessToken: +ACCESS_TTL, RefreshToken: +REFRESH_TTL, AuthorizationCode: 60,
      IdToken: 600, Interaction: 600, Session: 86400, Grant: 86400,
    },
    features: {
      devInteractions: { enabled: true }, // its own login and consent forms
      revocation: { enabled: true },
      introspection: { enabled: true },
      dPoP: { enabled: true, nonceSecret, requireNonce: () => DPOP_NONCE === '1' },
      resourceIndicators: { // an access token for a resource is a JWT, else it is opaque
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'api', audience: resource ?? AUDIENCE,
          accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  provider.on('server_error', (ctx, err) => console.error(err));
  return provider.callback();
}

// A process of the authorization server: a new object over the old store.
class Process {
  // The issuer holds the port, so listening comes first: no free port is guessed.
  async start(port) {
    this.server = http.createServer((req, res) => this.handle(req, res));
    await new Promise((done, failed) => this.server.once('error', failed).listen(port, '127.0.0.1', done));
    this.port = this.server.address().port;
    this.issuer = `http://127.0.0.1:${this.port}`;
    this.renew(); // before anybody can have connected
  }

  renew() { this.handle = newProvider(this.issuer); }

  stop() {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    return closed;
  }
}

let running = new Process();
await running.start(0);
const { port } = running;

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
  // A set of keys is given to oidc-provider once, so that it takes another object.
  async rotate() {
    if (!running) throw new Error('it is down');
    keys = [newKey(), ...keys];
    running.renew();
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

say({ issuer: running.issuer });
