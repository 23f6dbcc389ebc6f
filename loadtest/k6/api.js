// Load on the API: reads at a constant rate, while gateways send, and at the same time
// changes, refreshed tokens and requests that must be rejected.
//
//   READS     requests per second (200)
//   SECONDS   how long, 400 at most (45)
//   HOURS     of history to send first, one reading per second in each of four series (24)
//   SETTLE    seconds between the history and the reads (1)
//
// lib/target.js has the other settings.
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { gatewayToken, login, refresh } from './lib/access.js';
import { at, call, must } from './lib/call.js';
import { history } from './lib/history.js';
import { Gateway } from './lib/machines.js';
import { close, open } from './lib/plant.js';
import { reporter } from './lib/report.js';
import { common, number } from './lib/target.js';

const rate = number('READS', 200);
const seconds = number('SECONDS', 45);
const hours = number('HOURS', 24);
const settle = number('SETTLE', 1);
// The tokens from setup expire after ten minutes.
if (seconds + settle > 400) throw new Error('SECONDS and SETTLE: want 400 together at most');

const gateways = 4;
const machines = 10;
const device = 'press-01'; // of the first gateway, which has the history
const hour = 3600e6; // µs

// The reads, their shares in percent, and the check of a response. Big responses are checked
// one time in twenty, because k6 takes longer to parse one than the platform to produce it.
const reads = [
  {
    kind: 'latest', share: 25, path: (p) => `${at('sites', p.site, 'latest')}?gateway=${p.gateways[0].name}`,
    complete: (r) => r.items.length === machines * 10,
  },
  {
    kind: 'hour-raw', share: 15, path: (p) => readings(p, hour, 'raw'),
    complete: (r) => r.resolution === 'raw' && full(r, 3600), big: true,
  },
  {
    kind: 'day-by-minute', share: 15, path: (p) => readings(p, hours * hour, '1m'),
    complete: (r) => r.resolution === '1m' && full(r, hours * 60), big: true,
  },
  { kind: 'kpis', share: 5, path: (p) => `${at('sites', p.site, 'kpis')}?gateway=${p.gateways[0].name}`, complete: () => true },
  { kind: 'anomalies', share: 5, path: (p) => at('sites', p.site, 'anomalies'), complete: (r) => Array.isArray(r.items) },
  { kind: 'sites', share: 10, path: () => '/v1/sites?limit=50', complete: (r) => r.items.length > 0 },
  { kind: 'gateways', share: 10, path: (p) => at('sites', p.site, 'gateways'), complete: (r) => r.items.length === gateways },
  { kind: 'devices', share: 10, path: (p) => devices(p, 0), complete: (r) => r.items.length === machines },
  { kind: 'device', share: 5, path: (p) => `${devices(p, 0)}/${device}`, complete: (r) => r.name === device },
];

function readings(plant, span, resolution) {
  const to = Date.now() * 1000;
  const query = { gateway: plant.gateways[0].name, device, metric: 'temperature', from: to - span, to, resolution };
  return `${at('sites', plant.site, 'readings')}?${Object.entries(query).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&')}`;
}

// full allows for the pause in the readings between setup and test.
function full(readings, want) {
  return readings.times.length > 0.95 * want;
}

function devices(plant, gateway) {
  return at('sites', plant.site, 'gateways', plant.gateways[gateway].name, 'devices');
}

const readers = Math.max(8, Math.ceil(rate / 4));
// Functions start and people log in during the first seconds, a phase of their own.
const warm = 5;
const length = { duration: `${seconds + warm}s`, gracefulStop: '5s' };
const steady = { ...length, duration: `${seconds}s`, executor: 'constant-arrival-rate', timeUnit: '1s', startTime: `${warm + 1}s` };
export const options = {
  ...common,
  scenarios: {
    warm: {
      executor: 'ramping-arrival-rate', exec: 'read', startRate: 1, timeUnit: '1s', stages: [{ target: rate, duration: `${warm}s` }],
      gracefulStop: '1s', preAllocatedVUs: readers, maxVUs: readers,
    },
    reads: { ...steady, exec: 'read', rate, preAllocatedVUs: readers, maxVUs: readers },
    changes: { ...steady, exec: 'change', rate: 2, preAllocatedVUs: 2, maxVUs: 8 },
    strangers: { ...steady, exec: 'reject', rate: 4, preAllocatedVUs: 2, maxVUs: 8 },
    sessions: { ...length, executor: 'constant-vus', exec: 'stay', vus: 2 },
    ...Object.fromEntries(Array.from({ length: gateways }, (_, i) => [
      `gateway-${i}`, { ...length, executor: 'constant-vus', exec: 'send', vus: 1, env: { GATEWAY: String(i) } },
    ])),
  },
  thresholds: {
    'http_req_failed': ['rate<0.001'],
    'checks': ['rate>0.999'],
    'dropped_iterations{scenario:reads}': [`count<=${Math.ceil(0.005 * rate * seconds)}`],
    ...Object.fromEntries(reads.map(({ kind }) => [`http_req_duration{kind:${kind},scenario:reads}`, ['p(99)<25']])),
    'http_req_duration{scenario:reads}': ['p(99)<25'],
    'http_req_duration{scenario:warm}': ['p(99)<1000'],
    'http_req_duration{kind:device-before-change}': ['p(99)<25'],
    'http_req_duration{kind:me}': ['p(99)<25'],
    'http_req_duration{kind:change}': ['p(99)<50'],
    'http_req_duration{kind:change-stale}': ['p(99)<50'],
    'http_req_duration{kind:rejected}': ['p(99)<25'],
    'http_req_duration{kind:refresh}': ['p(99)<50'],
    'http_req_duration{kind:login}': ['p(95)<1000'],
    'http_req_duration{kind:batch}': ['p(99)<25'],
  },
};

