import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { chunkBytes, encodeFrame } from './chunk.ts'
import { ShareError } from './error.ts'
import { fileLimits, FileTransfers, type FileChannel, type FilesOptions, type Transfer } from './files.ts'
import { decode, type ShareMessage } from './messages.ts'
import { BlobSink, type Sink } from './sink.ts'

/** The queue of a channel of a browser; deliver() hands frames to the other side. */
class Channel implements FileChannel {
  readyState: RTCDataChannelState = 'open'
  bufferedAmount = 0
  bufferedAmountLowThreshold = 0
  onbufferedamountlow: ((event: Event) => void) | null = null
  most = 0
  queue: Uint8Array<ArrayBuffer>[] = []

  send(data: Uint8Array<ArrayBuffer>): void {
    this.queue.push(data)
    this.bufferedAmount += data.length
    this.most = Math.max(this.most, this.bufferedAmount)
  }

  take(): Uint8Array<ArrayBuffer> | undefined {
    const data = this.queue.shift()
    if (data === undefined) return undefined
    const before = this.bufferedAmount
    this.bufferedAmount -= data.length
    if (before > this.bufferedAmountLowThreshold && this.bufferedAmount <= this.bufferedAmountLowThreshold) this.onbufferedamountlow?.(new Event('low'))
    return data
  }
}

/** Two people and what connects them. */
class Pair {
  readonly a: FileTransfers
  readonly b: FileTransfers
  channel = new Channel()
  messages: ShareMessage[] = []
  errors: string[] = []
  /** Frames reach b. */
  flowing = true
  change: (frame: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>[] = (frame) => [frame]
  #connected = false
  #generation = 0

  constructor(options: FilesOptions = {}) {
    this.a = new FileTransfers()
    this.b = new FileTransfers({ openSink: async () => new BlobSink(), ...options })
    this.connect()
  }

  connect(): void {
    this.#connected = true
    const generation = ++this.#generation
    this.channel = new Channel()
    const to = (other: FileTransfers) => (message: ShareMessage) => {
      const text = JSON.stringify(message)
      this.messages.push(message)
      queueMicrotask(() => {
        if (generation === this.#generation && this.#connected) this.handle(() => other.message(decode(text)!))
      })
    }
    this.b.attach({ send: to(this.a), files: new Channel() })
    this.a.attach({ send: to(this.b), files: this.channel })
  }

  disconnect(): void {
    this.#connected = false
    this.channel.readyState = 'closed'
    this.a.detach()
    this.b.detach()
  }

  handle(f: () => void): void {
    try {
      f()
    } catch (cause) {
      if (!(cause instanceof ShareError)) throw cause
      this.errors.push(cause.code)
    }
  }

  /** Until nothing moves, or the condition holds. */
  async run(until: () => boolean = () => false): Promise<void> {
    for (let idle = 0; idle < 20 && !until();) {
      const frame = this.flowing && this.#connected ? this.channel.take() : undefined
      if (frame !== undefined) for (const changed of this.change(frame)) this.handle(() => this.b.frame(changed.slice().buffer))
      idle = frame === undefined ? idle + 1 : 0
      if (frame === undefined) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  get sent(): Transfer { return this.a.transfers()[0]! }
  get received(): Transfer { return this.b.transfers()[0]! }
}

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 2_654_435_761) >>> 13)
const file = (data: Uint8Array<ArrayBuffer>, name = 'report.pdf', type = 'application/pdf') => new File([data], name, { type })

async function started(data: Uint8Array<ArrayBuffer>, options: FilesOptions = {}): Promise<Pair> {
  const pair = new Pair(options)
  pair.a.send(file(data))
  await pair.run()
  expect([pair.sent.state, pair.received.state]).toEqual(['waiting', 'waiting'])
  await pair.b.accept(1)
  return pair
}

// Not toEqual, which takes minutes for megabytes.
async function same(transfer: Transfer, data: Uint8Array): Promise<boolean> {
  return Buffer.from(await transfer.blob!.arrayBuffer()).equals(data)
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }))

afterEach(() => {
  vi.useRealTimers()
})

