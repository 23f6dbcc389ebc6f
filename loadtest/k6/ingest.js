// Load on the ingestion: gateways send their machines' readings, first at a rising rate.
//
//   RATE      requests per second when steady (20)
//   SECONDS   how long it is steady (45); the ramp takes a third of that
//   MACHINES  behind each gateway, of 10 metrics each (10)
//   SAMPLES   of each series in one batch (10): 1,000 events a batch with these
//   RENEW     seconds after which every fourth gateway gets a new token (10)
//
// lib/target.js has the other settings.
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { gatewayToken } from './lib/access.js';
import { call } from './lib/call.js';
import { Gateway } from './lib/machines.js';
import { close, open } from './lib/plant.js';
import { reporter } from './lib/report.js';
import { common, number } from './lib/target.js';

const rate = number('RATE', 20);
const seconds = number('SECONDS', 45);
const machines = number('MACHINES', 10);
const samples = number('SAMPLES', 10);
const renewAfter = number('RENEW', 10) * 1000;
const ramp = Math.ceil(seconds / 3);
const perBatch = machines * 10 * samples;
// A gateway has one request in flight at a time, as a real one: there is a gateway for each
// virtual user.
const gateways = Math.max(4, Math.ceil(rate));
const badEvery = 50;
const due = rate * seconds * (1 - 1 / badEvery) * perBatch;

const accepted = new Counter('events_accepted');
const counted = new Rate('events_counted_right');

const arrivals = { preAllocatedVUs: gateways, maxVUs: gateways, timeUnit: '1s', gracefulStop: '5s', exec: 'send' };
export const options = {
  ...common,
  scenarios: {
    ramp: {
      ...arrivals, executor: 'ramping-arrival-rate', startRate: 1, tags: { phase: 'ramp' },
      stages: [{ target: rate, duration: `${ramp}s` }],
    },
    steady: {
      ...arrivals, executor: 'constant-arrival-rate', rate, duration: `${seconds}s`, startTime: `${ramp + 5}s`, tags: { phase: 'steady' },
    },
  },
  thresholds: {
    'http_req_failed': ['rate<0.001'],
    'checks': ['rate>0.999'],
    'dropped_iterations{scenario:steady}': [`count<=${Math.ceil(0.005 * rate * seconds)}`],
    'events_accepted{phase:steady}': [`count>=${Math.floor(0.98 * due)}`],
    'events_counted_right': ['rate==1'],
    'http_req_duration{kind:batch,phase:ramp}': ['p(99)<50'],
    'http_req_duration{kind:batch,phase:steady}': ['p(95)<15', 'p(99)<25'],
    'http_req_duration{kind:batch-gzip,phase:steady}': ['p(95)<15', 'p(99)<25'],
    'http_req_duration{kind:part-bad,phase:steady}': ['p(99)<50'],
    'http_req_duration{kind:rejected,phase:steady}': ['p(99)<25'],
    'http_req_duration{kind:token}': ['p(99)<50'],
  },
};

export const handleSummary = reporter({
  name: 'ingest',
  title: 'Ingest',
  about: `${gateways} gateways of ${machines} machines, ${perBatch} events per batch; ${ramp} s up to ${rate} requests/s, ` +
    `then ${seconds} s at that rate. Every second batch is compressed with gzip, one request in ${badEvery} is invalid on purpose. ` +
    'Each gateway signs assertions for its own tokens; every fourth renews its token all the time.',
  rates: [{ metric: 'events_accepted{phase:steady}', label: 'events accepted per second, steady', seconds, due: due / seconds }],
});

export async function setup() {
  return open({ gateways });
}

export function teardown(plant) {
  close(plant);
}

// State of this virtual user.
let me = null;

export async function send(plant) {
  if (me === null) {
    const number = (exec.vu.idInTest - 1) % plant.gateways.length;
    me = { ...plant.gateways[number], eager: number % 4 === 0, gateway: new Gateway(machines, exec.vu.idInTest) };
  }
  const now = Date.now();
  if (!me.token || now > me.token.until - 60000 || (me.eager && now > me.renew)) {
    me.token = await gatewayToken(me.name, me.key, plant.audience);
    me.renew = now + renewAfter;
  }
  const i = exec.scenario.iterationInTest;
  if (i % badEvery === badEvery - 1) bad[Math.floor(i / badEvery) % bad.length]();
  else good(i % 2 === 1);
}

function post(kind, want, body, more = {}) {
  const tags = { phase: exec.scenario.name };
  return call('POST', '/v1/telemetry', { kind, want, body, token: me.token.access, tags, name: 'POST /v1/telemetry', ...more });
}

function good(zip) {
  const { body, events } = me.gateway.batch(samples);
  const response = zip ? post('batch-gzip', 202, body, { compression: 'gzip' }) : post('batch', 202, body);
  count(response, events, 0);
}

// count counts the accepted events, and checks the numbers of accepted and rejected ones.
function count(response, events, rejected) {
  const got = response.status === 202 ? response.json() : { accepted: 0, rejected: 0 };
  accepted.add(got.accepted, { phase: exec.scenario.name });
  counted.add(check(response, { 'accepted and rejected are counted': () => got.accepted === events && got.rejected === rejected }));
}

// Invalid requests of gateways, with the status of the response.
const bad = [
  () => post('rejected', 400, '{"events":[{"device":"press-01","metric":"speed","time":NaN}]}'),
  () => post('rejected', 400, '{"readings":[]}'),
  () => post('rejected', 415, 'device,metric,time,value', { headers: { 'Content-Type': 'text/csv' } }),
  () => post('rejected', 400, 'this is not gzip', { headers: { 'Content-Encoding': 'gzip' } }),
  () => post('rejected', 401, '{"events":[]}', { token: '' }),
  () => post('rejected', 403, '{"events":[]}', { token: me.token.access.slice(0, -8) + 'AAAAAAAA' }),
  () => post('rejected', 422, '{"events":[{"device":"press-01","metric":"speed","time":"yesterday","value":1}]}'),
  () => {
    const { body, events } = me.gateway.batch(1);
    count(post('part-bad', 202, body.replace(/]}$/, ',{"device":"press-01","metric":"speed","value":1}]}')), events, 1);
  },
];
