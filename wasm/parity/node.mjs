// Prints the digests of files of series, scored by the module in Node.js. Package parity
// documents them.
//
//   node node.mjs MODULE FILE...

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

const stride = 1000
const [modulePath, ...files] = process.argv.slice(2)
const { exports: module } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(modulePath)), {})
module._initialize()

const bytes = new Uint8Array(module.memory.buffer)
const short = (...parts) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex').slice(0, 16)
}

/** The calls for one detector, or for one machine: both use slot 0. */
function calls(sensors) {
  if (sensors === 1) return { ...module, status: module.reset(0) }
  return { push: module.machine_push, save: module.machine_save, hash: module.machine_hash, status: module.machine_reset(0, sensors) }
}

for (const path of files) {
  const file = readFileSync(path)
  const sensors = Number(file.readBigUInt64LE(0))
  const row = 8 * (1 + sensors)
  const samples = (file.length - 8) / row
  const { push, save, hash, status } = calls(sensors)
  if (status !== 0) throw new Error(`${path}: no slot for ${sensors} sensors`)
  const most = Math.floor(module.block() / sensors)
  const lines = []
  for (let at = 0; at < samples; ) {
    const end = Math.min(samples, at + stride)
    const seen = createHash('sha256')
    const flagged = []
    while (at < end) {
      const n = Math.min(end - at, most)
      for (let i = 0; i < n; i++, at++) {
        const start = 8 + at * row
        bytes.set(file.subarray(start, start + 8), module.times() + 8 * i)
        bytes.set(file.subarray(start + 8, start + row), module.values() + 8 * i * sensors)
      }
      if (push(0, n) < 0) throw new Error(`${path}: the module rejected a block of ${n} samples`)
      seen.update(bytes.subarray(module.scores(), module.scores() + 8 * n))
      flagged.push(bytes.slice(module.flags(), module.flags() + n))
    }
    for (const part of flagged) seen.update(part)
    const scores = seen.digest('hex').slice(0, 16)
    const state = BigInt.asUintN(64, hash(0)).toString(16).padStart(16, '0')
    const saved = save(0)
    lines.push(`${basename(path)} ${end} ${scores} ${state} ${short(bytes.subarray(module.state(), module.state() + saved))}\n`)
  }
  process.stdout.write(lines.join(''))
}
