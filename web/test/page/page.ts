// The page in which the worker is tested: what the test calls is on window.

import { DetectorClient, DetectorError } from '../../src/detector/index.ts'
import { digest } from '../digest.ts'

const start = (module: string) => DetectorClient.start(new URL(module, document.baseURI))
const client = start('detector.wasm')

/** The bytes of a typed array, which reach the page as base64. */
function bytes(base64: string): ArrayBuffer {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer
}

const page = {
  ready: () => client.ready(),

  counters: () => client.counters(),

  async digest(name: string, sensors: number, times: string, values: string): Promise<string[]> {
    return digest(name, sensors, new BigInt64Array(bytes(times)), new Float64Array(bytes(values)), {
      score: (t, v) => client.score(name, t, v, sensors),
      save: () => client.save(name),
    })
  },

  /** Lets the worker score made-up samples and counts the timers that the page could run meanwhile. */
  async bench(samples: number): Promise<{ perSecond: number; anomalies: number; ticks: number }> {
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    const { anomalies, seconds } = await client.bench(samples)
    clearInterval(timer)
    return { perSecond: samples / seconds, anomalies, ticks }
  },

  /** What a request that fails says. */
  async failure(kind: 'no module' | 'not a module' | 'unknown series' | 'corrupt state'): Promise<string> {
    try {
      switch (kind) {
        case 'no module':
          await start('missing.wasm').ready()
          break
        case 'not a module':
          await start('index.html').ready()
          break
        case 'unknown series':
          await client.save('nobody')
          break
        case 'corrupt state':
          await client.restore('somebody', new Uint8Array(100))
      }
      return 'nothing failed'
    } catch (cause) {
      return cause instanceof DetectorError ? `${cause.code}: ${cause.message}` : `not a DetectorError: ${String(cause)}`
    }
  },
}

export type Page = typeof page

declare global {
  interface Window {
    page: Page
  }
}

window.page = page
