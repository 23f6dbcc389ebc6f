import { Bucket } from './bucket.ts'
import type { Signal } from './messages.ts'

export type Addressed = Signal & { to: string }

/** Messages that wait; the oldest give way. */
const limit = 256

/** Of what the service accepts, which also has to do for pings and requests. */
const share = 0.8

/**
 * The messages to other peers, in order. They wait while there is no connection, and for the rate that the service
 * accepts: it drops what is beyond.
 */
export class Outbox {
  #waiting: Addressed[] = []
  #post: ((message: Addressed) => boolean) | undefined
  #bucket: Bucket | undefined
  #interval = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  add(message: Addressed): void {
    // A later description replaces one that has not gone yet.
    if (message.type === 'offer' || message.type === 'answer') {
      this.#waiting = this.#waiting.filter((m) => m.type !== message.type || m.to !== message.to || m.connection !== message.connection)
    }
    this.#waiting.push(message)
    if (this.#waiting.length > limit) this.#waiting.shift()
    this.#flush()
  }

  /** Sends what waits, and what is added, until stop(). post returns whether it has taken the message. */
  start(post: (message: Addressed) => boolean, perSecond: number): void {
    this.stop()
    const rate = Math.max(1, perSecond * share)
    this.#post = post
    this.#bucket = new Bucket(rate, rate)
    this.#interval = 1000 / rate
    this.#flush()
  }

  /** The connection is gone; what waits stays. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#post = undefined
  }

  clear(): void {
    this.stop()
    this.#waiting = []
  }

  #flush(): void {
    if (this.#timer !== undefined) return
    while (this.#post !== undefined && this.#waiting.length > 0) {
      if (this.#bucket?.take() !== true) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined
          this.#flush()
        }, this.#interval)
        return
      }
      if (!this.#post(this.#waiting[0]!)) return
      this.#waiting.shift()
    }
  }
}
