export { DetectorClient } from './client.ts'
export { Detector, DetectorModule, type Times } from './detector.ts'
export { DetectorError, type DetectorErrorCode } from './error.ts'
export type { Counters, Scored } from './messages.ts'
