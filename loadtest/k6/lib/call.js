// Requests with the kind and the expected statuses, for the report.
import http from 'k6/http';
import { check } from 'k6';
import { target } from './target.js';

// call sends one request. Of its options, kind names the row of the report, and want is the
// expected status or statuses (200 by default): any other counts as failed.
export function call(method, path, { body, headers = {}, kind, want = 200, token, tags = {}, timeout = '10s', compression, name } = {}) {
  const wanted = Array.isArray(want) ? want : [want];
  const all = { ...headers };
  let payload = body ?? null;
  if (payload !== null && typeof payload === 'object' && !(payload instanceof ArrayBuffer)) payload = JSON.stringify(payload);
  if (payload !== null && !all['Content-Type']) all['Content-Type'] = 'application/json';
  if (token) all.Authorization = `Bearer ${token}`;
  const params = {
    headers: all,
    timeout,
    tags: { kind, name: name || kind, ...tags },
    responseCallback: http.expectedStatuses(...wanted),
  };
  if (compression) params.compression = compression;
  const response = http.request(method, target + path, payload, params);
  check(response, { [`${kind}: ${wanted.join(' or ')}`]: (r) => wanted.includes(r.status) });
  return response;
}

// must is like call, but throws if the status is not the expected one.
export function must(method, path, options) {
  const response = call(method, path, options);
  const want = [].concat(options.want ?? 200);
  if (!want.includes(response.status)) {
    const detail = response.status === 0 ? response.error : String(response.body).slice(0, 300);
    throw new Error(`${method} ${path}: ${response.status}, want ${want.join(' or ')}: ${detail}`);
  }
  return response;
}

// at returns the path of names, escaped.
export function at(...names) {
  return '/v1/' + names.map(encodeURIComponent).join('/');
}
