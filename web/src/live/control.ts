/** A camera of a gateway. */
export interface Camera {
  name: string
  codec: string
  width: number
  height: number
  fps: number
}

/** Messages of the channel `control` from the gateway (docs/LIVE.md). */
export type ControlMessage =
  | { type: 'ready'; gateway: string; devices: string[]; cameras: Camera[] }
  | { type: 'history'; id: number; events: number; frames: number }
  | { type: 'stats'; counters: Record<string, unknown> }
  | { type: 'error'; code: string; message: string; id?: number }

const maxText = 256 << 10
const isText = (v: unknown): v is string => typeof v === 'string'
const isNumber = (v: unknown): v is number => typeof v === 'number' && Number.isFinite(v)
const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : [])

/** Decodes a control message; undefined for one of a type that is not known, a text for one that is not valid. */
export function decodeControl(data: unknown): ControlMessage | string | undefined {
  if (!isText(data)) return 'control: the message is not a text'
  if (data.length > maxText) return `control: ${data.length} characters, want at most ${maxText}`
  let m: unknown
  try {
    m = JSON.parse(data)
  } catch {
    return 'control: the message is not valid JSON'
  }
  if (typeof m !== 'object' || m === null || Array.isArray(m)) return 'control: the message is not an object'
  const message = m as Record<string, unknown>
  switch (message['type']) {
    case 'ready': {
      const { gateway, devices, cameras } = message
      if (!isText(gateway)) return 'control: ready: member "gateway" is not a text'
      return { type: 'ready', gateway, devices: list(devices).filter(isText), cameras: list(cameras).flatMap(camera) }
    }
    case 'history': {
      const { id, events, frames } = message
      if (!isNumber(id) || !isNumber(events)) return 'control: history: members "id" and "events" must be numbers'
      return { type: 'history', id, events, frames: isNumber(frames) ? frames : events === 0 ? 0 : NaN }
    }
    case 'stats': {
      const { type: _, ...counters } = message
      return { type: 'stats', counters }
    }
    case 'error': {
      const { code, message: text, id } = message
      if (!isText(code)) return 'control: error: member "code" is not a text'
      return { type: 'error', code, message: isText(text) ? text : '', ...(isNumber(id) ? { id } : {}) }
    }
    default:
      return isText(message['type']) ? undefined : 'control: member "type" is not a text'
  }
}

function camera(v: unknown): Camera[] {
  if (typeof v !== 'object' || v === null) return []
  const { name, codec, width, height, fps } = v as Record<string, unknown>
  if (!isText(name)) return []
  const number = (n: unknown) => (isNumber(n) ? n : 0)
  return [{ name, codec: isText(codec) ? codec : '', width: number(width), height: number(height), fps: number(fps) }]
}
