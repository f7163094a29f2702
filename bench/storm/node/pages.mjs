// The contenders. Each makes a page of cookies: a function that calls the API and
// throws if it is not answered with 200.
import {createAuthRefresh} from 'axios-auth-refresh';
import ky from 'ky';

export const pages = {
	// The memo's interceptor: who meets a 401 has a new access token made of the
	// cookies, which do not change while a page is rendered, remembers it for this
	// page, and has the instance send the request again.
	'axios, the memo\'s interceptor'(site, cookies) {
		const api = site.create();
		let newer;
		api.interceptors.request.use(request => {
			request.headers.set('Authorization', `Bearer ${newer ?? cookies.access}`);
			return request;
		});
		api.interceptors.response.use(undefined, async error => {
			if (error.response?.status !== 401) {
				throw error;
			}

			const next = await site.exchange(cookies.refresh).catch(() => { throw error; });
			newer = next.access;
			return api(error.config);
		});
		return () => api.get(site.me);
	},

	// Its default rejects those whose 401 arrives while another one is refreshing;
	// what it stalls is new requests.
	'axios-auth-refresh': (site, cookies) => refreshed(site, cookies, {}),

	// With deduplicateRefresh: false they share the refresh, as long as it runs.
	'axios-auth-refresh, not deduplicated': (site, cookies) => refreshed(site, cookies, {deduplicateRefresh: false}),

	// The afterResponse hook of ky's documentation: on the first 401 refresh, and
	// have ky try again.
	'ky, hook': (site, cookies) => hooked(site, cookies, (page, renew) => renew()),

	// The same, with one promise for all who refresh at the same time.
	'ky, hook that shares a promise': (site, cookies) => hooked(site, cookies, (page, renew) => {
		page.renewing ??= renew().finally(() => { page.renewing = undefined; });
		return page.renewing;
	}),
};

// Requests are signed by an interceptor, as its documentation advises, so that
// those that were stalled are sent with the new token.
function refreshed(site, cookies, options) {
	const api = site.create();
	let now = cookies;
	api.interceptors.request.use(request => {
		request.headers.set('Authorization', `Bearer ${now.access}`);
		return request;
	});
	createAuthRefresh(api, async () => { now = await site.exchange(now.refresh); }, options);
	return () => api.get(site.me);
}

function hooked(site, cookies, how) {
	const page = {now: cookies};
	const renew = async () => { page.now = await site.exchange(page.now.refresh); };
	const api = ky.create({
		timeout: false,
		retry: {limit: 1, statusCodes: []},
		hooks: {
			beforeRequest: [request => { request.headers.set('Authorization', `Bearer ${page.now.access}`); }],
			afterResponse: [async (request, _options, response, state) => {
				if (response.status !== 401 || state.retryCount > 0) {
					return;
				}

				await response.arrayBuffer();
				await how(page, renew);
				const headers = new Headers(request.headers);
				headers.set('Authorization', `Bearer ${page.now.access}`);
				return ky.retry({request: new Request(request, {headers}), delay: 0, code: 'TOKEN_REFRESHED'});
			}],
		},
	});
	return () => api.get(site.me).arrayBuffer();
}

// floors call the API with a token, by the client alone.
export const floors = {
	'axios floor': site => {
		const api = site.create();
		return async (access, want) => {
			const headers = {Authorization: `Bearer ${access}`};
			const {status} = await api.get(site.me, {headers, validateStatus: () => true});
			expect(status, want);
		};
	},
	'fetch floor': site => async (access, want) => {
		const response = await fetch(site.me, {headers: {Authorization: `Bearer ${access}`}});
		await response.arrayBuffer();
		expect(response.status, want);
	},
};

function expect(status, want) {
	if (status !== want) {
		throw new Error(`${status}, not ${want}`);
	}
}
