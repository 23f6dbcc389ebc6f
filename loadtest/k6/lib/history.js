// What happened before the test: one reading a second in a few series of one machine.
import { must } from './call.js';
import { Machine, metrics } from './machines.js';

const perBatch = 10000;
const kept = ['temperature', 'vibration', 'motor_current', 'power'];

// history sends so many hours that end at the given time in ms.
export function history(token, hours, until) {
  const machine = new Machine(0);
  const columns = kept.map((name) => metrics.indexOf(name));
  let parts = [];
  const send = () => {
    if (parts.length > 0) must('POST', '/v1/telemetry', { kind: 'setup', token, want: 202, body: `{"events":[${parts.join(',')}]}`, compression: 'gzip', timeout: '30s' });
    parts = [];
  };
  for (let time = until - hours * 3600 * 1000; time < until; time += 1000) {
    const values = machine.step(1);
    for (const column of columns) parts.push(`${machine.prefixes[column]}${time * 1000},"value":${values[column].toFixed(3)}}`);
    if (parts.length >= perBatch) send();
  }
  send();
}
