import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type {} from '../live/share/main.ts'
import { fakeDevices, launch } from './browser.ts'
import { chromiumPath } from './reference.ts'
import { start, type Stack } from './stack.ts'

const executablePath = chromiumPath()

describe.skipIf(executablePath === undefined)('two people in Chromium share', () => {
  const errors: string[] = []
  let stack: Stack
  let browser: Browser
  let ada: Page
  let bob: Page

  beforeAll(async () => {
    stack = await start()
    // The second of Chromium's made-up cameras is one of depth (Y16), whose pictures no peer connection sends.
    browser = await launch(executablePath!, [...fakeDevices, '--use-fake-device-for-media-stream=device-count=3'])
    ada = await login('ada')
    bob = await login('bob')
  })

  afterAll(async () => {
    await browser?.close()
    await stack?.close()
    expect(errors).toEqual([])
  })

  async function login(name: string): Promise<Page> {
    const page = await (await browser.newContext({ permissions: ['camera', 'microphone'] })).newPage()
    page.setDefaultTimeout(120_000)
    page.on('pageerror', (error) => errors.push(`${name}: ${error}`))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/WebSocket connection to/.test(message.text()) && !message.location().url.endsWith('/favicon.ico')) errors.push(`${name}: ${message.text()}`)
    })
    await page.goto(`${stack.origin}/live/share/`)
    await page.fill('#name', name)
    await page.fill('#password', 'x')
    await page.click('#login button')
    await page.waitForFunction(() => window.share.signaling === 'online')
    return page
  }

  const connected = (page: Page) => page.waitForSelector('#calls section[data-state=connected]')

  const peer = (page: Page) => page.evaluate(() => window.share.peer!)

  async function connect(): Promise<void> {
    await ada.click(`button[data-peer='${await peer(bob)}']`)
    await connected(ada)
    await connected(bob)
  }

  /** Frames of a picture that the page has decoded. */
  const frames = (page: Page, picture: string) => page.evaluate((p) => {
    const video = document.querySelector<HTMLVideoElement>(`[data-picture='${p}'] video`)!
    return video.getVideoPlaybackQuality().totalVideoFrames
  }, picture)

  /** Waits until the picture moves. */
  async function moves(page: Page, picture: string): Promise<void> {
    await page.waitForSelector(`[data-picture='${picture}']:not([hidden])`)
    const before = await frames(page, picture)
    await expect.poll(() => frames(page, picture), { timeout: 90_000 }).toBeGreaterThan(before + 5)
  }

  /** Seconds of sound that the page has got, and its energy. */
  const sound = (page: Page) => page.evaluate(async () => {
    const stats = await window.share.sharing!.calls()[0]!.peer!.pc.getStats()
    for (const report of stats.values() as Iterable<RTCInboundRtpStreamStats & { type: string }>) {
      if (report.type === 'inbound-rtp' && report.kind === 'audio') return report.totalAudioEnergy ?? 0
    }
    return 0
  })

  async function say(from: Page, to: Page, text: string): Promise<void> {
    await from.fill('form.chat input', text)
    await from.click('form.chat button')
    await expect.poll(() => to.locator('.log li').last().textContent(), { timeout: 60_000 }).toContain(text)
  }

  const offers = (page: Page) => page.evaluate(() => window.share.sharing!.calls()[0]!.peer!.counters.offers)

  test('camera and microphone, both ways', async () => {
    await connect()
    for (const page of [ada, bob]) {
      await page.click('[data-share=camera]')
      await page.click('[data-share=microphone]')
    }
    for (const page of [ada, bob]) {
      await moves(page, 'theirs camera')
      await moves(page, 'mine camera')
      const before = await sound(page)
      await expect.poll(() => sound(page), { timeout: 60_000 }).toBeGreaterThan(before)
    }
  })

  test('the screen, which ends for the other when it is stopped', async () => {
    await ada.click('[data-share=screen]')
    await moves(bob, 'theirs screen')
    await ada.click('[data-share=screen]')
    await bob.waitForSelector(`[data-picture='theirs screen']`, { state: 'hidden' })
    await ada.click('[data-share=screen]')
    await moves(bob, 'theirs screen')
    await moves(bob, 'theirs camera')
  })

  test('what is hidden or replaced by another device, without a negotiation', async () => {
    const before = await offers(ada) + await offers(bob)
    await ada.click('[data-mute=camera]')
    await expect.poll(() => bob.locator(`[data-picture='theirs camera'] .note`).textContent()).toContain('hidden')
    await ada.click('[data-mute=camera]')
    await expect.poll(() => bob.locator(`[data-picture='theirs camera'] .note`).textContent()).toBe('')
    const track = () => ada.evaluate(() => window.share.sharing!.media.track('camera')!.id)
    const first = await track()
    const devices = ada.locator('[data-device=camera]')
    await devices.selectOption({ index: 2 })
    await expect.poll(track).not.toBe(first)
    await moves(bob, 'theirs camera')
    expect(await offers(ada) + await offers(bob)).toBe(before)
  })

  test('lines on a picture, where the other sees the same place', async () => {
    const canvas = ada.locator(`[data-picture='theirs camera'] canvas`)
    await canvas.scrollIntoViewIfNeeded()
    const box = (await canvas.boundingBox())!
    await ada.mouse.move(box.x + box.width / 2, box.y + box.height / 2)
    await ada.mouse.down()
    await ada.mouse.move(box.x + box.width / 2 + 40, box.y + box.height / 2 + 30, { steps: 5 })
    await ada.mouse.up()
    const strokes = (page: Page, whose: 'mine' | 'theirs') => page.evaluate((w) =>
      window.share.sharing!.calls()[0]!.board({ whose: w, kind: 'camera' }).strokes.map(({ author, points }) => ({ author, points })), whose)
    await expect.poll(async () => (await strokes(bob, 'mine'))[0]?.points.length ?? 0).toBeGreaterThan(2)
    await expect.poll(async () => (await strokes(bob, 'mine'))[0]?.points).toEqual((await strokes(ada, 'theirs'))[0]!.points)
    const [drawn] = await strokes(bob, 'mine')
    expect(drawn!.author).toBe('them')
    expect(drawn!.points[0]![0]).toBeCloseTo(0.5, 1)
    const painted = (page: Page, picture: string) => page.evaluate((p) => {
      const c = document.querySelector<HTMLCanvasElement>(`[data-picture='${p}'] canvas`)!
      return c.getContext('2d')!.getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)
    }, picture)
    expect(await painted(bob, 'mine camera')).toBe(true)
    // By the keyboard, from the other side; then all of it is cleared.
    await bob.locator(`[data-picture='mine camera'] canvas`).focus()
    await bob.keyboard.down('Shift')
    await bob.keyboard.press('ArrowRight')
    await bob.keyboard.press('ArrowDown')
    await bob.keyboard.up('Shift')
    await expect.poll(async () => (await strokes(ada, 'theirs')).map(({ author, points }) => [author, points.length])).toEqual([['me', expect.any(Number)], ['them', 3]])
    await ada.click(`[data-picture='theirs camera'] button`)
    await expect.poll(() => strokes(bob, 'mine')).toEqual([])
  })

  test('chat, as text', async () => {
    const text = '<img src=x onerror="document.title=\'broken\'"> & ärgerlich 日本 \u202Egnp'
    await say(ada, bob, text)
    await say(bob, ada, 'understood')
    expect(await bob.locator('.log img').count()).toBe(0)
    expect(await bob.title()).toBe('Share – IoT InsightHub')
  })

  /** Sends a file and returns the SHA-256 of what the other page has. */
  async function transfer(from: Page, to: Page, name: string, data: Buffer): Promise<string> {
    await from.setInputFiles('input[type=file]', { name, mimeType: 'text/html', buffer: data })
    const row = to.locator('.file-line').last()
    await row.getByText('Accept').click()
    await expect.poll(() => row.getAttribute('data-state'), { timeout: 120_000 }).toMatch(/done|failed/)
    expect(await row.textContent()).toContain('Complete')
    await expect.poll(() => from.locator('.file-line').last().getAttribute('data-state')).toBe('done')
    return to.evaluate(async () => {
      const { blob } = window.share.sharing!.calls()[0]!.files.transfers().filter(({ direction }) => direction === 'receive').at(-1)!
      const digest = await crypto.subtle.digest('SHA-256', await blob!.arrayBuffer())
      return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('')
    })
  }

  const random = (size: number) => Buffer.from(Uint32Array.from({ length: size / 4 }, (_, i) => Math.imul(i + 1, 2_654_435_761)).buffer)
  const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')

  // Three encoders leave little of a small machine to the files.
  test('nothing more, when all is stopped', async () => {
    await ada.click('[data-share=screen]')
    for (const page of [ada, bob]) await page.click('[data-share=camera]')
    for (const page of [ada, bob]) await page.waitForSelector(`[data-picture='theirs camera']`, { state: 'hidden' })
    await bob.waitForSelector(`[data-picture='theirs screen']`, { state: 'hidden' })
    expect(await ada.evaluate(() => window.share.sharing!.media.track('camera'))).toBeUndefined()
  })

  test('files, both ways, in memory and on the disk', async () => {
    const small = random(1_000_000)
    expect(await transfer(ada, bob, '<b>plan<b>.html', small)).toBe(sha256(small))
    expect(await bob.locator('.file-line b').count()).toBe(0)
    const download = bob.waitForEvent('download')
    await bob.locator('.file-line a').last().click()
    const saved = await download
    expect(saved.suggestedFilename()).toBe('_b_plan_b_.html')
    expect(sha256(readFileSync(await saved.path()))).toBe(sha256(small))
    const large = random(3_000_000) // beyond what is assembled in memory
    expect(await transfer(bob, ada, 'log.bin', large)).toBe(sha256(large))
  })

  test('a file that is rejected, and one that is cancelled', async () => {
    await ada.setInputFiles('input[type=file]', { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') })
    await bob.locator('.file-line').last().getByText('Reject').click()
    await expect.poll(() => ada.locator('.file-line').last().textContent()).toContain('rejected')
    await ada.setInputFiles('input[type=file]', { name: 'b.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') })
    await expect.poll(() => bob.locator('.file-line').last().textContent()).toContain('b.txt')
    await ada.locator('.file-line').last().getByText('Cancel').click()
    await expect.poll(() => bob.locator('.file-line').last().textContent()).toContain('cancelled')
  })

  test('a file that goes on over a new connection', async () => {
    const data = random(4_000_000)
    const pcs = () => bob.evaluate(() => window.share.sharing!.calls()[0]!.peer!.connection)
    const first = await pcs()
    // In the middle of it, the connection is given up as after a long loss.
    await ada.evaluate(() => {
      const call = window.share.sharing!.calls()[0]!
      const off = call.files.on('changed', ({ state, moved }) => {
        if (state !== 'moving' || moved === 0) return
        off()
        call.peer!.close('failed')
      })
    })
    const digest = await transfer(ada, bob, 'resumed.bin', data)
    expect(digest).toBe(sha256(data))
    expect(await pcs()).not.toBe(first)
  })

  test('cameras again, on that connection', async () => {
    for (const page of [ada, bob]) await page.click('[data-share=camera]')
    await moves(bob, 'theirs camera')
    await moves(ada, 'theirs camera')
  })

  test('while the signaling service is killed and comes back', async () => {
    const before = [await peer(ada), await peer(bob)]
    const watch = (page: Page) => page.evaluate(() => {
      const states: string[] = ((window as never as { states: string[] }).states = [])
      const { pc } = window.share.sharing!.calls()[0]!.peer!
      pc.addEventListener('connectionstatechange', () => states.push(pc.connectionState))
      ;(window as never as { pc: RTCPeerConnection }).pc = pc
    })
    await Promise.all([watch(ada), watch(bob)])
    await stack.order('signaling/kill')
    await Promise.all([ada, bob].map((page) => page.waitForFunction(() => window.share.signaling !== 'online')))
    await moves(bob, 'theirs camera')
    await moves(ada, 'theirs camera')
    await say(ada, bob, 'the service is gone')
    await stack.order('signaling/start')
    await Promise.all([ada, bob].map((page) => page.waitForFunction(() => window.share.signaling === 'online')))
    await moves(bob, 'theirs camera')
    await say(bob, ada, 'the service is back')
    expect([await peer(ada), await peer(bob)]).toEqual(before)
    for (const page of [ada, bob]) {
      expect(await page.evaluate(() => [(window as never as { states: string[] }).states, window.share.sharing!.calls()[0]!.peer!.pc === (window as never as { pc: unknown }).pc])).toEqual([[], true])
      await page.waitForFunction(() => window.share.sharing!.roster.members().some(({ kind, lost }) => kind === 'person' && !lost))
    }
    // A track that starts now is negotiated by the new service.
    await ada.click('[data-share=screen]')
    await moves(bob, 'theirs screen')
  })

  test('through an ICE restart', async () => {
    const ufrag = (page: Page) => page.evaluate(() => /ice-ufrag:(\S+)/.exec(window.share.sharing!.calls()[0]!.peer!.pc.currentLocalDescription!.sdp)![1])
    const before = [await ufrag(ada), await ufrag(bob)]
    await ada.evaluate(() => window.share.sharing!.connections.networkChanged())
    await expect.poll(() => ufrag(ada), { timeout: 60_000 }).not.toBe(before[0])
    await expect.poll(() => ufrag(bob), { timeout: 60_000 }).not.toBe(before[1])
    await moves(bob, 'theirs camera')
    await moves(ada, 'theirs camera')
    await say(ada, bob, 'on another path')
  })

  test('that both call at once is one call', async () => {
    await bob.getByText('Hang up').click()
    await ada.waitForSelector('#calls section', { state: 'detached' })
    const [a, b] = [await peer(ada), await peer(bob)]
    const call = (page: Page, other: string) => page.evaluate((o) => void window.share.sharing!.call(o), other)
    for (let i = 0; i < 3; i++) {
      await Promise.all([call(ada, b), call(bob, a)])
      await Promise.all([connected(ada), connected(bob)])
      await say(ada, bob, `round ${i}`)
      expect([await ada.locator('#calls section').count(), await bob.locator('#calls section').count()]).toEqual([1, 1])
      await ada.getByText('Hang up').click()
      await bob.waitForSelector('#calls section', { state: 'detached' })
    }
  })

  test('until one closes the page', async () => {
    await connect()
    await ada.close()
    await bob.waitForSelector('#calls section', { state: 'detached' })
    await expect.poll(() => bob.locator('#nobody').isVisible()).toBe(true)
  })
})
