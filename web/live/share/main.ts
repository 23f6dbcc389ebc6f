// The page for people. Its login is in memory only.

import { Page } from './page.ts'

const page = new Page()

/** For tests: the objects behind what is shown. No tokens. */
const share = {
  get sharing() {
    return page.sharing
  },
  get peer() {
    return page.client?.peer
  },
  get signaling() {
    return page.client?.state
  },
}

export type Share = typeof share

declare global {
  interface Window {
    share: Share
  }
}

window.share = share
