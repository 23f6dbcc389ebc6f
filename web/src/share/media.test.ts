import { expect, test, vi } from 'vitest'
import { LocalMedia, MediaFailure, type Devices } from './media.ts'

class Track {
  enabled = true
  contentHint = ''
  readyState = 'live'
  onended: (() => void) | null = null
  readonly kind: string
  readonly constraints: unknown

  constructor(kind: string, constraints: unknown) {
    this.kind = kind
    this.constraints = constraints
  }

  stop() {
    this.readyState = 'ended'
  }
}

function start() {
  const opened: Track[] = []
  const open = async (constraints: MediaStreamConstraints = {}) => {
    const track = new Track(constraints.audio === undefined ? 'video' : 'audio', constraints)
    opened.push(track)
    return { getVideoTracks: () => [track], getAudioTracks: () => [track] } as unknown as MediaStream
  }
  const devices = { getUserMedia: vi.fn(open), getDisplayMedia: vi.fn(open), enumerateDevices: vi.fn(async () => [
    { kind: 'videoinput', deviceId: 'v1', label: 'front' }, { kind: 'audioinput', deviceId: 'a1', label: 'mic' },
  ] as MediaDeviceInfo[]) }
  const media = new LocalMedia(devices as unknown as Devices)
  const changed: string[] = []
  media.on('changed', ({ kind }) => changed.push(kind))
  media.on('lost', ({ kind, cause }) => changed.push(`${kind} lost: ${cause.code}`))
  return { devices, media, opened, changed }
}

test('starts, mutes, changes the device and stops', async () => {
  const { media, opened, changed, devices } = start()
  await media.start('camera')
  media.mute('camera', true)
  media.mute('camera', true)
  await media.start('camera', 'v1')
  expect(opened.map(({ readyState, enabled }) => [readyState, enabled])).toEqual([['ended', false], ['live', false]])
  expect(devices.getUserMedia.mock.calls[1]![0]).toMatchObject({ video: { deviceId: { exact: 'v1' } } })
  expect(media.muted('camera')).toBe(true)
  media.stop('camera')
  media.stop('camera')
  expect([opened[1]!.readyState, media.track('camera')]).toEqual(['ended', undefined])
  expect(changed).toEqual(['camera', 'camera', 'camera', 'camera'])
  expect(await media.devices('camera')).toEqual([{ id: 'v1', name: 'front' }])
})

test('what the person chose last wins over a prompt that is answered late', async () => {
  const { media, opened, devices, changed } = start()
  let answer!: () => void
  const open = devices.getUserMedia.getMockImplementation()!
  devices.getUserMedia.mockImplementationOnce(async (constraints) => {
    await new Promise<void>((resolve) => (answer = resolve))
    return open(constraints)
  })
  const late = media.start('microphone')
  media.stop('microphone')
  answer()
  await late
  expect([opened[0]!.readyState, media.track('microphone'), changed]).toEqual(['ended', undefined, []])
})

test('a camera that is unplugged is replaced by another, or lost with a reason', async () => {
  const { media, opened, devices, changed } = start()
  await media.start('camera', 'v1')
  opened[0]!.onended!()
  await vi.waitFor(() => expect(media.track('camera')).toBe(opened[1]))
  devices.getUserMedia.mockRejectedValueOnce(Object.assign(new Error('gone'), { name: 'NotFoundError' }))
  opened[1]!.onended!()
  await vi.waitFor(() => expect(changed.at(-1)).toBe('camera lost: no_device'))
  expect(media.track('camera')).toBeUndefined()
})

test('a screen whose sharing the person ends in the browser is stopped', async () => {
  const { media, opened, devices } = start()
  await media.start('screen')
  opened[0]!.onended!()
  expect(media.track('screen')).toBeUndefined()
  expect(devices.getDisplayMedia).toHaveBeenCalledOnce()
})

test.each([['NotAllowedError', 'denied'], ['NotFoundError', 'no_device'], ['OverconstrainedError', 'no_device'], ['NotReadableError', 'in_use'], ['TypeError', 'failed']])(
  '%s is the code %s, and what ran goes on', async (name, code) => {
    const { media, opened, devices } = start()
    await media.start('camera')
    devices.getUserMedia.mockRejectedValueOnce(Object.assign(new Error('x'), { name }))
    const cause = await media.start('camera', 'other').catch((failure: unknown) => failure)
    expect(cause).toBeInstanceOf(MediaFailure)
    expect((cause as MediaFailure).code).toBe(code)
    expect([media.track('camera'), opened[0]!.readyState]).toEqual([opened[0], 'live'])
  })
