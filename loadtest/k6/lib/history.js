// History before the test: one reading per second in a few series of one machine.
import { must } from './call.js';
import { Machine, metrics } from './machines.js';

const perBatch = 10000;
const names = ['temperature', 'vibration', 'motor_current', 'power'];

// history sends the given number of hours, which end at until (ms).
export function history(token, hours, until) {
  const machine = new Machine(0);
  const columns = names.map((name) => metrics.indexOf(name));
  let parts = [];
  const send = () => {
    const body = `{"events":[${parts.join(',')}]}`;
    if (parts.length > 0) must('POST', '/v1/telemetry', { kind: 'setup', token, want: 202, body, compression: 'gzip', timeout: '30s' });
    parts = [];
  };
  for (let time = until - hours * 3600 * 1000; time < until; time += 1000) {
    const values = machine.step(1);
    for (const column of columns) parts.push(`${machine.prefixes[column]}${time * 1000},"value":${values[column].toFixed(3)}}`);
    if (parts.length >= perBatch) send();
  }
  send();
}
