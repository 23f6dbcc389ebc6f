import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch } from './browser.ts'
import { chromiumPath } from './reference.ts'
import { start, type Stack } from './stack.ts'

const executablePath = chromiumPath()

/** The bits of a number, in hexadecimal. */
const bits = (n: number) => new BigUint64Array(Float64Array.of(n).buffer)[0]!.toString(16).padStart(16, '0')

describe.skipIf(executablePath === undefined)('the page of the live path, with a real gateway', () => {
  const errors: string[] = []
  // The login with the wrong password, and signaling while it is down.
  const expected = /status of 401|ERR_CONNECTION_REFUSED/
  let stack: Stack
  let browser: Browser
  let page: Page

  const state = (s: string) => page.waitForFunction((want) => window.live.state === want, s)
  const text = (selector: string) => page.locator(selector).innerText()

  beforeAll(async () => {
    stack = await start()
    browser = await launch(executablePath!)
    page = await browser.newPage()
    page.setDefaultTimeout(120_000)
    page.on('pageerror', (error) => errors.push(String(error)))
    // Violations of the page's policy are errors here, too.
    page.on('console', (message) => {
      if (message.type() === 'error' && !expected.test(message.text())) errors.push(message.text())
    })
    await page.goto(`${stack.origin}/live/`)
  })

  afterAll(async () => {
    await browser?.close()
    await stack?.close()
  })

  test('a login that fails says why; one that succeeds shows the machine, by keyboard alone', async () => {
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('name')
    await page.keyboard.type('ada')
    await page.keyboard.press('Tab')
    await page.keyboard.type('wrong')
    await page.keyboard.press('Enter')
    await page.waitForSelector('#problem:not([hidden])')
    expect(await text('#problem')).toBe('The name or the password is wrong.')
    // From the first event on: the native detector starts there, too.
    await page.evaluate(() => {
      const timer = setInterval(() => {
        const traced = window.live.trace(8000)
        if (traced === undefined) return
        clearInterval(timer)
        traced.catch(() => {}) // the test that waits for it may be left out
        ;(window as unknown as { traced: unknown }).traced = traced
      }, 1)
    })
    await page.locator('#password').press('Control+a')
    await page.keyboard.type('right')
    await page.keyboard.press('Enter')
    await state('live')
    expect(await text('#state')).toBe('Live')
    expect(await page.locator('#problem').isVisible()).toBe(false)
    expect(await page.locator('#problem').textContent()).toBe('')
    expect(await page.locator('#gateway').inputValue()).toBe(stack.gateway)
    expect(await page.locator('#machine').inputValue()).toBe('press-01')
    await page.waitForFunction(() => document.querySelectorAll('#values tr').length === 4)
    await page.waitForFunction(() => document.querySelector('#values td.number')?.textContent !== '–')
  })

  test('frames go to the worker without the page', async () => {
    expect(await page.evaluate(() => window.live.channelInWorker)).toBe(true)
  })

  test('scores are those of the native detector, bit by bit', async () => {
    await page.evaluate(() => window.live.subscribe(null)) // all machines
    const events = await page.evaluate(async () => {
      const traced = await (window as unknown as { traced: ReturnType<typeof window.live.trace> }).traced!
      return traced.map((e) => ({ ...e, time: String(e.time) }))
    })
    expect(events.length).toBe(8000)
    const native = await stack.order('score', events.map(({ device, metric, time, value }) => ({ device, metric, time, value: bits(value) })))
    expect(events.map(({ score, anomalous }) => ({ score: bits(score), anomalous }))).toEqual(native)
    expect(events.some(({ anomalous }) => anomalous)).toBe(true)
    expect(new Set(events.map(({ score }) => score)).size).toBeGreaterThan(20)
  })

  test('history is what the gateway read, up to the newest', async () => {
    const series = await page.evaluate(() => window.live.history(5, ['press-02']))
    expect(series!.map(({ metric }) => metric).sort()).toEqual(['current', 'pressure', 'temperature', 'vibration'])
    for (const { device, times, values } of series!) {
      expect(device).toBe('press-02')
      expect(times.length).toBe(values.length)
      expect(times.length).toBeGreaterThan(20)
      expect([...times].sort((a, b) => a - b)).toEqual(times)
      expect(times.at(-1)! - times[0]!).toBeLessThanOrEqual(5.1e6)
    }
    expect(await page.evaluate(() => window.live.history(5, ['nobody']))).toEqual([])
  })

  test('the numbers say where the time goes', async () => {
    const stats = await page.evaluate(() => window.live.stats())
    expect(stats!.counters).toMatchObject({ invalid: 0, late: 0, ignored: 0, unscored: 0 })
    const { gateway, network, scoring, total } = stats!.latency
    expect(total.count).toBeGreaterThan(1000)
    for (const stage of [gateway, network, scoring]) expect(stage.count).toBe(total.count)
    expect(total.max).toBeGreaterThanOrEqual(scoring.max)
    // One machine, one clock: the offset is nothing but its error and that of the browser's clock.
    expect(Math.abs(stats!.offset!.micros)).toBeLessThanOrEqual(stats!.offset!.error + 5_000)
    await page.waitForFunction(() => /host ↔ .*udp, direct/.test(document.querySelector('#connection-note')!.textContent!))
    await page.waitForFunction(() => document.querySelector('#latency td.number')!.textContent !== '–')
    console.log(`read → scored p50 ${total.p50 / 1000} ms, p99 ${total.p99 / 1000} ms; ${await text('#latency-note')} ${await text('#video-note')}`)
  })

  test('the test pattern is shown with its latency', async () => {
    await page.waitForFunction(() => (window.live.video()?.coded ?? 0) > 30)
    const { frames, coded, latency } = (await page.evaluate(() => window.live.video()))!
    expect(coded).toBeGreaterThan(0.9 * frames - 10)
    expect(latency.p50).toBeGreaterThan(0)
    expect(await text('#camera')).toContain('640 × 360')
  })

  test('signaling that is killed and started again does not interrupt anything', async () => {
    const before = (await page.evaluate(() => window.live.stats()))!
    await stack.order('signaling/kill')
    await page.waitForTimeout(4_000)
    expect(await page.evaluate(() => window.live.state)).toBe('live')
    await stack.order('signaling/start')
    await page.waitForFunction((events) => window.live.stats()!.then(({ counters }) => counters.events > events), before.counters.events + 1000)
    await page.waitForFunction(() => document.querySelector<HTMLSelectElement>('#gateway')!.selectedOptions[0]!.text === 'gw-0')
    expect(await page.evaluate(() => window.live.state)).toBe('live')
  })

  test('a gateway that hangs is lost, and the same connection comes back with it', async () => {
    const connections = () => page.evaluate(() => window.live.connections)
    const before = await connections()
    await stack.order('gateway/stop')
    await state('lost')
    console.log(`when it is lost, connectionState is ${await page.evaluate(() => window.live.connectionState)}`)
    expect(await text('#state')).toBe('Lost: trying to get it back')
    await stack.order('gateway/continue')
    await state('live')
    expect(await connections()).toBe(before)
  })

  test('a killed gateway is shown as lost within 5 s and is back, with its values, once it was started again', async () => {
    const start = performance.now()
    await stack.order('gateway/kill')
    await state('lost')
    const lost = (performance.now() - start) / 1000
    const events = (await page.evaluate(() => window.live.stats()))!.counters.events
    const restart = performance.now()
    await stack.order('gateway/start')
    await state('live')
    await page.waitForFunction((n) => window.live.stats()!.then(({ counters }) => counters.events > n), events)
    console.log(`lost after ${lost.toFixed(1)} s, back ${((performance.now() - restart) / 1000).toFixed(1)} s after its start`)
  })

  test('when the right to see it ends, so does what runs', async () => {
    const other = await browser.newPage()
    other.setDefaultTimeout(120_000)
    await other.goto(`${stack.origin}/live/`)
    await other.fill('#name', 'brief')
    await other.fill('#password', 'right')
    await other.keyboard.press('Enter')
    await other.waitForFunction(() => window.live.state === 'live')
    await other.waitForFunction(() => window.live.state === 'ended')
    expect(await other.locator('#state').innerText()).toBe('Ended')
    expect(await other.locator('#problem').innerText()).toContain('Log in again')
    const events = async () => (await other.evaluate(() => window.live.stats()))!.counters.events
    const before = await events()
    await other.waitForTimeout(2_000)
    expect(await events()).toBe(before)
    await other.close()
    expect(await page.evaluate(() => window.live.state)).toBe('live')
  })

  test('logging out forgets everything', async () => {
    await page.locator('#logout').press('Enter')
    await page.waitForFunction(() => window.live?.state === undefined)
    expect(await page.locator('#login').isVisible()).toBe(true)
    expect(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie])).toEqual([0, 0, ''])
    expect(errors).toEqual([])
  })
})
