import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The module as `make wasm` places it. */
export const modulePath = fileURLToPath(new URL('../public/detector.wasm', import.meta.url))

export interface Series {
  name: string
  sensors: number
  times: BigInt64Array<ArrayBuffer>
  values: Float64Array<ArrayBuffer>
}

/** Made-up series, and the lines that native Go prints for them; Go's package wasm/parity says what they are. */
export function reference(): { series: Series[]; digest: string[] } {
  const dir = mkdtempSync(join(tmpdir(), 'insighthub-series-'))
  const program = join(dir, '.digest')
  const go = (...args: string[]) => execFileSync('go', args, { cwd: root, maxBuffer: 1 << 28 })
  go('build', '-o', program, './wasm/parity/cmd/digest')
  execFileSync(program, ['-write', dir])
  const names = readdirSync(dir).filter((name) => !name.startsWith('.'))
  const digest = execFileSync(program, names.map((name) => join(dir, name)), { maxBuffer: 1 << 28 })
  const series = names.map((name) => parse(name, readFileSync(join(dir, name))))
  rmSync(dir, { recursive: true })
  return { series, digest: digest.toString().trimEnd().split('\n') }
}

function parse(name: string, file: Buffer): Series {
  const sensors = Number(file.readBigUInt64LE(0))
  const samples = (file.length - 8) / (8 * (1 + sensors))
  const times = new BigInt64Array(samples)
  const values = new BigUint64Array(samples * sensors) // as bits, so that those of a NaN do not change
  for (let i = 0, at = 8; i < samples; i++) {
    times[i] = file.readBigInt64LE(at)
    at += 8
    for (let j = 0; j < sensors; j++, at += 8) values[i * sensors + j] = file.readBigUInt64LE(at)
  }
  return { name, sensors, times, values: new Float64Array(values.buffer) }
}

/** The browser that `make tools` provides, or CHROMIUM; undefined where tests may be left out. */
export function chromiumPath(): string | undefined {
  const path = process.env['CHROMIUM'] ?? join(root, '.local/chromium/bin/chromium')
  if (existsSync(path)) return path
  if (process.env['INSIGHTHUB_TEST_REQUIRED'] === '1' || process.env['CI'] === 'true') throw new Error(`${path} is missing: make tools`)
  return undefined
}
