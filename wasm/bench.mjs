// Measures the module in Node.js: node bench.mjs MODULE [SAMPLES]
//
// It prints the module's size, nanoseconds a sample on one core, and the memory before and
// after SAMPLES samples (default 10⁹).

import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { gzipSync } from 'node:zlib'

const [modulePath, count = '1e9'] = process.argv.slice(2)
const code = readFileSync(modulePath)
const { exports: module } = new WebAssembly.Instance(new WebAssembly.Module(code), {})
module._initialize()
const block = module.block()

const row = (...cells) => console.log(`| ${cells.join(' | ')} |`)
const rate = (name, samples, millis) =>
  row(name, `${((millis * 1e6) / samples).toFixed(1)} ns`, `${(samples / millis / 1e3).toFixed(1)} M/s`)

/** The median time of five runs, after a warm-up run. */
function median(run) {
  run()
  const millis = Array.from({ length: 5 }, () => {
    const start = performance.now()
    run()
    return performance.now() - start
  })
  return millis.sort((a, b) => a - b)[2]
}

/** Blocks of one series: a daily wave with noise and occasional spikes. */
function series(blocks, sensors) {
  const samples = Math.floor(block / sensors)
  let noise = 1
  let at = 0
  return Array.from({ length: blocks }, () => {
    const times = new BigInt64Array(samples)
    const values = new Float64Array(samples * sensors)
    for (let i = 0; i < samples; i++, at++) {
      times[i] = 1_700_000_000_000_000n + BigInt(at) * 1_000_000n
      for (let j = 0; j < sensors; j++) {
        noise = (Math.imul(noise, 1664525) + 1013904223) >>> 0
        values[i * sensors + j] = 20 + Math.sin(at / 229) + noise / 2 ** 32 + (at % 9973 === 0 ? 15 : 0)
      }
    }
    return { times, values }
  })
}

/** Pushes all blocks as a host does: copies them in, scores them, copies scores and flags out. */
function pusher(blocks, push) {
  const times = new BigInt64Array(module.memory.buffer, module.times(), block)
  const values = new Float64Array(module.memory.buffer, module.values(), block)
  const scores = new Float64Array(module.memory.buffer, module.scores(), block)
  const flags = new Uint8Array(module.memory.buffer, module.flags(), block)
  const outScores = new Float64Array(block)
  const outFlags = new Uint8Array(block)
  return () => {
    for (const b of blocks) {
      times.set(b.times)
      values.set(b.values)
      push(b.times.length)
      outScores.set(scores)
      outFlags.set(flags)
    }
  }
}

console.log(`${cpus()[0].model.trim()}, Node.js ${process.version}\n`)
const imports = WebAssembly.Module.imports(new WebAssembly.Module(code)).length
console.log(`module: ${code.length} bytes, ${gzipSync(code).length} with gzip, ${imports} imports\n`)
row('one core', 'a sample', 'samples')
row('---', '---', '---')

const single = series(250, 1)
const samples = single.length * block
rate('Node.js, blocks of one series in and out', samples, median(pusher(single, (n) => module.push(0, n))))
const slots = module.slots()
let next = 0
rate(`Node.js, the same distributed to ${slots} series`, samples, median(pusher(single, (n) => module.push(next++ % slots, n))))
rate('Node.js, self-benchmark with its generator', samples, median(() => module.bench(0, samples)))
for (const sensors of [2, 8, 16]) {
  const blocks = series(250, sensors)
  module.machine_reset(0, sensors)
  const millis = median(pusher(blocks, (n) => module.machine_push(0, n)))
  rate(`Node.js, a machine of ${sensors} sensors`, blocks.length * blocks[0].times.length, millis)
}

const total = Number(count)
const memory = () => [module.memory.buffer.byteLength, process.memoryUsage().rss]
globalThis.gc?.()
const before = memory()
const start = performance.now()
const push = pusher(single, (n) => module.push(0, n))
let pushed = 0
for (; pushed < total; pushed += samples) push()
const millis = performance.now() - start
const after = memory()
console.log(`\n${pushed.toLocaleString('en')} samples in ${(millis / 1000).toFixed(1)} s: module memory ${before[0]} → ${after[0]} bytes, ` +
  `process ${(before[1] / 2 ** 20).toFixed(1)} → ${(after[1] / 2 ** 20).toFixed(1)} MiB`)
