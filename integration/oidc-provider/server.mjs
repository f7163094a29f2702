// npm's oidc-provider for one test: strict rotation, JWT access tokens, memory only.
// The test says in the environment what there is: CLIENTS (their metadata, JSON),
// AUDIENCE (of the access tokens, where no resource says another), ACCESS_TTL and
// REFRESH_TTL (seconds), DPOP_NONCE (1: proofs must have a nonce).
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

const { CLIENTS, AUDIENCE, ACCESS_TTL, REFRESH_TTL, DPOP_NONCE } = process.env;

// The test holds our stdin: however it dies, the pipe closes and we end with it.
process.stdin.on('close', () => process.exit(0)).resume();
process.on('SIGTERM', () => process.exit(0));

// oidc-provider greets on stdout, where the test expects one line, ours.
console.info = console.warn = console.error;

const signingKey = {
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid: 'as', use: 'sig', alg: 'ES256',
};

// The issuer holds the port, so listening comes first: no free port is guessed.
const server = http.createServer().listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: JSON.parse(CLIENTS),
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    jwks: { keys: [signingKey] },
    cookies: { keys: [randomUUID()] },
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
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => DPOP_NONCE === '1' },
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
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});