export const handleSummary = reporter({
  name: 'api',
  title: 'API',
  about: `${warm} s up to ${rate} reads/s, then ${seconds} s at that rate: latest of 100 series, one hour raw (3,600 readings), ` +
    `${hours} h by minute, KPIs, and lists. At the same time ${gateways} gateways send a batch per second, with 2 changes/s ` +
    'by If-Match (one of four from a stale version), 4 requests/s that must be rejected, and two people who refresh their tokens every second.',
});

export async function setup() {
  const plant = await open({ gateways, viewer: true });
  plant.people = login(plant.viewer.name, plant.viewer.password);
  for (const g of plant.gateways) g.token = await gatewayToken(g.name, g.key, plant.audience);
  history(plant.gateways[0].token.access, hours, Math.floor(Date.now() / 1000) * 1000);
  for (const g of plant.gateways) {
    must('POST', '/v1/telemetry', { kind: 'setup', want: 202, token: g.token.access, body: new Gateway(machines, 0).batch(1).body });
  }
  plant.gateways.forEach((_, i) => waitStored(plant, i));
  sleep(settle);
  const served = reads.filter(({ kind, path }) => {
    const response = call('GET', path(plant), { kind: 'setup', token: plant.people.access, want: [200, 400, 404, 422], timeout: '30s' });
    if (response.status !== 200) plant.left.push(`${kind} (status ${response.status})`);
    return response.status === 200;
  });
  plant.deck = served.flatMap(({ kind, share }) => Array(share).fill(kind));
  return plant;
}

// waitStored waits until a gateway's devices exist: the first events are then stored.
function waitStored(plant, gateway) {
  for (let tries = 0; tries < 300; tries++) {
    const response = call('GET', devices(plant, gateway), { kind: 'setup', token: plant.people.access, want: [200, 404] });
    if (response.status === 200 && response.json('items').length >= machines) return;
    sleep(0.2);
  }
  throw new Error('the events of the gateways are not stored after a minute');
}

export function teardown(plant) {
  close(plant);
}

const readOf = Object.fromEntries(reads.map((r) => [r.kind, r]));

export function read(plant) {
  const i = exec.scenario.iterationInTest;
  // 37 and the size of the deck are coprime, so that the kinds take turns.
  const { kind, path, complete, big } = readOf[plant.deck[(i * 37) % plant.deck.length]];
  const response = call('GET', path(plant), { kind, token: plant.people.access });
  if (response.status === 200 && (!big || Math.random() < 0.05)) {
    check(response, { [`${kind}: the response is complete`]: (r) => complete(r.json()) });
  }
}

// change edits a device as a person does: it reads the device and writes it back with the
// ETag. No two users edit the same device at a time.
export function change(plant) {
  const i = exec.scenario.iterationInTest;
  const path = `${devices(plant, i % gateways)}/${new Gateway(machines, 0).machines[Math.floor(i / gateways) % machines].name}`;
  const token = plant.admin.access;
  const version = call('GET', path, { kind: 'device-before-change', token }).headers.Etag;
  const body = { title: `Load test ${i}`, description: 'written by a load test' };
  const put = (kind, match, want) => call('PUT', path, { kind, token, want, headers: { 'If-Match': match }, body });
  put('change', version, 200);
  if (i % 4 === 3) put('change-stale', version, 412);
}

// Requests that must be rejected, with the status of the response.
const any = { 'If-Match': '*' };
const first = (p) => `${devices(p, 0)}/${device}`;
const rejected = [
  (p) => call('PUT', first(p), { ...not(403, p.people.access), headers: any, body: { title: 'mine', description: '' } }),
  (p) => call('POST', '/v1/users', { ...not(403, p.people.access), body: { name: 'x', password: 'x', grants: { '*': 'admin' } } }),
  (p) => call('GET', at('sites', 'another-site', 'gateways'), not(404, p.people.access)),
  () => call('GET', '/v1/sites', not(401, '')),
  (p) => call('GET', '/v1/sites', not(403, p.people.access.slice(0, -8) + 'AAAAAAAA')),
  (p) => call('PUT', first(p), { ...not(428, p.admin.access), body: { title: '', description: '' } }),
  (p) => call('PUT', first(p), { ...not(400, p.admin.access), headers: any, body: { title: '', site: 'another-site' } }),
  (p) => call('POST', '/v1/telemetry', { ...not(403, p.people.access), body: '{"events":[]}' }),
];

function not(want, token) {
  return { kind: 'rejected', want, token };
}

export function reject(plant) {
  rejected[exec.scenario.iterationInTest % rejected.length](plant);
}

// State of this virtual user.
let session = null;
let gateway = null;

// stay is a person who stays logged in. The first session is revoked as a stolen one is: a
// refresh token that is used twice revokes all tokens of its session.
export function stay(plant) {
  if (session === null) {
    const first = login(plant.viewer.name, plant.viewer.password);
    const second = refresh(first.refresh);
    for (const { refresh: used } of [first, second]) {
      call('POST', '/v1/refresh', { kind: 'rejected', want: 401, body: { refresh_token: used } });
    }
    session = login(plant.viewer.name, plant.viewer.password);
  }
  session = refresh(session.refresh);
  if (session !== null) call('GET', '/v1/me', { kind: 'me', token: session.access });
  sleep(1);
}

export function send(plant) {
  gateway ??= new Gateway(machines, 1);
  const { body, events } = gateway.batch(1);
  const { token } = plant.gateways[Number(__ENV.GATEWAY)];
  const response = call('POST', '/v1/telemetry', { kind: 'batch', want: 202, token: token.access, body });
  check(response, { 'batch: all events are accepted': (r) => r.status === 202 && r.json('accepted') === events });
  sleep(1);
}
