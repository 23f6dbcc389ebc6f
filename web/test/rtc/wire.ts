import type { ConnectionsSignaling } from '../../src/rtc/connections.ts'
import { Emitter } from '../../src/rtc/emitter.ts'
import type { Incoming, Signal } from '../../src/rtc/messages.ts'
import type { ICEServer } from '../../src/rtc/protocol.ts'
import type { SignalingEvents } from '../../src/rtc/signaling.ts'

/** Signaling between peers of one page: messages keep their order and can be delayed, changed and lost. */
export class Wire {
  readonly ends = new Map<string, End>()
  delay = 0
  /** Returns what is delivered instead of the message. */
  filter: (from: string, to: string, signal: Signal) => Signal[] = (_from, _to, signal) => [signal]
  readonly log: { from: string; type: string; connection: string }[] = []
  #queue = Promise.resolve()

  end(id: string): End {
    const end = new End(this, id)
    this.ends.set(id, end)
    return end
  }

  /** Everybody is in one room; the greater id is the impolite one. */
  gather(): void {
    for (const end of this.ends.values()) {
      end.emit('joined', {
        site: 'berlin',
        peers: [...this.ends.keys()].filter((id) => id !== end.peer).map((id) => ({ peer: id, kind: 'person', name: id, polite: end.peer < id })),
      })
    }
  }

  carry(from: string, to: string, signal: Signal): void {
    this.log.push({ from, type: signal.type, connection: signal.connection })
    const arrives = performance.now() + this.delay
    this.#queue = this.#queue.then(async () => {
      const wait = arrives - performance.now()
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
      for (const out of this.filter(from, to, signal)) this.ends.get(to)?.emit('signal', { ...out, from, seq: 0 } as Incoming)
    })
  }
}

export class End extends Emitter<SignalingEvents> implements ConnectionsSignaling {
  readonly peer: string
  readonly #wire: Wire
  iceRequests = 0

  constructor(wire: Wire, peer: string) {
    super()
    this.#wire = wire
    this.peer = peer
  }

  send(to: string, signal: Signal): void {
    this.#wire.carry(this.peer, to, signal)
  }

  async ice(): Promise<ICEServer[]> {
    this.iceRequests++
    return [{ urls: ['turn:127.0.0.1:9?transport=udp'], username: `u${this.iceRequests}`, credential: 'c' }]
  }

  retryNow(): void {}

  override emit<K extends keyof SignalingEvents>(kind: K, event: SignalingEvents[K]): void {
    super.emit(kind, event)
  }
}
