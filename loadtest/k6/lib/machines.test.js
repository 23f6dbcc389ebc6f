import assert from 'node:assert/strict';
import test from 'node:test';
import { Gateway, Machine, metrics } from './machines.js';

// A reproducible generator (Park and Miller).
function seeded(seed) {
  return () => (seed = (seed * 48271) % 2147483647) / 2147483647;
}

test('every event is new, in order, and well formed', () => {
  const clock = [1000000, 1000100, 1000100, 1000101, 990000, 1500000].map((s) => 1.7e12 + s);
  const gateways = [1, 2].map((salt) => new Gateway(3, salt, seeded(salt)));
  const seen = new Set();
  const last = new Map();
  for (const now of clock) {
    gateways.forEach((gateway, g) => {
      const { body, events } = gateway.batch(10, now);
      const parsed = JSON.parse(body).events;
      assert.equal(events, 3 * metrics.length * 10);
      assert.equal(parsed.length, events);
      for (const { device, metric, time, value } of parsed) {
        assert.ok(Number.isSafeInteger(time) && Number.isFinite(value), `${device} ${metric} ${time} ${value}`);
        const series = `${device} ${metric}`;
        // Both send as the same gateway, with another salt.
        assert.ok(!seen.has(`${series} ${time}`), `${series} twice at ${time}`);
        seen.add(`${series} ${time}`);
        assert.ok(time > (last.get(`${g} ${series}`) ?? 0), `${series} goes back at ${time}`);
        last.set(`${g} ${series}`, time);
      }
    });
  }
});

test('an idle machine produces nothing, and counters never decrease', () => {
  const machine = new Machine(0, seeded(7));
  let before = machine.step(1);
  const states = new Set();
  for (let i = 0; i < 50000; i++) {
    const now = machine.step(1);
    const [state, cycles, good, heat, , , current] = now;
    states.add(state);
    assert.ok(cycles >= before[1] && good >= before[2] && good <= cycles);
    assert.ok(heat > 15 && heat < 90 && current > 0 && current < 25, `${now}`);
    if (state !== 0) assert.equal(cycles, before[1]);
    before = now;
  }
  assert.deepEqual([...states].sort(), [0, 1, 3]);
  assert.ok(before[1] > 5000);
});
