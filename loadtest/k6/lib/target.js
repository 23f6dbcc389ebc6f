// The target of the load and its settings, from the environment.
//
//   TARGET       URL of the API, http://127.0.0.1:8080 by default
//   ALLOW_HOST   host of TARGET, required if it is not this machine
//   ADMIN_NAME, ADMIN_PASSWORD   an administrator of the whole platform
//   OUT          folder for the report; if empty, the report is only printed
//
// Each script documents its further settings.

export const target = checked(__ENV.TARGET || 'http://127.0.0.1:8080', __ENV.ALLOW_HOST || '');

// checked returns the URL if load may be sent to it, or throws.
export function checked(address, allowed) {
  const parts = /^(https?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?\/?$/i.exec(address);
  if (!parts) throw new Error(`TARGET: want http(s)://host[:port], have ${address}`);
  const [, scheme, host] = parts;
  const local = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$/i.test(host);
  if (!local && host.toLowerCase() !== allowed.toLowerCase()) {
    throw new Error(`TARGET is ${host}, which is not this machine: to send load to it, repeat the host in ALLOW_HOST`);
  }
  if (!local && scheme.toLowerCase() !== 'https') {
    throw new Error('TARGET: want https for another machine, because passwords and tokens are sent');
  }
  return address.replace(/\/$/, '');
}

// number returns a setting that is a positive number.
export function number(name, otherwise) {
  const text = __ENV[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!(value > 0 && value < 1e9)) throw new Error(`${name}: want a positive number, have ${text}`);
  return value;
}

// needed returns a setting that has no default.
export function needed(name) {
  if (!__ENV[name]) throw new Error(`${name} is missing`);
  return __ENV[name];
}

// common are the options of every script: no redirects, and only the tags that the report
// needs, so that k6 has few time series.
export const common = {
  maxRedirects: 0,
  discardResponseBodies: false,
  setupTimeout: '120s',
  teardownTimeout: '60s',
  systemTags: ['status', 'method', 'name', 'scenario', 'expected_response', 'check', 'group'],
  summaryTrendStats: ['count', 'avg', 'med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};
