import { start, type Exports } from './abi.ts'
import { DetectorError } from './error.ts'

/**
 * Times in microseconds since 1970. Integers in a Float64Array are exact until the year 2255 and cheaper
 * than bigints; a fraction is truncated, and NaN counts as 0.
 */
export type Times = BigInt64Array | Float64Array

/** One instance of the module: a fixed pool of detectors and machines, and the buffers that they share. */
export class DetectorModule {
  /** The score from which a sample is anomalous. */
  readonly threshold: number
  /** The greatest numbers of series and of machines of one instance. */
  readonly slots: number
  readonly machines: number
  readonly maxSensors: number

  readonly #exports: Exports
  readonly #freeSlots: number[]
  readonly #freeMachines: number[]
  readonly #block: number
  readonly #times: BigInt64Array
  readonly #values: Float64Array
  readonly #scores: Float64Array
  readonly #flags: Uint8Array
  readonly #state: Uint8Array

  constructor(module: WebAssembly.Module) {
    const exports = start(new WebAssembly.Instance(module, {}))
    this.#exports = exports
    this.threshold = exports.threshold()
    this.slots = exports.slots()
    this.machines = exports.machines()
    this.maxSensors = exports.max_sensors()
    this.#freeSlots = descending(this.slots)
    this.#freeMachines = descending(this.machines)
    this.#block = exports.block()
    // The module's memory never grows, so these arrays stay valid.
    const { buffer } = exports.memory
    this.#times = new BigInt64Array(buffer, exports.times(), this.#block)
    this.#values = new Float64Array(buffer, exports.values(), this.#block)
    this.#scores = new Float64Array(buffer, exports.scores(), this.#block)
    this.#flags = new Uint8Array(buffer, exports.flags(), this.#block)
    this.#state = new Uint8Array(buffer, exports.state())
  }

  /** Compiles the module. Rejects with a DetectorError of code `load` or `abi`. */
  static async load(source: BufferSource | Response | PromiseLike<Response>): Promise<DetectorModule> {
    try {
      return new DetectorModule(await compile(source))
    } catch (cause) {
      if (cause instanceof DetectorError) throw cause
      throw new DetectorError('load', `the detector's module cannot be loaded: ${text(cause)}`)
    }
  }

  /** Allocates a slot for a series; `free` releases it. */
  detector(): Detector {
    const slot = this.#freeSlots.pop()
    if (slot === undefined) throw new DetectorError('full', `all ${this.slots} series are in use`)
    this.#exports.reset(slot)
    return new Detector(this.#channel(slot, 1, ''))
  }

  /** Allocates a slot for a machine with 1 to maxSensors sensors, whose readings are pushed together. */
  machine(sensors: number): Detector {
    if (!Number.isInteger(sensors) || sensors < 1 || sensors > this.maxSensors) {
      throw new DetectorError('arguments', `a machine of ${sensors} sensors: want 1 to ${this.maxSensors}`)
    }
    const slot = this.#freeMachines.pop()
    if (slot === undefined) throw new DetectorError('full', `all ${this.machines} machines are in use`)
    this.#exports.machine_reset(slot, sensors)
    return new Detector(this.#channel(slot, sensors, 'machine_'))
  }

  /** Scores generated samples, at most 2³² − 1, and returns the number of anomalies, to measure the rate. */
  bench(samples: number): number {
    const slot = this.#freeSlots.at(-1)
    if (slot === undefined) throw new DetectorError('full', `all ${this.slots} series are in use`)
    const anomalies = this.#exports.bench(slot, samples)
    this.#exports.reset(slot)
    return anomalies
  }

  /** The size of the module's memory in bytes, which never changes. */
  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength
  }

  #channel(slot: number, sensors: number, prefix: '' | 'machine_'): Channel {
    const exports = this.#exports
    const free = prefix === '' ? this.#freeSlots : this.#freeMachines
    return {
      sensors,
      most: Math.floor(this.#block / sensors),
      times: this.#times,
      values: this.#values,
      scores: this.#scores,
      flags: this.#flags,
      state: this.#state,
      push: (samples) => exports[`${prefix}push`](slot, samples),
      save: () => exports[`${prefix}save`](slot),
      restore: (length) => exports[`${prefix}restore`](slot, length),
      hash: () => exports[`${prefix}hash`](slot),
      reset: () => (prefix === '' ? exports.reset(slot) : exports.machine_reset(slot, sensors)),
      free: () => free.push(slot),
    }
  }
}

/** A slot and its buffers. */
interface Channel {
  readonly sensors: number
  readonly most: number
  readonly times: BigInt64Array
  readonly values: Float64Array
  readonly scores: Float64Array
  readonly flags: Uint8Array
  readonly state: Uint8Array
  push(samples: number): number
  save(): number
  restore(length: number): number
  hash(): bigint
  reset(): void
  free(): void
}

/** The detector of one series, or of one machine. */
export class Detector {
  #channel: Channel | undefined

