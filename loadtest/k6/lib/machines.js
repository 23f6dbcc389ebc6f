// Simulated machines whose signals depend on each other: the load determines the current
// and the speed, the current heats the motor, and the counters never decrease.
export const metrics = [
  'state', 'cycle_count', 'good_count', 'temperature', 'vibration', 'pressure', 'motor_current', 'flow', 'speed', 'power',
];

const kinds = ['press', 'pump', 'mill', 'mixer'];
const RUNNING = 0;
const IDLE = 1;
const DOWN = 3;

export class Machine {
  constructor(number, random = Math.random) {
    this.name = `${kinds[number % kinds.length]}-${String(number + 1).padStart(2, '0')}`;
    this.random = random;
    this.state = RUNNING;
    this.load = 0.6;
    this.heat = 45 + 10 * random();
    this.cycles = 0;
    this.good = 0;
    this.part = 0;
    this.prefixes = metrics.map((m) => `{"device":"${this.name}","metric":"${m}","time":`);
  }

  // step advances by some seconds and returns the values in the order of metrics.
  step(seconds) {
    const r = this.random;
    const chance = r();
    if (this.state === RUNNING) {
      if (chance < 0.002 * seconds) this.state = DOWN;
      else if (chance < 0.01 * seconds) this.state = IDLE;
    } else if (chance < 0.1 * seconds) this.state = RUNNING;
    const running = this.state === RUNNING;
    this.load = running ? Math.min(1, Math.max(0.2, this.load + 0.05 * (r() - 0.5))) : 0;
    const current = running ? 4 + 18 * this.load + 0.2 * (r() - 0.5) : 0.3;
    this.heat += Math.min(1, seconds / 120) * (25 + 2.2 * current - this.heat);
    const speed = running ? 1480 - 40 * this.load + 2 * (r() - 0.5) : 0;
    if (running) {
      this.part += seconds / 4;
      while (this.part >= 1) {
        this.part -= 1;
        this.cycles += 1;
        if (r() < 0.98) this.good += 1;
      }
    }
    return [
      this.state, this.cycles, this.good, this.heat + 0.1 * (r() - 0.5), running ? 1.2 + 1.5 * this.load + 0.3 * r() : 0.05,
      running ? 5.5 - 0.8 * this.load + 0.05 * r() : 0, current, running ? 40 + 90 * this.load + r() : 0, speed, 0.69 * current,
    ];
  }
}

// Gateway writes batches of its machines' events. The times of a series always increase, so
// that every event is new.
export class Gateway {
  // salt, 0 to 999, distinguishes virtual users that send as the same gateway.
  constructor(machines, salt, random = Math.random) {
    this.machines = Array.from({ length: machines }, (_, i) => new Machine(i, random));
    this.salt = salt % 1000;
    this.last = 0;
  }

  // batch returns JSON with the given number of samples of each series, the last one at now.
  batch(samples, now = Date.now()) {
    const period = Math.max(1, Math.min(1000, Math.floor((now - this.last) / samples)));
    let time = Math.max(this.last, now - samples * period);
    const parts = [];
    for (let s = 0; s < samples; s++) {
      time += period;
      // Microseconds are below 2^53 until the year 2255.
      const stamp = time * 1000 + this.salt;
      for (const machine of this.machines) {
        const values = machine.step(period / 1000);
        for (let m = 0; m < values.length; m++) {
          parts.push(`${machine.prefixes[m]}${stamp},"value":${m < 3 ? values[m] : values[m].toFixed(3)}}`);
        }
      }
    }
    this.last = time;
    return { body: `{"events":[${parts.join(',')}]}`, events: parts.length };
  }
}
