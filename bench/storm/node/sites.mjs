// What a contender works with: a client with the bound on connections that all
// have, and an exchange.
import http from 'node:http';
import axios from 'axios';
import {Agent, setGlobalDispatcher} from 'undici';

function form(refresh) {
	return new URLSearchParams({grant_type: 'refresh_token', refresh_token: refresh, client_id: 'bff'}).toString();
}

const typed = {'Content-Type': 'application/x-www-form-urlencoded'};

export async function axiosSite(order) {
	const httpAgent = new http.Agent({keepAlive: true, maxSockets: order.Connections, maxFreeSockets: order.Connections});
	const create = () => axios.create({httpAgent, proxy: false});
	const plain = create();
	return {
		me: order.Me,
		create,
		async exchange(refresh) {
			const {data} = await plain.post(order.Token, form(refresh), {headers: typed});
			return {access: data.access_token, refresh: data.refresh_token};
		},
		async warm(n) {
			const get = url => plain.get(url);
			await Promise.all([get(`${order.AS}/warm?n=1`), ...Array.from({length: n}, () => get(`${order.API}/warm?n=${n}`))]);
		},
		close() { httpAgent.destroy(); },
	};
}

export async function fetchSite(order) {
	const agent = new Agent({connections: order.Connections, pipelining: 1});
	setGlobalDispatcher(agent);
	return {
		me: order.Me,
		async exchange(refresh) {
			const response = await fetch(order.Token, {method: 'POST', body: form(refresh), headers: typed});
			const data = await response.json();
			if (!response.ok) {
				throw new Error(`${response.status}: ${data.error}`);
			}

			return {access: data.access_token, refresh: data.refresh_token};
		},
		async warm(n) {
			const get = async url => (await fetch(url)).arrayBuffer();
			await Promise.all([get(`${order.AS}/warm?n=1`), ...Array.from({length: n}, () => get(`${order.API}/warm?n=${n}`))]);
		},
		close() { agent.destroy(); },
	};
}
