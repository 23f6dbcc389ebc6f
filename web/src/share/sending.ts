import { chunkBytes, encodeFrame } from './chunk.ts'
import { ShareError } from './error.ts'
import { fileLimits, type FileLink, type Transfer } from './files.ts'
import { limits } from './messages.ts'
import { Sha256 } from './sha256.ts'

/** Read from the file at once. */
const readBytes = 8 * chunkBytes

/** A file on its way to the other person. */
export class Sending {
  readonly view: Transfer
  readonly #key: string
  readonly #file: Blob
  readonly #hash = new Sha256()
  readonly #changed: () => void
  /** The bytes that the hash has. After a loss, bytes are sent a second time, but not hashed. */
  #hashed = 0
  #digest: Uint8Array | undefined
  #offset = 0
  #link: FileLink | undefined
  /** Each start of the pump ends the one before. */
  #run = 0
  #wake: (() => void) | undefined
  #stall: ReturnType<typeof setTimeout> | undefined

  constructor(id: number, file: Blob & { name?: string }, changed: () => void) {
    this.#file = file
    this.#changed = changed
    this.#key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
    this.view = { direction: 'send', id, name: (file.name ?? 'file').slice(-limits.name), size: file.size, moved: 0, state: 'waiting' }
  }

  attach(link: FileLink): void {
    if (this.#ended()) return
    this.#link = link
    link.send({ type: 'file', id: this.view.id, key: this.#key, name: this.view.name, size: this.view.size, mime: this.#file.type.slice(0, 128) })
  }

  detach(): void {
    this.#link = undefined
    if (this.#ended()) return
    this.#stop()
    if (this.view.state === 'moving') this.#set('paused')
  }

  accepted(offset: number): void {
    if (this.#ended()) return
    if (offset > this.view.size || offset > this.#hashed) {
      return this.fail(new ShareError('out_of_order', `the receiver wants to go on at byte ${offset}, which was not sent`), true)
    }
    this.#stop()
    this.#offset = offset
    this.view.moved = offset
    this.#set('moving')
    this.#watch()
    void this.#pump(++this.#run)
  }

  stored(offset: number): void {
    if (this.view.state !== 'moving' || offset <= this.view.moved) return
    if (offset > this.#offset) return this.fail(new ShareError('out_of_order', `the receiver has stored ${offset} bytes of ${this.#offset} that were sent`), true)
    this.view.moved = offset
    this.#watch()
    this.wake()
    this.#changed()
  }

  done(): void {
    if (this.#ended()) return
    if (this.#digest === undefined) return this.fail(new ShareError('out_of_order', 'the receiver has finished before the end'), true)
    this.#stop()
    this.view.moved = this.view.size
    this.#set('done')
  }

  /** notify: the receiver does not know it. */
  fail(error: ShareError, notify: boolean): void {
    this.#stop()
    this.view.error = error
    if (notify) this.#link?.send({ type: 'file_cancel', id: this.view.id, by: 'sender', code: error.code, message: error.message.slice(0, 256) })
    this.#set('failed')
  }

  /** The channel or the receiver has room. */
  wake(): void {
    this.#wake?.()
  }

  async #pump(run: number): Promise<void> {
    try {
      while (this.#offset < this.view.size) {
        await this.#room(run)
        if (run !== this.#run) return
        const end = Math.min(this.#offset + readBytes, this.view.size)
        const data = new Uint8Array(await this.#file.slice(this.#offset, end).arrayBuffer())
        if (run !== this.#run) return
        if (data.length !== end - this.#offset) throw new Error(`${data.length} bytes instead of ${end - this.#offset}`)
        for (let at = 0; at < data.length; at += chunkBytes) {
          this.#link?.files.send(encodeFrame({ kind: 'data', file: this.view.id, offset: this.#offset + at, data: data.subarray(at, at + chunkBytes) }))
        }
        if (end > this.#hashed) {
          this.#hash.update(data.subarray(this.#hashed - this.#offset))
          this.#hashed = end
        }
        this.#offset = end
      }
      this.#digest ??= this.#hash.digest()
      this.#link?.files.send(encodeFrame({ kind: 'end', file: this.view.id, offset: this.view.size, digest: this.#digest }))
    } catch (cause) {
      if (run !== this.#run) return
      // The channel closed under it: detach follows.
      if (this.#link === undefined || this.#link.files.readyState !== 'open') return
      this.fail(new ShareError('unreadable', `the file cannot be read any more: ${cause instanceof Error ? cause.message : String(cause)}`), true)
    }
  }

  /** Until the queue of the channel and the window of the receiver have room. */
  async #room(run: number): Promise<void> {
    while (run === this.#run && this.#link !== undefined
      && (this.#link.files.bufferedAmount > fileLimits.queue - readBytes || this.#offset - this.view.moved > fileLimits.window - readBytes)) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #watch(): void {
    clearTimeout(this.#stall)
    this.#stall = setTimeout(() => {
      this.fail(new ShareError('stalled', `the receiver has stored nothing for ${fileLimits.stall / 1000} s`), true)
    }, fileLimits.stall)
  }

  #stop(): void {
    this.#run++
    clearTimeout(this.#stall)
    this.wake()
  }

  #ended(): boolean {
    return this.view.state === 'done' || this.view.state === 'failed'
  }

  #set(state: Transfer['state']): void {
    this.view.state = state
    this.#changed()
  }
}
