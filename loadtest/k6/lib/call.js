// Requests with what the report needs: a kind, and the statuses that are right.
import http from 'k6/http';
import { check } from 'k6';
import { target } from './target.js';

// call sends one request. Of its options, kind names the row of the report, want is the
// status or statuses that are right (200 by default): any other counts as failed.
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
  const answer = http.request(method, target + path, payload, params);
  check(answer, { [`${kind}: ${wanted.join(' or ')}`]: (r) => wanted.includes(r.status) });
  return answer;
}

// must is call for what the rest depends on: it throws when the answer is another.
export function must(method, path, options) {
  const answer = call(method, path, options);
  const want = [].concat(options.want ?? 200);
  if (!want.includes(answer.status)) {
    const said = answer.status === 0 ? answer.error : String(answer.body).slice(0, 300);
    throw new Error(`${method} ${path}: ${answer.status}, want ${want.join(' or ')}: ${said}`);
  }
  return answer;
}

// at writes a path of names.
export function at(...names) {
  return '/v1/' + names.map(encodeURIComponent).join('/');
}