describe('a file', () => {
  test.each([0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 8 * chunkBytes, 3_000_000])('of %d bytes arrives whole, with progress', async (size) => {
    const data = bytes(size)
    const pair = await started(data)
    const moved = new Set<number>()
    pair.b.on('changed', (transfer) => moved.add(transfer.moved))
    await pair.run()
    expect(pair.received).toMatchObject({ state: 'done', name: 'report.pdf', size, moved: size })
    expect(pair.sent).toMatchObject({ state: 'done', moved: size })
    expect(await same(pair.received, data)).toBe(true)
    expect(pair.received.blob!.type).toBe('application/pdf')
    if (size > 2 * fileLimits.report) expect(moved.size).toBe(3)
    expect(pair.errors).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not fill the memory of either side', async () => {
    let held = 0
    let most = 0
    let stored = 0
    const waiting: (() => void)[] = []
    const slow: Sink = {
      write: async (data) => {
        held += data.length
        most = Math.max(most, held)
        await new Promise<void>((resolve) => waiting.push(resolve))
        held -= data.length
        stored += data.length
      },
      finish: async () => new Blob(),
      discard: async () => {},
    }
    const size = 10 << 20
    const pair = await started(new Uint8Array(size), { openSink: async () => slow })
    let arrived = 0
    pair.change = (frame) => {
      arrived += frame.length
      return [frame]
    }
    for (let i = 0; stored < size && i < 100_000; i++) {
      await pair.run(() => waiting.length > 0)
      if (arrived - stored > most) most = arrived - stored
      for (const resolve of waiting.splice(0)) resolve()
    }
    await pair.run()
    expect(pair.received.state).toBe('done')
    expect(pair.channel.most).toBeLessThanOrEqual(fileLimits.queue + 16 * 8)
    expect(most).toBeLessThanOrEqual(fileLimits.window + fileLimits.report)
    expect(most).toBeGreaterThan(fileLimits.window / 2)
  })

  test('that arrives changed is rejected, and deleted', async () => {
    const discarded = vi.fn(async () => {})
    const sink = new BlobSink()
    sink.discard = discarded
    const pair = await started(bytes(100_000), { openSink: async () => sink })
    pair.change = (frame) => {
      frame[frame.length - 1]! ^= frame.length > 48 ? 1 : 0
      return [frame]
    }
    await pair.run()
    expect([pair.sent.error!.code, pair.received.error!.code]).toEqual(['checksum_mismatch', 'checksum_mismatch'])
    expect(pair.received.blob).toBeUndefined()
    expect(discarded).toHaveBeenCalledOnce()
  })

  test.each([
    ['out_of_order', 'a repeated frame', (frame: Uint8Array<ArrayBuffer>) => [frame, frame]],
    ['out_of_order', 'a missing frame', (frame: Uint8Array<ArrayBuffer>) => (frame[8] === 0 && frame[0] === 1 ? [] : [frame])],
    ['too_long', 'more than announced', (frame: Uint8Array<ArrayBuffer>) =>
      (frame[0] === 2 ? [encodeFrame({ kind: 'data', file: 1, offset: 100_000, data: bytes(1) })] : [frame])],
    ['out_of_order', 'an early end', (frame: Uint8Array<ArrayBuffer>) => [encodeFrame({ kind: 'end', file: 1, offset: 0, digest: bytes(32) }), frame]],
  ] as const)('ends with %s after %s', async (code, _what, change) => {
    const pair = await started(bytes(100_000))
    pair.change = change
    await pair.run()
    expect([pair.sent.error?.code, pair.received.error?.code]).toEqual([code, code])
  })

  test('goes on where it was when the connection comes back', async () => {
    const data = bytes(6_000_000)
    const pair = await started(data)
    let delivered = 0
    pair.change = (frame) => {
      delivered += frame.length - 16
      return [frame]
    }
    for (let i = 0; i < 3; i++) {
      const goal = delivered + 1_600_000
      await pair.run(() => delivered > goal)
      pair.disconnect()
      await pair.run()
      expect([pair.sent.state, pair.received.state]).toEqual(['paused', 'paused'])
      vi.advanceTimersByTime(20_000)
      pair.connect()
    }
    await pair.run()
    expect([pair.sent.state, pair.received.state]).toEqual(['done', 'done'])
    expect(await same(pair.received, data)).toBe(true)
    expect(delivered, 'bytes that arrived, of which none twice').toBe(data.length + 32)
  })

  test('is done although the word of it was lost', async () => {
    const pair = await started(bytes(1000))
    await pair.run(() => pair.received.state === 'done')
    pair.disconnect()
    pair.connect()
    await pair.run()
    expect(pair.sent.state).toBe('done')
  })

  test('fails on both sides when the connection does not come back', async () => {
    const pair = await started(bytes(6_000_000))
    pair.flowing = false
    await pair.run()
    pair.disconnect()
    vi.advanceTimersByTime(fileLimits.absence)
    expect([pair.sent.error!.code, pair.received.error!.code]).toEqual(['connection_lost', 'connection_lost'])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('fails when nothing moves any more', async () => {
    const pair = await started(bytes(6_000_000))
    pair.flowing = false
    await pair.run()
    vi.advanceTimersByTime(fileLimits.stall)
    expect([pair.sent.error!.code, pair.received.error!.code]).toEqual(['stalled', 'stalled'])
  })

  test.each(['send', 'receive'] as const)('can be cancelled by %s, and others go on', async (direction) => {
    const pair = await started(bytes(3_000_000))
    pair.a.send(file(bytes(10), 'second'))
    await pair.run(() => pair.b.transfers().length === 2)
    await pair.b.accept(2)
    ;(direction === 'send' ? pair.a : pair.b).cancel(direction, 1)
    await pair.run()
    expect(pair.a.transfers().map(({ state, error }) => error?.code ?? state)).toEqual(['cancelled', 'done'])
    expect(pair.b.transfers().map(({ state, error }) => error?.code ?? state)).toEqual(['cancelled', 'done'])
  })

  test('can be rejected', async () => {
    const pair = new Pair()
    pair.a.send(file(bytes(10)))
    await pair.run()
    pair.b.cancel('receive', 1)
    await pair.run()
    expect([pair.sent.error!.code, pair.channel.queue.length]).toEqual(['rejected', 0])
  })

  test('that is too large, or one too many, is rejected with a code', async () => {
    const pair = new Pair({ sizeLimit: 1000 })
    pair.a.send(file(bytes(1001)))
    await pair.run()
    expect([pair.sent.error!.code, pair.b.transfers()]).toEqual(['file_too_big', []])
    for (let i = 0; i < fileLimits.open; i++) pair.a.send(file(bytes(10)))
    expect(() => pair.a.send(file(bytes(10)))).toThrow('8 files')
    await pair.run()
    pair.handle(() => pair.b.message({ type: 'file', id: 99, key: '0'.repeat(32), name: 'x', size: 1, mime: '' }))
    expect(pair.messages.at(-1)).toMatchObject({ type: 'file_cancel', id: 99, code: 'too_many_files' })
  })

  test('that cannot be read or stored ends with a code', async () => {
    const full = await started(bytes(10), { openSink: async () => ({ write: async () => { throw new Error('quota exceeded') }, finish: async () => new Blob(), discard: async () => {} }) })
    await full.run()
    expect([full.sent.error!.code, full.received.error!.message]).toEqual(['not_stored', 'the file cannot be stored: quota exceeded'])

    const pair = new Pair()
    const gone = file(bytes(100))
    gone.slice = () => ({ arrayBuffer: async () => { throw new Error('the file was changed') } }) as unknown as Blob
    pair.a.send(gone)
    await pair.run()
    await pair.b.accept(1)
    await pair.run()
    expect([pair.sent.error!.code, pair.received.error!.code]).toEqual(['unreadable', 'unreadable'])
  })

  test('messages and frames that make no sense are errors, and hurt nothing', async () => {
    const pair = await started(bytes(2_000_000))
    await pair.run(() => pair.received.moved > 0)
    for (const message of [{ type: 'file_accept', id: 77, offset: 0 }, { type: 'file_stored', id: 77, offset: 0 }, { type: 'file_done', id: 77 }] as const) {
      pair.handle(() => pair.a.message(message))
    }
    pair.handle(() => pair.a.message({ type: 'file_cancel', id: 77, by: 'receiver', code: 'cancelled', message: '' }))
    for (const frame of [new ArrayBuffer(0), new ArrayBuffer(16), new ArrayBuffer(70_000), 'text', encodeFrame({ kind: 'data', file: 5, offset: 0, data: bytes(1) }).buffer,
      encodeFrame({ kind: 'data', file: 1, offset: Number.NaN, data: bytes(1) }).buffer, encodeFrame({ kind: 'end', file: 1, offset: 0, digest: bytes(31) }).buffer]) {
      pair.handle(() => pair.b.frame(frame))
    }
    pair.b.frame(new Uint8Array(32).fill(9).buffer) // of a later version
    expect(pair.errors).toEqual([...Array<string>(3).fill('unknown_file'), 'invalid_message', 'invalid_message', 'message_too_big', 'invalid_message', 'unknown_file', 'invalid_message', 'invalid_message'])
    await pair.run()
    expect(pair.received.state).toBe('done')
  })

  test('a receiver that claims more than was sent ends the transfer', async () => {
    const pair = await started(bytes(6_000_000))
    pair.flowing = false
    await pair.run()
    pair.a.message({ type: 'file_stored', id: 1, offset: 5_999_999 })
    expect(pair.sent.error!.code).toBe('out_of_order')
    const other = await started(bytes(6_000_000))
    other.a.message({ type: 'file_accept', id: 1, offset: 1 })
    expect(other.sent.error!.code).toBe('out_of_order')
    const third = await started(bytes(100))
    third.flowing = false
    third.a.message({ type: 'file_done', id: 1 })
    expect(third.sent.error!.code).toBe('out_of_order')
  })
})
