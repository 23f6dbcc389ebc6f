import { expect, test } from 'vitest'
import { DetectorClient, type WorkerPort } from './client.ts'
import { DetectorError } from './error.ts'
import type { Reply, Request } from './messages.ts'

class FakeWorker implements WorkerPort {
  onmessage: ((event: MessageEvent<Reply>) => void) | null = null
  onerror: ((event: ErrorEvent) => void) | null = null
  onmessageerror: ((event: MessageEvent) => void) | null = null
  readonly sent: Request[] = []
  terminated = false

  postMessage(message: Request): void {
    this.sent.push(message)
  }

  terminate(): void {
    this.terminated = true
  }

  reply(data: Reply): void {
    this.onmessage?.({ data } as MessageEvent<Reply>)
  }
}

const loaded = { kind: 'loaded', id: 0, threshold: 0.5, slots: 256, machines: 32, maxSensors: 16 } as const

function start(): { worker: FakeWorker; client: DetectorClient } {
  const worker = new FakeWorker()
  return { worker, client: new DetectorClient(worker, 'http://127.0.0.1/detector.wasm') }
}

const failure = (promise: Promise<unknown>) => promise.then(
  () => 'nothing failed',
  (cause: unknown) => (cause instanceof DetectorError ? `${cause.code}: ${cause.message}` : String(cause)),
)

test('loads the module first', async () => {
  const { worker, client } = start()
  expect(worker.sent).toEqual([{ kind: 'load', id: 0, module: 'http://127.0.0.1/detector.wasm' }])
  worker.reply(loaded)
  expect(await client.ready()).toMatchObject({ threshold: 0.5 })
})

test('gives each request its own reply, in any order', async () => {
  const { worker, client } = start()
  const a = client.score('a', new Float64Array(1), new Float64Array(1))
  const b = client.save('b')
  expect(worker.sent.map((m) => m.id)).toEqual([0, 1, 2])
  worker.reply({ kind: 'saved', id: 2, state: new Uint8Array(3), hash: 7n })
  worker.reply({
    kind: 'scored', id: 1, series: 'a', times: new Float64Array(1), values: new Float64Array(1),
    scores: new Float64Array([0.25]), flags: new Uint8Array(1), anomalies: 0,
  })
  worker.reply({ kind: 'done', id: 99 })
  expect((await a).scores[0]).toBe(0.25)
  expect((await b).hash).toBe(7n)
})

test('rejects with the error of the worker', async () => {
  const { worker, client } = start()
  const forgotten = failure(client.forget('nobody'))
  worker.reply({ kind: 'failed', id: 1, code: 'unknown', reason: 'unknown series nobody' })
  expect(await forgotten).toBe('unknown: unknown series nobody')

  const counters = failure(client.counters())
  worker.reply({ kind: 'done', id: 2 })
  expect(await counters).toMatch(/^abi: /)
})

test('rejects everything once the worker failed', async () => {
  const { worker, client } = start()
  const ready = failure(client.ready())
  const waiting = failure(client.counters())
  worker.onerror?.({ message: 'out of memory' } as ErrorEvent)
  expect(await ready).toBe("load: the detector's worker failed: out of memory")
  expect(await waiting).toBe("load: the detector's worker failed: out of memory")
  expect(await failure(client.counters())).toMatch(/^load: /)
  expect(worker.terminated).toBe(true)
})

test('rejects pending requests when it is closed', async () => {
  const { worker, client } = start()
  const waiting = failure(client.counters())
  client.close()
  client.close()
  expect(await waiting).toBe('load: the detector was closed')
  expect(worker.terminated).toBe(true)
})

test('rejects a request that cannot be sent', async () => {
  const worker = new FakeWorker()
  const client = new DetectorClient(worker, '')
  worker.postMessage = () => {
    throw new Error('the buffer is detached')
  }
  expect(await failure(client.counters())).toMatch(/^arguments: .*detached/)
})
