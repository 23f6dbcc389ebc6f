import { DetectorError } from './error.ts'

/** The version of the module's exports that this code was written for. */
export const abiVersion = 1

/** The exports of the module, which `wasm/README.md` documents. */
export interface Exports {
  memory: WebAssembly.Memory
  _initialize(): void
  abi(): number
  slots(): number
  block(): number
  times(): number
  values(): number
  scores(): number
  flags(): number
  state(): number
  threshold(): number
  reset(slot: number): number
  push(slot: number, samples: number): number
  save(slot: number): number
  restore(slot: number, length: number): number
  hash(slot: number): bigint
  bench(slot: number, samples: number): number
  machines(): number
  max_sensors(): number
  machine_reset(slot: number, sensors: number): number
  machine_push(slot: number, samples: number): number
  machine_save(slot: number): number
  machine_restore(slot: number, length: number): number
  machine_hash(slot: number): bigint
}

const functions = [
  '_initialize', 'abi', 'slots', 'block', 'times', 'values', 'scores', 'flags', 'state', 'threshold',
  'reset', 'push', 'save', 'restore', 'hash', 'bench',
  'machines', 'max_sensors', 'machine_reset', 'machine_push', 'machine_save', 'machine_restore', 'machine_hash',
] as const satisfies readonly Exclude<keyof Exports, 'memory'>[]

/** Initialises an instance. Throws a DetectorError when it is not the module of this version. */
export function start(instance: WebAssembly.Instance): Exports {
  const found = instance.exports
  if (typeof found['abi'] !== 'function') throw new DetectorError('abi', 'the module is not the detector: it exports no abi')
  // Other exports trap before this call.
  if (typeof found['_initialize'] === 'function') found['_initialize']()
  const version: unknown = found['abi']()
  if (version !== abiVersion) throw new DetectorError('abi', `the module has ABI version ${String(version)}, want ${abiVersion}`)
  const missing = functions.filter((name) => typeof found[name] !== 'function')
  if (!(found['memory'] instanceof WebAssembly.Memory)) throw new DetectorError('abi', 'the module exports no memory')
  if (missing.length > 0) throw new DetectorError('abi', `the module exports no ${missing.join(', ')}`)
  return found as unknown as Exports
}