  /** @internal Call DetectorModule.detector or machine. */
  constructor(channel: Channel) {
    this.#channel = channel
  }

  get sensors(): number {
    return this.#open.sensors
  }

  /**
   * Scores samples in their order; for each, values has one reading per sensor. Writes scores in [0,1] and flags, 1 for
   * anomalous, and returns the number of flags. NaN and infinite values are missing readings.
   */
  push(times: Times, values: Float64Array, scores: Float64Array, flags: Uint8Array): number {
    const channel = this.#open
    const { sensors, most } = channel
    if (values.length !== times.length * sensors || scores.length < times.length || flags.length < times.length) {
      throw new DetectorError(
        'arguments',
        `${times.length} times, ${values.length} values of ${sensors} sensors, ${scores.length} scores and ${flags.length} flags:` +
          ' the lengths do not match',
      )
    }
    let anomalies = 0
    for (let at = 0; at < times.length; at += most) {
      const n = Math.min(most, times.length - at)
      put(channel.times, times.subarray(at, at + n))
      channel.values.set(values.subarray(at * sensors, (at + n) * sensors))
      anomalies += channel.push(n)
      scores.set(channel.scores.subarray(0, n), at)
      flags.set(channel.flags.subarray(0, n), at)
    }
    return anomalies
  }

  /**
   * Scores one sample of a series: at is its index in times and values. Returns whether it is anomalous; its score is
   * then in `score`. It allocates nothing, for values that arrive one by one.
   */
  step(times: BigInt64Array, values: Float64Array, at: number): boolean {
    const channel = this.#open
    if (channel.sensors !== 1) throw new DetectorError('arguments', `a machine of ${channel.sensors} sensors takes no single values`)
    if (!(at >= 0 && at < times.length && at < values.length)) {
      throw new DetectorError('arguments', `sample ${at} of ${times.length} times and ${values.length} values`)
    }
    channel.times[0] = times[at]!
    channel.values[0] = values[at]!
    return channel.push(1) === 1
  }

  /** The score of the last step, valid until another detector of the module scores. */
  get score(): number {
    return this.#open.scores[0]!
  }

  /** Returns the state, which is the same bytes on every platform: a gateway or a function can continue from it. */
  save(): Uint8Array<ArrayBuffer> {
    const channel = this.#open
    return channel.state.slice(0, channel.save())
  }

  /** Restores a saved state. For other bytes it throws a DetectorError of code `state` and changes nothing. */
  restore(state: Uint8Array): void {
    const channel = this.#open
    if (state.length > 4096) throw new DetectorError('state', `the state has ${state.length} bytes, want at most 4096`)
    channel.state.set(state)
    const status = channel.restore(state.length)
    if (status !== 0) throw new DetectorError('state', new TextDecoder().decode(channel.state.slice(0, Math.max(status, 0))))
  }

  /** The hash of the state, unsigned. */
  hash(): bigint {
    return BigInt.asUintN(64, this.#open.hash())
  }

  /** Forgets the series. */
  reset(): void {
    this.#open.reset()
  }

  /** Releases the slot; the detector cannot be used afterwards. */
  free(): void {
    this.#channel?.free()
    this.#channel = undefined
  }

  get #open(): Channel {
    if (this.#channel === undefined) throw new DetectorError('unknown', 'the detector was freed')
    return this.#channel
  }
}

async function compile(source: BufferSource | Response | PromiseLike<Response>): Promise<WebAssembly.Module> {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return WebAssembly.compile(source as BufferSource)
  const response = await (source as Response | PromiseLike<Response>)
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${response.statusText}`)
  return WebAssembly.compile(await response.arrayBuffer())
}

function put(into: BigInt64Array, times: Times): void {
  if (times instanceof BigInt64Array) {
    into.set(times)
    return
  }
  const words = new Uint32Array(into.buffer, into.byteOffset, 2 * into.length)
  for (let i = 0; i < times.length; i++) {
    const micros = Math.trunc(times[i]!)
    const high = Math.floor(micros / 2 ** 32)
    words[2 * i] = micros - high * 2 ** 32
    words[2 * i + 1] = high
  }
}

function descending(n: number): number[] {
  return Array.from({ length: n }, (_, i) => n - 1 - i)
}

export function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
