import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';

globalThis.__ENV = { OUT: '/out', REPORT_WITH: '/earlier.json', FACTS: '{"machine":"a < b","commit":"0123abc"}' };

const folder = new URL('../testdata/', import.meta.url);
const summary = () => JSON.parse(readFileSync(new URL('summary.json', folder), 'utf8'));
const script = {
  name: 'golden', title: 'A & B', about: 'What was done.',
  rates: [{ metric: 'events_accepted{phase:steady}', label: 'events accepted per second, steady', seconds: 45, due: 19600 }],
};
const { reporter, model } = await import('./report.js');

// written runs a script's handleSummary after that of an earlier script.
function written() {
  globalThis.open = (path) => {
    assert.equal(path, '/earlier.json');
    return JSON.stringify({ ...model({ ...script, title: 'Earlier' }, { ...summary(), metrics: {} }), checks: [] });
  };
  return reporter(script)(summary());
}

test('the report of a summary is the golden one', () => {
  const out = written();
  const files = ['golden.json', 'golden.md', 'golden.html', 'report.md', 'report.html'];
  assert.deepEqual(Object.keys(out), ['stdout', ...files.map((name) => `/out/${name}`)]);
  for (const name of ['golden.json', 'report.md', 'report.html']) {
    const file = new URL(name, folder);
    if (process.env.UPDATE === '1') writeFileSync(file, out[`/out/${name}`]);
    assert.equal(out[`/out/${name}`], readFileSync(file, 'utf8'), `${name}; UPDATE=1 rewrites it`);
  }
});

test('the report has no secrets, and its content is escaped', () => {
  for (const [name, text] of Object.entries(written())) {
    assert.ok(!text.includes('never-in-a-report'), name);
    if (name.endsWith('.html')) assert.ok(!/<script|https?:|src=/i.test(text), name);
  }
});

test('a missed threshold fails the run, and one without samples is reported', () => {
  const run = model(script, summary());
  assert.equal(run.ok, false);
  assert.deepEqual(run.never, ['events_counted_right', 'part-bad, steady']);
  assert.equal(run.accepted, 1200000);
});

test('a run that ended in setup has a report', () => {
  const run = model(script, { state: {}, metrics: {} });
  assert.deepEqual([run.rates[0].value, run.requests, run.left], [0, [], []]);
});
