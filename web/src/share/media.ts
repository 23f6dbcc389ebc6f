import { Emitter } from '../rtc/emitter.ts'
import type { MediaKind } from './messages.ts'

export type MediaCode = 'denied' | 'no_device' | 'in_use' | 'failed'

/** The camera, the microphone or the screen cannot be had. */
export class MediaFailure extends Error {
  readonly code: MediaCode

  constructor(code: MediaCode, message: string) {
    super(message)
    this.name = 'MediaFailure'
    this.code = code
  }
}

export interface LocalMediaEvents {
  /** A track came, was replaced, was muted or ended. */
  changed: { kind: MediaKind }
  /** A track ended without being stopped, and could not be replaced. */
  lost: { kind: MediaKind; cause: MediaFailure }
}

/** The part of navigator.mediaDevices that is used. */
export type Devices = Pick<MediaDevices, 'getUserMedia' | 'getDisplayMedia' | 'enumerateDevices'>

/** What this person shows: at most one track of each kind, which all calls share. */
export class LocalMedia extends Emitter<LocalMediaEvents> {
  readonly #devices: Devices
  readonly #tracks = new Map<MediaKind, MediaStreamTrack>()
  /** Counts starts and stops, so that a prompt that is answered late does not undo a later choice. */
  readonly #choices = new Map<MediaKind, number>()

  constructor(devices: Devices = navigator.mediaDevices) {
    super()
    this.#devices = devices
  }

  track(kind: MediaKind): MediaStreamTrack | undefined {
    return this.#tracks.get(kind)
  }

  muted(kind: MediaKind): boolean {
    return this.#tracks.get(kind)?.enabled === false
  }

  /**
   * Starts a kind, or changes its device; the other person sees the new one without a gap. Asks the person where the
   * browser does. Rejects with a MediaFailure; what ran before goes on then.
   */
  async start(kind: MediaKind, deviceId?: string): Promise<void> {
    const choice = this.#choose(kind)
    const track = await this.#open(kind, deviceId)
    if (this.#choices.get(kind) !== choice) {
      track.stop()
      return
    }
    const before = this.#tracks.get(kind)
    if (before !== undefined) track.enabled = before.enabled
    this.#release(before)
    track.contentHint = { camera: 'motion', microphone: 'speech', screen: 'detail' }[kind]
    // Not called after stop(): the device was unplugged, or the person ended the sharing in the browser's own bar.
    track.onended = () => void this.#ended(kind, track)
    this.#tracks.set(kind, track)
    this.emit('changed', { kind })
  }

  stop(kind: MediaKind): void {
    this.#choose(kind)
    const track = this.#tracks.get(kind)
    if (track === undefined) return
    this.#release(track)
    this.#tracks.delete(kind)
    this.emit('changed', { kind })
  }

  /** A muted track is sent as silence or black; the device stays open. */
  mute(kind: MediaKind, muted: boolean): void {
    const track = this.#tracks.get(kind)
    if (track === undefined || track.enabled === !muted) return
    track.enabled = !muted
    this.emit('changed', { kind })
  }

  /** The cameras or microphones; names are empty until the person has allowed one. */
  async devices(kind: 'camera' | 'microphone'): Promise<{ id: string; name: string }[]> {
    const wanted = kind === 'camera' ? 'videoinput' : 'audioinput'
    const all = await this.#devices.enumerateDevices()
    return all.filter((device) => device.kind === wanted).map(({ deviceId, label }) => ({ id: deviceId, name: label }))
  }

  close(): void {
    for (const kind of ['camera', 'microphone', 'screen'] as const) this.stop(kind)
    this.forgetListeners()
  }

  #choose(kind: MediaKind): number {
    const choice = (this.#choices.get(kind) ?? 0) + 1
    this.#choices.set(kind, choice)
    return choice
  }

  async #open(kind: MediaKind, deviceId?: string): Promise<MediaStreamTrack> {
    const device = deviceId === undefined ? {} : { deviceId: { exact: deviceId } }
    try {
      const stream = await {
        camera: () => this.#devices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 }, ...device } }),
        microphone: () => this.#devices.getUserMedia({ audio: { echoCancellation: true, ...device } }),
        screen: () => this.#devices.getDisplayMedia({ video: { frameRate: { ideal: 15 } } }),
      }[kind]()
      return (kind === 'microphone' ? stream.getAudioTracks() : stream.getVideoTracks())[0]!
    } catch (cause) {
      throw failure(kind, cause)
    }
  }

  async #ended(kind: MediaKind, track: MediaStreamTrack): Promise<void> {
    if (this.#tracks.get(kind) !== track) return
    this.stop(kind)
    if (kind === 'screen') return
    try {
      await this.start(kind) // another device of the kind
    } catch (cause) {
      this.emit('lost', { kind, cause: cause as MediaFailure })
    }
  }

  #release(track: MediaStreamTrack | undefined): void {
    if (track === undefined) return
    track.onended = null
    track.stop()
  }
}

function failure(kind: MediaKind, cause: unknown): MediaFailure {
  switch ((cause as { name?: string } | null)?.name) {
    case 'NotAllowedError': case 'SecurityError':
      return new MediaFailure('denied', `The ${kind} was not allowed: allow it for this page in the browser's settings.`)
    case 'NotFoundError': case 'OverconstrainedError':
      return new MediaFailure('no_device', `There is no ${kind}, or it was removed.`)
    case 'NotReadableError': case 'AbortError':
      return new MediaFailure('in_use', `The ${kind} cannot be read: another program may use it.`)
  }
  return new MediaFailure('failed', `The ${kind} failed: ${cause instanceof Error ? cause.message : String(cause)}`)
}
