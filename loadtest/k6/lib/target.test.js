import assert from 'node:assert/strict';
import test from 'node:test';

globalThis.__ENV = {};
const { checked, number, target } = await import('./target.js');

test('load goes to this machine, or to a host that is named twice', () => {
  assert.equal(target, 'http://127.0.0.1:8080');
  for (const address of ['http://127.0.0.1:1', 'http://127.9.9.9', 'http://localhost:8080/', 'https://[::1]:8443']) {
    assert.equal(checked(address, ''), address.replace(/\/$/, ''));
  }
  assert.equal(checked('https://api.example.org', 'API.example.org'), 'https://api.example.org');
  const rejected = [
    ['https://api.example.org', ''],
    ['https://api.example.org', 'example.org'],
    ['http://api.example.org', 'api.example.org'],
    ['http://10.0.0.1', ''],
    ['http://127.0.0.1.example.org', ''],
    ['http://127.0.0.1@example.org', ''],
    ['http://localhost.example.org', ''],
    ['http://example.org/127.0.0.1', ''],
    ['http://127.0.0.1:8080/stage', ''],
    ['http://[::2]', ''],
    ['ftp://127.0.0.1', ''],
    ['127.0.0.1:8080', ''],
    ['', ''],
  ];
  for (const [address, allowed] of rejected) assert.throws(() => checked(address, allowed), /TARGET/, address);
});

test('numbers are positive', () => {
  assert.equal(number('RATE', 20), 20);
  for (const text of ['0', '-1', 'x', '1e12', 'Infinity', 'NaN']) {
    globalThis.__ENV.RATE = text;
    assert.throws(() => number('RATE', 20), /RATE/, text);
  }
  globalThis.__ENV.RATE = '7.5';
  assert.equal(number('RATE', 20), 7.5);
});
