// The contenders that run in Node. It is told rounds, one line of JSON each, and
// answers each with what came of it. See ../../README.md.
import {createInterface} from 'node:readline';
import {floors, pages} from './pages.mjs';
import {axiosSite, fetchSite} from './sites.mjs';

const spreading = 120; // milliseconds
const sites = {axios: axiosSite, 'axios-auth-refresh': axiosSite, ky: fetchSite, fetch: fetchSite};

// siteOf is the one with the client of a contender: connections that are there,
// and a bound on them.
const siteOf = name => sites[name.split(/[ ,]/)[0]];

for await (const line of createInterface({input: process.stdin})) {
	const order = JSON.parse(line);
	const site = await siteOf(order.Contender)(order);
	await site.warm(Math.min(order.N, order.Connections));
	const answer = await (floors[order.Contender] ? floor : storm)(site, order);
	site.close();
	process.stdout.write(JSON.stringify(answer) + '\n');
}

// storm has n requests come as the shape says, each of a page that the contender
// makes of the cookies.
async function storm(site, order) {
	const make = () => pages[order.Contender](site, {access: order.Access, refresh: order.Refresh});
	const first = make();
	const second = make();
	const told = {};
	let failed = 0;
	let returned = 0;
	const call = page => async () => {
		try {
			await page();
		} catch (error) {
			failed++;
			told.why ??= String(error.message).slice(0, 200);
		}

		returned++;
	};

	const {wall, cpu} = await timed(() => patiently(order.Patience, async () => {
		if (order.Shape === 'late') {
			await come('at once', order.N >> 1, call(first));
			await come('at once', order.N - (order.N >> 1), call(second));
		} else {
			await come(order.Shape, order.N, call(first));
		}
	}));
	return {Failed: failed, Left: order.N - returned, Wall: wall, CPU: cpu, Why: told.why ?? ''};
}

// floor does the parts of a storm one after the other, as the one in Go does.
async function floor(site, order) {
	const call = floors[order.Contender](site);
	let next;
	const part = async (shape, n) => {
		await come(shape, n, () => call(order.Access, 401));
		next ??= await site.exchange(order.Refresh);
		await come('at once', n, () => call(next.access, 200));
	};

	const {wall, cpu} = await timed(async () => {
		if (order.Shape === 'late') {
			await part('at once', order.N >> 1);
			await part('at once', order.N - (order.N >> 1));
		} else {
			await part(order.Shape, order.N);
		}
	});
	return {Failed: 0, Left: 0, Wall: wall, CPU: cpu, Why: ''};
}

async function come(shape, n, call) {
	const begin = performance.now();
	const calls = [];
	for (let i = 0; i < n; i++) {
		if (shape === 'spread') {
			const early = begin + spreading * i / n - performance.now();
			if (early > 0) {
				await new Promise(resolve => { setTimeout(resolve, early); });
			}
		}

		calls.push(call());
	}

	await Promise.all(calls);
}

async function timed(work) {
	globalThis.gc?.();
	const cpu = process.cpuUsage();
	const begin = process.hrtime.bigint();
	await work();
	const wall = Number(process.hrtime.bigint() - begin);
	const used = process.cpuUsage(cpu);
	return {wall, cpu: (used.user + used.system) * 1000};
}

// patiently stops waiting for the work after a while, and not the work.
async function patiently(milliseconds, work) {
	let timer;
	const over = new Promise(resolve => { timer = setTimeout(resolve, milliseconds); });
	await Promise.race([work(), over]);
	clearTimeout(timer);
}
