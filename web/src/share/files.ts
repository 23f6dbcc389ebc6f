import { Emitter } from '../rtc/emitter.ts'
import { decodeFrame } from './chunk.ts'
import { ShareError, type ShareCode } from './error.ts'
import type { ShareMessage } from './messages.ts'
import { Receiving } from './receiving.ts'
import { Sending } from './sending.ts'
import { openSink, type Sink } from './sink.ts'

/** The part of an RTCDataChannel that carries files. */
export interface FileChannel {
  send(data: Uint8Array<ArrayBuffer>): void
  readonly readyState: RTCDataChannelState
  readonly bufferedAmount: number
  bufferedAmountLowThreshold: number
  onbufferedamountlow: ((event: Event) => void) | null
}

/** A connection with the other person. */
export interface FileLink {
  send(message: ShareMessage): void
  files: FileChannel
}

/** waiting: for the receiver to accept. paused: the connection is lost, the transfer goes on when it is back. */
export type TransferState = 'waiting' | 'moving' | 'paused' | 'done' | 'failed'

export interface Transfer {
  direction: 'send' | 'receive'
  id: number
  name: string
  size: number
  /** Bytes that the receiver has stored. */
  moved: number
  state: TransferState
  error?: ShareError
  /** The received file, with its checksum verified. */
  blob?: Blob
}

export interface FilesEvents {
  /** A transfer has begun, moved or ended. */
  changed: Transfer
}

export interface FilesOptions {
  openSink?: (size: number) => Promise<Sink>
  /** Bytes; larger files of the other person are rejected. */
  sizeLimit?: number
}

export const fileLimits = {
  size: 4 * 2 ** 30,
  /** Transfers of each direction that have not ended, those that wait for a person included. */
  open: 8,
  /** Bytes that are sent and not stored yet: what a receiver with a slow disk holds in memory. */
  window: 4 << 20,
  /** The receiver says what it has stored after as many bytes. */
  report: 1 << 20,
  /** Bytes in the channel's own queue. */
  queue: 1 << 20,
  /** ms without progress. */
  stall: 60_000,
  /** ms that a lost connection has to come back. */
  absence: 120_000,
} as const

/**
 * The files between this person and another: the transfers of both directions. They outlive a connection: after attach()
 * with the next one they go on where they were.
 */
export class FileTransfers extends Emitter<FilesEvents> {
  readonly #options: Required<FilesOptions>
  readonly #sending = new Map<number, Sending>()
  readonly #receiving = new Map<number, Receiving>()
  #link: FileLink | undefined
  #absence: ReturnType<typeof setTimeout> | undefined
  #next = 1

  constructor(options: FilesOptions = {}) {
    super()
    this.#options = { openSink: options.openSink ?? openSink, sizeLimit: options.sizeLimit ?? fileLimits.size }
  }

