import type { Frame } from './chunk.ts'
import { ShareError } from './error.ts'
import { fileLimits, type FileLink, type Transfer } from './files.ts'
import type { ShareMessage } from './messages.ts'
import { hex, Sha256 } from './sha256.ts'
import type { Sink } from './sink.ts'

type Offer = Omit<ShareMessage & { type: 'file' }, 'type'>

/** A file on its way from the other person. */
export class Receiving {
  readonly view: Transfer
  readonly key: string
  readonly #mime: string
  readonly #hash = new Sha256()
  readonly #changed: () => void
  #sink: Sink | undefined
  #accepting = false
  /** Bytes that have arrived, those that are being stored included. */
  #arrived = 0
  #reported = 0
  #finishing = false
  #writes: Promise<void> = Promise.resolve()
  #link: FileLink | undefined
  #stall: ReturnType<typeof setTimeout> | undefined

  constructor({ id, key, name, size, mime }: Offer, changed: () => void) {
    this.key = key
    this.#mime = mime
    this.#changed = changed
    this.view = { direction: 'receive', id, name, size, moved: 0, state: 'waiting' }
  }

  async accept(openSink: (size: number) => Promise<Sink>): Promise<void> {
    if (this.view.state !== 'waiting' || this.#accepting) return
    this.#accepting = true
    let sink: Sink
    try {
      sink = await openSink(this.view.size)
    } catch (cause) {
      return this.fail(notStored(cause), true)
    }
    if (this.view.state !== 'waiting') return void sink.discard()
    this.#sink = sink
    this.#set('moving')
    this.#watch()
    this.#link?.send({ type: 'file_accept', id: this.view.id, offset: 0 })
  }

  attach(link: FileLink): void {
    this.#link = link
    // The sender offers the file again, unless it has given up.
    if (this.view.state === 'paused') this.#watch()
  }

  detach(): void {
    this.#link = undefined
    clearTimeout(this.#stall)
    if (this.view.state === 'moving') this.#set('paused')
  }

  /** The file is offered again: the connection was lost meanwhile, and frames with it. */
  again(): void {
    switch (this.view.state) {
      case 'done':
        this.#link?.send({ type: 'file_done', id: this.view.id })
        return
      case 'failed':
        this.#link?.send({ type: 'file_cancel', id: this.view.id, by: 'receiver', code: this.view.error?.code ?? 'cancelled', message: 'the transfer has ended' })
        return
      case 'paused':
      case 'moving':
        if (this.#finishing) return // the end has arrived; file_done follows
        this.#set('moving')
        this.#watch()
        this.#link?.send({ type: 'file_accept', id: this.view.id, offset: this.#arrived })
    }
  }

  frame(frame: Frame): void {
    const { state, size } = this.view
    if (state === 'failed' || state === 'done') return // sent before the sender knew
    if (state === 'waiting' || this.#sink === undefined) return this.fail(new ShareError('out_of_order', 'data came before the file was accepted'), true)
    if (frame.offset !== this.#arrived || this.#finishing) {
      return this.fail(new ShareError('out_of_order', `data for byte ${frame.offset} came at byte ${this.#arrived}`), true)
    }
    if (frame.kind === 'end') {
      if (this.#arrived < size) return this.fail(new ShareError('out_of_order', `the end came at byte ${this.#arrived} of ${size}`), true)
      this.#finishing = true
      this.#then(() => this.#finish(frame.digest))
      return
    }
    if (this.#arrived + frame.data.length > size) return this.fail(new ShareError('too_long', `more than the ${size} bytes of the file came`), true)
    if (this.#arrived + frame.data.length - this.view.moved > 2 * fileLimits.window) {
      return this.fail(new ShareError('too_many_messages', 'data came faster than it is stored'), true)
    }
    this.#arrived += frame.data.length
    this.#watch()
    this.#hash.update(frame.data)
    this.#then(async (sink) => {
      await sink.write(frame.data)
      this.view.moved += frame.data.length
      if (this.view.moved - this.#reported < fileLimits.report) return
      this.#reported = this.view.moved
      this.#link?.send({ type: 'file_stored', id: this.view.id, offset: this.view.moved })
      this.#changed()
    })
  }

  /** notify: the sender does not know it. */
  fail(error: ShareError, notify: boolean): void {
    clearTimeout(this.#stall)
    this.view.error = error
    if (notify) this.#link?.send({ type: 'file_cancel', id: this.view.id, by: 'receiver', code: error.code, message: error.message.slice(0, 256) })
    void this.discard()
    this.#set('failed')
  }

  async discard(): Promise<void> {
    const sink = this.#sink
    this.#sink = undefined
    delete this.view.blob
    await this.#writes
    await sink?.discard().catch(() => {}) // there is nobody who could do more
  }

  async #finish(digest: Uint8Array): Promise<void> {
    const got = hex(this.#hash.digest())
    if (got !== hex(digest)) return this.fail(new ShareError('checksum_mismatch', `the SHA-256 of what came is ${got}, the sender's is ${hex(digest)}`), true)
    this.view.blob = await this.#sink!.finish(this.#mime)
    if (this.#sink === undefined) return // cancelled meanwhile
    this.view.moved = this.view.size
    clearTimeout(this.#stall)
    this.#link?.send({ type: 'file_done', id: this.view.id })
    this.#set('done')
  }

  /** One after the other, and nothing more once the transfer has failed. */
  #then(step: (sink: Sink) => Promise<void>): void {
    this.#writes = this.#writes.then(async () => {
      if (this.#sink === undefined) return
      try {
        await step(this.#sink)
      } catch (cause) {
        if (this.view.state !== 'failed') this.fail(notStored(cause), true)
      }
    })
  }

  #watch(): void {
    clearTimeout(this.#stall)
    this.#stall = setTimeout(() => this.fail(new ShareError('stalled', `nothing has come for ${fileLimits.stall / 1000} s`), true), fileLimits.stall)
  }

  #set(state: Transfer['state']): void {
    this.view.state = state
    this.#changed()
  }
}

function notStored(cause: unknown): ShareError {
  return new ShareError('not_stored', `the file cannot be stored: ${cause instanceof Error ? cause.message : String(cause)}`)
}
