// A NestJS backend of the cookie style for one test, with @nestjs/jwt (HS256) and
// its sessions in memory: what a team writes that has no authorization server.
//
//   POST /auth/login          {"username", "password"}, which are the same word
//   POST /auth/restore-token  the cookie refreshToken -> {"accessToken"} and Set-Cookie
//   POST /auth/logout         the cookie refreshToken
//   GET  /users/me            Authorization: Bearer -> {"sub"}
//
// The test says in the environment what there is: ACCESS_TTL and REFRESH_TTL
// (seconds), and ROTATE: strict (a spent refresh token ends the session), grace
// (but not the one before the newest, for GRACE milliseconds) or none (the same
// one until it expires). Lines on stdin are commands: down and up. HS256 has no
// keys to be published, and so there is no rotate.
import 'reflect-metadata';
import { randomBytes, randomUUID } from 'node:crypto';
import readline from 'node:readline';
import { Controller, Get, HttpCode, Inject, Module, Post, Req, Res, UnauthorizedException } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JwtModule, JwtService } from '@nestjs/jwt';
import cookieParser from 'cookie-parser';

const { ACCESS_TTL, REFRESH_TTL, ROTATE = 'strict', GRACE = '0' } = process.env;

// stdout is for our lines; whoever else writes a log writes it to stderr.
console.log = console.info = console.warn = console.debug = console.error;
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// What outlives `down`: the secret and the sessions, by their id. Each knows its
// newest refresh token, the one before, and when that was spent.
const secret = randomBytes(32).toString('base64');
const sessions = new Map();

const cookie = (ttl) => ({ httpOnly: true, sameSite: 'lax', path: '/', maxAge: ttl * 1000 });

class AppController {
  constructor(jwt) { this.jwt = jwt; }

  login(req, res) {
    const { username, password } = req.body ?? {};
    if (!username || username !== password) throw new UnauthorizedException('wrong password');
    const id = randomUUID();
    sessions.set(id, {});
    this.renew(res, username, id);
    return this.access(res, username);
  }

  restore(req, res) {
    const { sub, session: id, jti } = this.verify(req.cookies.refreshToken, 'refresh');
    const session = sessions.get(id);
    if (!session) throw new UnauthorizedException('the session is over');
    if (ROTATE !== 'none') {
      if (jti !== session.newest && !tolerated(session, jti)) {
        sessions.delete(id);
        throw new UnauthorizedException('the refresh token was used before');
      }
      this.renew(res, sub, id);
    }
    return this.access(res, sub);
  }

  logout(req, res) {
    sessions.delete(this.verify(req.cookies.refreshToken, 'refresh').session);
    res.clearCookie('accessToken', { path: '/' });
    res.clearCookie('refreshToken', { path: '/' });
    return {};
  }

  me(req) {
    const token = req.headers.authorization?.replace(/^Bearer /i, '');
    return { sub: this.verify(token, 'access').sub };
  }

  access(res, sub) {
    const accessToken = this.jwt.sign({ sub, use: 'access', jti: randomUUID() }, { expiresIn: +ACCESS_TTL });
    res.cookie('accessToken', accessToken, cookie(ACCESS_TTL));
    return { accessToken };
  }

  renew(res, sub, id) {
    const jti = randomUUID();
    const session = sessions.get(id);
    Object.assign(session, { newest: jti, former: session.newest, spent: Date.now() });
    res.cookie('refreshToken', this.jwt.sign({ sub, use: 'refresh', session: id, jti }, { expiresIn: +REFRESH_TTL }), cookie(REFRESH_TTL));
  }

  verify(token, use) {
    try {
      const claims = this.jwt.verify(token ?? '', { algorithms: ['HS256'] });
      if (claims.use === use) return claims;
    } catch { /* which of its ways to be wrong is nobody's business */ }
    throw new UnauthorizedException();
  }
}

const tolerated = (session, jti) => ROTATE === 'grace' && jti === session.former && Date.now() - session.spent < +GRACE;

// There is no compiler here, so the decorators are called by hand.
function route(decorator, method) {
  const { prototype } = AppController;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, method);
  Req()(prototype, method, 0);
  Res({ passthrough: true })(prototype, method, 1);
  HttpCode(200)(prototype, method, descriptor);
  decorator(prototype, method, descriptor);
}
route(Post('auth/login'), 'login');
route(Post('auth/restore-token'), 'restore');
route(Post('auth/logout'), 'logout');
route(Get('users/me'), 'me');
Inject(JwtService)(AppController, undefined, 0);
Controller()(AppController);

class AppModule {}
Module({ imports: [JwtModule.register({ secret })], controllers: [AppController] })(AppModule);

async function start(port) {
  const app = await NestFactory.create(AppModule, { logger: ['error'], forceCloseConnections: true });
  app.use(cookieParser());
  await app.listen(port, '127.0.0.1');
  return app;
}

let app = await start(0);
const { port } = app.getHttpServer().address();

const commands = {
  async down() {
    if (!app) throw new Error('it is down');
    await app.close();
    app = undefined;
  },
  async up() {
    if (app) throw new Error('it is up');
    app = await start(port);
  },
  async rotate() {
    throw new Error('HS256 has one secret, and no key that is published');
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

say({ issuer: `http://127.0.0.1:${port}` });