  transfers(): Transfer[] {
    return [...this.#sending.values(), ...this.#receiving.values()].map(({ view }) => view)
  }

  /** Offers a file to the other person. Throws when too many transfers are open. */
  send(file: Blob & { name?: string }): Transfer {
    if (open(this.#sending) >= fileLimits.open) throw new ShareError('too_many_files', `${fileLimits.open} files are being sent already`)
    const id = this.#next++
    const sending = new Sending(id, file, () => this.emit('changed', sending.view))
    this.#sending.set(id, sending)
    if (this.#link !== undefined) sending.attach(this.#link)
    this.emit('changed', sending.view)
    return sending.view
  }

  /** Accepts an offered file. */
  async accept(id: number): Promise<void> {
    await this.#receiving.get(id)?.accept(this.#options.openSink)
  }

  /** Rejects an offered file, or ends a transfer. */
  cancel(direction: Transfer['direction'], id: number): void {
    const transfer = (direction === 'send' ? this.#sending : this.#receiving).get(id)
    if (transfer === undefined || ended(transfer.view)) return
    const waiting = direction === 'receive' && transfer.view.state === 'waiting'
    transfer.fail(waiting ? new ShareError('rejected', 'the file was rejected') : new ShareError('cancelled', 'the transfer was cancelled'), true)
  }

  /** Forgets an ended transfer, and deletes a received file. */
  forget(direction: Transfer['direction'], id: number): void {
    const map: Map<number, Sending | Receiving> = direction === 'send' ? this.#sending : this.#receiving
    const transfer = map.get(id)
    if (transfer === undefined || !ended(transfer.view)) return
    map.delete(id)
    if (transfer instanceof Receiving) void transfer.discard()
  }

  /** The channels are open: offers what was not sent, and goes on with the rest. */
  attach(link: FileLink): void {
    clearTimeout(this.#absence)
    this.#link = link
    link.files.bufferedAmountLowThreshold = fileLimits.queue / 4
    link.files.onbufferedamountlow = () => {
      for (const sending of this.#sending.values()) sending.wake()
    }
    for (const transfer of [...this.#sending.values(), ...this.#receiving.values()]) transfer.attach(link)
  }

  /** The channels are gone. */
  detach(): void {
    if (this.#link === undefined) return
    this.#link.files.onbufferedamountlow = null
    this.#link = undefined
    for (const transfer of [...this.#sending.values(), ...this.#receiving.values()]) transfer.detach()
    this.#absence = setTimeout(() => this.#failAll('connection_lost', `the connection was lost for more than ${fileLimits.absence / 1000} s`), fileLimits.absence)
  }

  /** Ends all transfers. Received files stay until they are forgotten. */
  close(): void {
    clearTimeout(this.#absence)
    this.#failAll('cancelled', 'the connection was ended')
    this.#link = undefined
    this.forgetListeners()
  }

  /** Handles a message file…; throws a ShareError for one that makes no sense. */
  message(message: ShareMessage): void {
    switch (message.type) {
      case 'file':
        return this.#offered(message)
      case 'file_accept':
        return this.#existing(this.#sending, message.id).accepted(message.offset)
      case 'file_stored':
        return this.#existing(this.#sending, message.id).stored(message.offset)
      case 'file_done':
        return this.#existing(this.#sending, message.id).done()
      case 'file_cancel': {
        const transfer = message.by === 'sender' ? this.#receiving.get(message.id) : this.#sending.get(message.id)
        // One that is not known, or has ended, is cancelled already.
        if (transfer !== undefined && !ended(transfer.view)) transfer.fail(new ShareError(message.code, message.message), false)
      }
    }
  }

  /** Handles a frame of the channel; throws a ShareError for one that makes no sense. */
  frame(data: unknown): void {
    const frame = decodeFrame(data)
    if (frame === undefined) return
    const receiving = this.#receiving.get(frame.file)
    if (receiving === undefined) throw new ShareError('unknown_file', `there is no file ${frame.file}`)
    receiving.frame(frame)
  }

  #offered({ id, key, name, size, mime }: ShareMessage & { type: 'file' }): void {
    const reject = (code: ShareCode, message: string) => this.#link?.send({ type: 'file_cancel', id, by: 'receiver', code, message })
    const known = this.#receiving.get(id)
    if (known?.key === key) return known.again()
    if (known !== undefined && !ended(known.view)) return reject('invalid_message', `file ${id} is another one`)
    if (size > this.#options.sizeLimit) return reject('file_too_big', `the file has ${size} bytes, at most ${this.#options.sizeLimit} are accepted`)
    if (open(this.#receiving) >= fileLimits.open) return reject('too_many_files', `${fileLimits.open} files are being received already`)
    const receiving = new Receiving({ id, key, name, size, mime }, () => this.emit('changed', receiving.view))
    this.#receiving.set(id, receiving)
    if (this.#link !== undefined) receiving.attach(this.#link)
    this.emit('changed', receiving.view)
  }

  #existing(map: Map<number, Sending>, id: number): Sending {
    const transfer = map.get(id)
    if (transfer === undefined) throw new ShareError('unknown_file', `there is no file ${id}`)
    return transfer
  }

  #failAll(code: ShareCode, message: string): void {
    for (const transfer of [...this.#sending.values(), ...this.#receiving.values()]) {
      if (!ended(transfer.view)) transfer.fail(new ShareError(code, message), true)
    }
  }
}

export function ended({ state }: Transfer): boolean {
  return state === 'done' || state === 'failed'
}

function open(transfers: Map<number, { view: Transfer }>): number {
  return [...transfers.values()].filter(({ view }) => !ended(view)).length
}
